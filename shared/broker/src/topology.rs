//! Every exchange, queue and binding, as data.
//!
//! No name is spelled anywhere else, and the retry and dead-letter queues of a work queue are
//! derived from it. All of it is declared on every connection, so a broker that was wiped is
//! whole again as soon as it can be reached; [`definitions`] is the same for operators who want
//! to create it themselves.
//!
//! All of that is durable, all queues are quorum queues, and every argument means the same on
//! `RabbitMQ` 3.10 and on 4.x. Arguments of a queue can never be changed, so limits that depend on
//! the machine (lengths, bytes) are left to policies; `x-overflow` sees to it that such a limit
//! refuses new messages and never drops old ones.

use std::fmt::Display;
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use recado_messages::{Exchange, ObjectiveEvent};
use serde_json::{Value, json};

/// Where messages that somebody has to work on are published.
pub const WORK: &str = "recado.work";
/// Where what happened is announced.
pub const EVENTS: &str = "recado.events";
/// Where messages that nobody can handle go; the routing key is the queue they come from.
pub const DEAD: &str = "recado.dead";
/// `RabbitMQ`'s own: the routing key is the name of a queue.
pub(crate) const DEFAULT: &str = "";

const EXCHANGES: [&str; 3] = [WORK, EVENTS, DEAD];

/// What the exchange for a kind of message is called.
pub(crate) fn exchange(kind: Exchange) -> &'static str {
    match kind {
        Exchange::Work => WORK,
        Exchange::Events => EVENTS,
    }
}

/// Nobody consumes retry and dead-letter queues in a loop, but people look into them, and from
/// 4.0 a message would be dropped after the twentieth look. 3.10 has no word for "never".
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// A work queue. Its retry and dead-letter queues are derived from it, never named by hand.
#[derive(Debug)]
pub struct Queue {
    /// `<consuming service>.<what it holds>`.
    pub name: &'static str,
    /// Where it gets its messages from: [`WORK`] or [`EVENTS`].
    pub exchange: &'static str,
    /// The messages it gets from there: `<noun>.<past participle>`.
    pub routing_key: &'static str,
    /// How often a message may come back because its consumer died, or lost its connection,
    /// before the broker dead-letters it. Failures that a handler reports are counted apart.
    pub delivery_limit: i64,
    /// Whether one consumer at a time gets messages, so that their order is kept.
    pub single_active_consumer: bool,
    /// How long a message waits after its first, second, … failure, before it is dead-lettered.
    pub retry_delays: &'static [Duration],
}

impl Queue {
    /// Where messages end that cannot be handled: `<queue>.dlq`.
    pub fn dead_letter_queue(&self) -> String {
        format!("{}.dlq", self.name)
    }

    /// Where messages wait for `delay` before they come back: `<queue>.retry.5s`.
    ///
    /// One queue per delay, because a queue expires messages only at its head.
    pub fn retry_queue(&self, delay: Duration) -> String {
        let millis = delay.as_millis();
        if millis.is_multiple_of(1000) {
            format!("{}.retry.{}s", self.name, millis / 1000)
        } else {
            format!("{}.retry.{millis}ms", self.name)
        }
    }
}

/// 20 for a message that kills its consumers, as many as `RabbitMQ` 4 gives by itself, and 30 for
/// processes that could not handle it and gave it back. A consumer takes messages that came back
/// one at a time, so hardly any but the guilty one comes near it; and a process gives a message
/// back once in an outage, however long it lasts (see the README for the arithmetic).
const DELIVERY_LIMIT: i64 = 50;
const RETRY_DELAYS: &[Duration] = &[Duration::from_secs(5), Duration::from_secs(30)];

/// Messages of triggers that buffer, for buffer.
pub const INBOUND: Queue = Queue {
    name: "buffer.inbound",
    exchange: WORK,
    routing_key: "message.received",
    delivery_limit: DELIVERY_LIMIT,
    single_active_consumer: true,
    retry_delays: RETRY_DELAYS,
};

/// Requests to run an agent, for agent-runner.
pub const EXECUTIONS: Queue = Queue {
    name: "agent-runner.executions",
    exchange: WORK,
    routing_key: "execution.requested",
    delivery_limit: DELIVERY_LIMIT,
    single_active_consumer: true,
    retry_delays: RETRY_DELAYS,
};

