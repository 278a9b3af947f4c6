//! What happened, told to whoever listens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join;
use lapin::message::Delivery;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use recado_broker::topology::{EVENT_DELIVERIES, EVENTS, Queue};
use recado_broker::{Handler, OnError, Received};
use recado_clock::{Clock, SystemClock};
use recado_messages::ObjectiveEvent;
use recado_testkit::vhost;
use recado_types::{AgentId, EventId, ExecutionId, SessionId, TenantId};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Amqp, Bench, is_up, notes};

/// The `n`-th event of a session.
fn event(n: u128, event_type: &str) -> ObjectiveEvent {
    let id = Uuid::from_u128;
    ObjectiveEvent {
        event_id: EventId(id(n)),
        tenant_id: TenantId(id(2)),
        session_id: SessionId(id(5)),
        execution_id: ExecutionId(id(7)),
        agent_id: AgentId(id(4)),
        event_type: event_type.into(),
        occurred_at: SystemClock::default().now(),
        endpoint: false,
        payload: json!({"type": format!("objective_event.{event_type}"), "n": n.to_string()}),
    }
}

/// A queue for those events whose routing keys match `filter`, as somebody outside declares it.
async fn listen(amqp: &Amqp, queue: &str, filter: &str) -> anyhow::Result<()> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    amqp.channel.queue_declare(queue.into(), durable, arguments).await?;
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    amqp.channel.queue_bind(queue.into(), EVENTS.into(), filter.into(), options, arguments).await?;
    Ok(())
}

async fn heard(amqp: &Amqp, queue: &str, n: usize) -> anyhow::Result<Vec<ObjectiveEvent>> {
    let mut events = Vec::with_capacity(n);
    for _ in 0..n {
        let Delivery { data, .. } = amqp.take(queue).await?;
        events.push(serde_json::from_slice(&data).context("no event")?);
    }
    Ok(events)
}

#[tokio::test]
async fn those_who_listen_hear_what_they_asked_for_in_order() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    listen(&amqp, "all", "objective_event.#").await?;
    listen(&amqp, "calls", "objective_event.tool_called").await?;

    let types = ["user_message", "tool_called", "tool_result"];
    let told: Vec<ObjectiveEvent> =
        (0..300).map(|n| event(n, types[usize::try_from(n % 3).unwrap_or_default()])).collect();
    for outcome in bench.publisher.publish_all(&told).await {
        outcome?;
    }
    assert_eq!(heard(&amqp, "all", told.len()).await?, told);
    let calls: Vec<_> = told.into_iter().filter(|it| it.event_type == "tool_called").collect();
    assert_eq!(heard(&amqp, "calls", calls.len()).await?, calls);
    bench.finish().await
}

#[tokio::test]
async fn an_event_says_what_it_is_on_the_outside_too() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    listen(&amqp, "all", "#").await?;
    bench.publisher.publish(&event(1, "error")).await?;
    let delivery = amqp.take("all").await?;
    assert_eq!(delivery.routing_key.as_str(), "objective_event.error");
    let properties = &delivery.properties;
    let short = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
    assert_eq!(short(properties.kind()).as_deref(), Some("objective_event.error"));
    assert_eq!(short(properties.message_id()), Some(Uuid::from_u128(1).to_string()));
    assert_eq!(short(properties.content_type()).as_deref(), Some("application/json"));
    assert_eq!(properties.delivery_mode(), &Some(2));
    bench.finish().await
}

#[tokio::test]
async fn that_nobody_listens_is_no_error_and_hinders_no_work() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    let (told, work): (Vec<_>, Vec<_>) =
        (0..50).map(|n| event(n, "user_message")).zip(notes(50)).unzip();
    let publisher = &bench.publisher;
    let (told, work) = join(publisher.publish_all(&told), publisher.publish_all(&work)).await;
    for outcome in told.into_iter().chain(work) {
        outcome?;
    }
    bench.finish().await
}

#[tokio::test]
async fn what_has_to_be_sent_is_queued_for_that_and_heard_by_all_others() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    listen(&amqp, "audit", "objective_event.#").await?;
    let heard_only = event(1, "tool_called");
    let to_send = ObjectiveEvent { endpoint: true, ..event(2, "tool_result") };
    let told = [heard_only, to_send.clone()];
    for outcome in bench.publisher.publish_all(&told).await {
        outcome?;
    }
    assert_eq!(heard(&amqp, "audit", 2).await?, told);
    assert_eq!(heard(&amqp, EVENT_DELIVERIES.name, 1).await?, [to_send]);
    amqp.counts(EVENT_DELIVERIES.name, 0).await?;
    bench.finish().await
}

/// Cannot do anything with any event.
struct Refusing;

impl Handler for Refusing {
    type Message = ObjectiveEvent;
    type Error = std::io::Error;

    async fn handle(&self, _events: Vec<Received<ObjectiveEvent>>) -> std::io::Result<()> {
        Err(std::io::Error::other("told to refuse"))
    }

    fn on_error(&self, _error: &std::io::Error) -> OnError {
        OnError::Isolate
    }
}

static UNSENT: Queue = Queue {
    name: "test.unsent",
    exchange: EVENTS,
    routing_key: ObjectiveEvent::DELIVERY_KEY,
    delivery_limit: 20,
    single_active_consumer: false,
    retry_delays: &[Duration::from_millis(200)],
};

#[tokio::test]
async fn an_event_that_is_tried_again_is_heard_once_by_the_others() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    bench.consume(&UNSENT, &Arc::new(Refusing)).await?;
    is_up(&bench.publisher.link()).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    listen(&amqp, "audit", "objective_event.#").await?;
    let to_send = ObjectiveEvent { endpoint: true, ..event(1, "error") };
    bench.publisher.publish(&to_send).await?;
    // Once tried, once retried, given up.
    for queue in [&UNSENT.dead_letter_queue(), "audit", EVENT_DELIVERIES.name] {
        assert_eq!(heard(&amqp, queue, 1).await?, std::slice::from_ref(&to_send), "{queue}");
    }
    amqp.counts("audit", 0).await?;
    amqp.counts(EVENT_DELIVERIES.name, 0).await?;
    bench.finish().await
}