/// News of deliveries to make, for delivery. Which lane is next is decided by the rows, so any
/// instance may take any of them.
pub const DELIVERIES: Queue = Queue {
    name: "delivery.requests",
    exchange: WORK,
    routing_key: "delivery.requested",
    delivery_limit: DELIVERY_LIMIT,
    single_active_consumer: false,
    retry_delays: RETRY_DELAYS,
};

/// Events that have to be sent to an endpoint, for delivery. Their rows are numbered as they come,
/// but receivers are promised no order, so any instance may take any of them.
pub const EVENT_DELIVERIES: Queue = Queue {
    name: "delivery.events",
    exchange: EVENTS,
    routing_key: ObjectiveEvent::DELIVERY_KEY,
    delivery_limit: DELIVERY_LIMIT,
    single_active_consumer: false,
    retry_delays: RETRY_DELAYS,
};

/// All work queues.
pub const QUEUES: &[Queue] = &[INBOUND, EXECUTIONS, DELIVERIES, EVENT_DELIVERIES];

/// News that somebody waits for while the queue exists. More than that wait only if its consumer
/// does not read, and the oldest are the first to be of no use.
const MAX_REPLIES: i64 = 10_000;

/// The name of the reply queue of one instance of ingress: `ingress.replies.<instance>`.
///
/// It is not part of the topology: each instance declares its own, and it goes with its connection
/// (see [`Replies`](crate::Replies)).
pub fn reply_queue(instance: impl Display) -> String {
    format!("ingress.replies.{instance}")
}

/// A classic queue whatever the vhost's default is: no other kind can be exclusive.
pub(crate) fn reply_arguments() -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), Argument::Text("classic").amqp());
    table.insert("x-max-length".into(), Argument::Number(MAX_REPLIES).amqp());
    table
}

/// Held, as its owner, by whoever looks into dead-letter queues. Empty, and gone with the
/// connection of that process (see [`DeadLetters`](crate::DeadLetters)).
pub(crate) const DEAD_LETTERS_TURN: &str = "recado.dead-letters.turn";

/// A classic queue whatever the vhost's default is: no other kind can be exclusive.
pub(crate) fn turn_arguments() -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), Argument::Text("classic").amqp());
    table
}

/// The work queue called `name`; its dead-letter queue's name means it, too.
pub fn queue(name: &str) -> Option<&'static Queue> {
    let name = name.strip_suffix(".dlq").unwrap_or(name);
    QUEUES.iter().find(|queue| queue.name == name)
}

/// The topology in the form that `RabbitMQ` imports
/// (`POST /api/definitions/<vhost>`, or `load_definitions` for the vhost `/`).
///
/// The services declare the same themselves; this is for brokers on which they may not.
pub fn definitions() -> Value {
    let vhost = "/";
    let exchanges = EXCHANGES.map(|name| {
        json!({"name": name, "vhost": vhost, "type": "topic", "durable": true,
               "auto_delete": false, "internal": false, "arguments": {}})
    });
    let mut queues = Vec::new();
    let mut bindings = Vec::new();
    for queue in declarations(QUEUES) {
        let arguments: serde_json::Map<_, _> =
            queue.arguments.iter().map(|(name, value)| ((*name).into(), value.json())).collect();
        queues.push(json!({"name": queue.name, "vhost": vhost, "durable": true,
                           "auto_delete": false, "arguments": arguments}));
        if let Some(binding) = queue.binding {
            bindings.push(json!({"source": binding.exchange, "vhost": vhost,
                                 "destination": queue.name, "destination_type": "queue",
                                 "routing_key": binding.routing_key, "arguments": {}}));
        }
    }
    json!({"exchanges": exchanges, "queues": queues, "bindings": bindings})
}

/// Declares the exchanges and what belongs to `queues`. Changes nothing that is there already.
pub(crate) async fn declare(channel: &Channel, queues: &[Queue]) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    for name in EXCHANGES {
        let arguments = FieldTable::default();
        channel.exchange_declare(name.into(), ExchangeKind::Topic, durable, arguments).await?;
    }
    for queue in declarations(queues) {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let name = queue.name.as_str();
        channel.queue_declare(name.into(), durable, queue.amqp_arguments()).await?;
        if let Some(binding) = &queue.binding {
            let (exchange, key) = (binding.exchange.into(), binding.routing_key.into());
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            channel.queue_bind(name.into(), exchange, key, options, arguments).await?;
        }
    }
    Ok(())
}

/// A queue as the broker is told of it.
struct Declaration {
    name: String,
    arguments: Vec<(&'static str, Argument)>,
    binding: Option<Binding>,
}

struct Binding {
    exchange: &'static str,
    routing_key: &'static str,
}

enum Argument {
    Text(&'static str),
    Number(i64),
    Flag(bool),
}

impl Argument {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Flag(flag) => json!(flag),
        }
    }

    fn amqp(&self) -> AMQPValue {
        match self {
            Self::Text(text) => AMQPValue::LongString((*text).into()),
            Self::Number(number) => AMQPValue::LongLongInt(*number),
            Self::Flag(flag) => AMQPValue::Boolean(*flag),
        }
    }
}

impl Declaration {
    fn amqp_arguments(&self) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in &self.arguments {
            table.insert((*name).into(), value.amqp());
        }
        table
    }
}

/// Dead-letter queues first: a queue may dead-letter from its first moment.
fn declarations(queues: &[Queue]) -> impl Iterator<Item = Declaration> {
    let dead = queues.iter().map(dead_letter_declaration);
    let work = queues.iter().map(work_declaration);
    let retry = queues
        .iter()
        .flat_map(|queue| queue.retry_delays.iter().map(|delay| retry_declaration(queue, *delay)));
    dead.chain(work).chain(retry)
}

fn work_declaration(queue: &Queue) -> Declaration {
    let mut arguments = quorum(queue.delivery_limit);
    arguments.extend(dead_lettering(DEAD, queue.name));
    if queue.single_active_consumer {
        arguments.push(("x-single-active-consumer", Argument::Flag(true)));
    }
    let binding = Some(Binding { exchange: queue.exchange, routing_key: queue.routing_key });
    Declaration { name: queue.name.into(), arguments, binding }
}

/// Expired messages go back to their queue and to no other that has the same routing key.
fn retry_declaration(queue: &Queue, delay: Duration) -> Declaration {
    let mut arguments = quorum(NO_DELIVERY_LIMIT);
    arguments.extend(dead_lettering(DEFAULT, queue.name));
    let millis = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    arguments.push(("x-message-ttl", Argument::Number(millis)));
    Declaration { name: queue.retry_queue(delay), arguments, binding: None }
}

fn dead_letter_declaration(queue: &Queue) -> Declaration {
    let binding = Some(Binding { exchange: DEAD, routing_key: queue.name });
    let arguments = quorum(NO_DELIVERY_LIMIT);
    Declaration { name: queue.dead_letter_queue(), arguments, binding }
}

fn quorum(delivery_limit: i64) -> Vec<(&'static str, Argument)> {
    vec![
        ("x-queue-type", Argument::Text("quorum")),
        ("x-delivery-limit", Argument::Number(delivery_limit)),
        ("x-overflow", Argument::Text("reject-publish")),
    ]
}

/// At least once, which also needs `x-overflow=reject-publish`: with `drop-head`, the broker
/// silently falls back to at most once.
fn dead_lettering(exchange: &'static str, key: &'static str) -> [(&'static str, Argument); 3] {
    [
        ("x-dead-letter-exchange", Argument::Text(exchange)),
        ("x-dead-letter-routing-key", Argument::Text(key)),
        ("x-dead-letter-strategy", Argument::Text("at-least-once")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topology_is_pinned() {
        insta::assert_json_snapshot!(definitions());
    }

    #[test]
    fn derived_names_say_what_they_are() {
        assert_eq!(INBOUND.dead_letter_queue(), "buffer.inbound.dlq");
        for found in [queue("buffer.inbound"), queue("buffer.inbound.dlq")] {
            assert_eq!(found.map(|queue| queue.name), Some(INBOUND.name));
        }
        assert!(queue("buffer").is_none());
        assert_eq!(INBOUND.retry_queue(Duration::from_secs(5)), "buffer.inbound.retry.5s");
        assert_eq!(INBOUND.retry_queue(Duration::from_millis(50)), "buffer.inbound.retry.50ms");
    }
}
