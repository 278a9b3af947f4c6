//! A message as it goes on the wire: address, properties, bytes.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lapin::message::Delivery;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use recado_clock::Clock;
use recado_messages::{Exchange, Message};
use recado_types::SessionId;

use crate::headers;
use crate::topology::{self, DEAD, DEFAULT, Queue};

/// AMQP's word for "on disk before the confirm".
const PERSISTENT: u8 = 2;
/// AMQP's word for "in memory".
const TRANSIENT: u8 = 1;
/// An error's text in a header; enough to recognise it by.
const ERROR_TEXT_LIMIT: usize = 300;

/// Why a message cannot be made a parcel.
pub(crate) type EncodeError = Box<dyn Error + Send + Sync>;

/// One publication.
#[derive(Debug)]
pub(crate) struct Parcel {
    exchange: &'static str,
    routing_key: ShortString,
    /// For metrics: what the message is called, or what kind of copy it is.
    pub(crate) label: &'static str,
    /// Whose order it is part of. `None` for copies: what is retried or given up has lost its
    /// place already.
    session_id: Option<SessionId>,
    /// Whether it is an error if no queue wants it.
    mandatory: bool,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Parcel {
    /// A new message, in the trace of the current span.
    pub(crate) fn new<M: Message>(message: &M, clock: &dyn Clock) -> Result<Self, EncodeError> {
        Ok(Self {
            exchange: topology::exchange(M::EXCHANGE),
            routing_key: ShortString::try_new(message.routing_key())?,
            label: M::ROUTING_KEY,
            session_id: Some(message.session_id()),
            mandatory: M::EXCHANGE == Exchange::Work || message.copy_to().is_some(),
            properties: published_properties(message, clock)?,
            body: serde_json::to_vec(message)?,
        })
    }

    /// News for the reply queue called `queue`, if it is still there: nobody keeps it, and nobody
    /// minds if it is lost.
    pub(crate) fn reply<M: Message>(
        queue: ShortString,
        message: &M,
        clock: &dyn Clock,
    ) -> Result<Self, EncodeError> {
        Ok(Self {
            exchange: DEFAULT,
            routing_key: queue,
            label: M::ROUTING_KEY,
            session_id: Some(message.session_id()),
            mandatory: false,
            properties: new_properties(message, clock)?
                .with_headers(headers::of_current_span())
                .with_delivery_mode(TRANSIENT),
            body: serde_json::to_vec(message)?,
        })
    }

    /// A copy for the dead-letter queue of `queue`, with the reason on it.
    pub(crate) fn dead_letter(original: &Delivery, queue: &Queue, failure: &Failure) -> Self {
        let properties = copy_properties(original, queue, failure);
        Self {
            exchange: DEAD,
            routing_key: queue.name.into(),
            label: "dead-letter",
            session_id: None,
            mandatory: true,
            properties,
            body: original.data.clone(),
        }
    }

    /// A copy for the retry queue called `retry_queue`.
    pub(crate) fn retry(
        original: &Delivery,
        queue: &Queue,
        retry_queue: &str,
        failure: &Failure,
    ) -> Self {
        let properties = copy_properties(original, queue, failure);
        Self {
            exchange: DEFAULT,
            routing_key: retry_queue.into(),
            label: "retry",
            session_id: None,
            mandatory: true,
            properties,
            body: original.data.clone(),
        }
    }

    /// A dead letter on its way back to `queue`, as if it had never failed.
    pub(crate) fn redriven(original: &Delivery, queue: &Queue) -> Self {
        let headers = headers::redriven(&original.properties);
        Self {
            exchange: DEFAULT,
            routing_key: queue.name.into(),
            label: "redrive",
            session_id: None,
            mandatory: true,
            properties: properties_with(&original.properties, headers),
            body: original.data.clone(),
        }
    }

    /// Where it goes; two parcels with the same address are routed alike.
    pub(crate) fn address(&self) -> (&str, &str) {
        (self.exchange, self.routing_key.as_str())
    }

    /// Which of `n_lanes` it has to take: the same one as the rest of its session.
    pub(crate) fn lane(&self, n_lanes: usize) -> usize {
        let mut hasher = DefaultHasher::new();
        self.session_id.hash(&mut hasher);
        let lane = hasher.finish() % n_lanes.max(1) as u64;
        usize::try_from(lane).expect("it is less than a usize")
    }

    /// The size of its body: what a broker's `max_message_size` is about.
    pub(crate) fn size_bytes(&self) -> usize {
        self.body.len()
    }

    /// Publishes it, and waits for the broker's word.
    #[expect(clippy::disallowed_methods, reason = "this is where the confirm is awaited")]
    pub(crate) async fn publish(&self, channel: &Channel) -> lapin::Result<Confirmation> {
        let mandatory = self.mandatory;
        let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
        let (exchange, routing_key) = (self.exchange.into(), self.routing_key.clone());
        let properties = self.properties.clone();
        // Two awaits: the first is over when the bytes are in the socket, the second is the word.
        channel.basic_publish(exchange, routing_key, options, &self.body, properties).await?.await
    }
}

/// The properties of a new message for an exchange: its second routing key, if it has one, is for
/// the broker in a header. It is in the trace of the current span.
fn published_properties<M: Message>(
    message: &M,
    clock: &dyn Clock,
) -> Result<BasicProperties, EncodeError> {
    let mut headers = headers::of_current_span();
    headers::set_published_ms(&mut headers, clock.now().timestamp_millis());
    if let Some(key) = message.copy_to() {
        headers::set_second_key(&mut headers, key);
    }
    let properties = new_properties(message, clock)?;
    Ok(properties.with_headers(headers).with_delivery_mode(PERSISTENT))
}

/// The properties of a new message, but for its headers.
fn new_properties<M: Message>(
    message: &M,
    clock: &dyn Clock,
) -> Result<BasicProperties, EncodeError> {
    let accepted_at = u64::try_from(clock.now().timestamp()).unwrap_or_default();
    Ok(BasicProperties::default()
        .with_content_type("application/json".into())
        .with_message_id(message.message_id().to_string().into())
        .with_timestamp(accepted_at)
        .with_type(ShortString::try_new(message.routing_key())?))
}

/// What is wrong with a message.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    /// Safe to show: no data of the message.
    pub(crate) error: String,
    /// The error itself, for the log.
    pub(crate) cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Fault {
    /// The error with its causes, for a field of a log line.
    pub(crate) fn logged(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// Why a message is retried or given up.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    /// How often it has failed by now.
    pub(crate) attempts: i64,
}

/// What operators filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The bytes are not the message they should be.
    Undecodable,
    /// The handler said no, each time.
    Failed,
    /// The handler panicked.
    Panicked,
}

impl Reason {
    /// Stable: it is in headers and metrics.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
        }
    }
}

/// The properties of a copy, with the reason for it.
fn copy_properties(original: &Delivery, queue: &Queue, failure: &Failure) -> BasicProperties {
    let from = &original.properties;
    properties_with(from, copy_headers(from, queue, failure))
}

/// The original's properties as far as they are about the message, with other headers.
///
/// Left behind: `expiration`, or the copy would vanish from the dead-letter queue; `user-id`,
/// which the broker checks against our own user; and the headers of its way here.
fn properties_with(from: &BasicProperties, headers: FieldTable) -> BasicProperties {
    let mut to = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    if let Some(value) = from.content_type() {
        to = to.with_content_type(value.clone());
    }
    if let Some(value) = from.content_encoding() {
        to = to.with_content_encoding(value.clone());
    }
    if let Some(value) = from.correlation_id() {
        to = to.with_correlation_id(value.clone());
    }
    if let Some(value) = from.reply_to() {
        to = to.with_reply_to(value.clone());
    }
    if let Some(value) = from.message_id() {
        to = to.with_message_id(value.clone());
    }
    if let Some(value) = from.timestamp() {
        to = to.with_timestamp(*value);
    }
    if let Some(value) = from.kind() {
        to = to.with_type(value.clone());
    }
    if let Some(value) = from.app_id() {
        to = to.with_app_id(value.clone());
    }
    to
}

fn copy_headers(from: &BasicProperties, queue: &Queue, failure: &Failure) -> FieldTable {
    let mut copy = headers::copied(from);
    let error: String = failure.fault.error.chars().take(ERROR_TEXT_LIMIT).collect();
    headers::set_text(&mut copy, headers::REASON, failure.fault.reason.code());
    headers::set_text(&mut copy, headers::ERROR, &error);
    headers::set_text(&mut copy, headers::QUEUE, queue.name);
    copy.insert(headers::ATTEMPTS.into(), AMQPValue::LongLongInt(failure.attempts));
    copy
}

#[cfg(test)]
mod tests {
    use lapin::types::LongString;
    use recado_clock::SystemClock;
    use recado_messages::{ExecutionFinished, ObjectiveEvent};
    use recado_types::{AgentId, EventId, ExecutionId, TenantId};

    use super::*;
    use crate::topology::{INBOUND, WORK};

    fn original() -> Delivery {
        let body = b"{".to_vec();
        let mut delivery = Delivery::mock(7, WORK.into(), "message.received".into(), false, body);
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::Void);
        headers.insert("traceparent".into(), AMQPValue::LongString("00-".into()));
        delivery.properties = BasicProperties::default()
            .with_message_id("m-1".into())
            .with_expiration("1000".into())
            .with_user_id("somebody".into())
            .with_headers(headers);
        delivery
    }

    fn failure(error: &str) -> Failure {
        let fault = Fault { reason: Reason::Failed, error: error.into(), cause: None };
        Failure { fault, attempts: 3 }
    }

    fn second_keys(parcel: &Parcel) -> Option<AMQPValue> {
        let headers = parcel.properties.headers().clone()?;
        headers.inner().get("CC").cloned()
    }

    #[test]
    fn work_is_kept_and_missed_and_news_is_neither() {
        let id = uuid::Uuid::from_u128(1);
        let news = ExecutionFinished { session_id: SessionId(id), execution_id: ExecutionId(id) };
        let clock = SystemClock::default();
        let work = Parcel::new(&news, &clock).unwrap();
        assert_eq!(work.address(), ("recado.work", "execution.finished"));
        assert_eq!((work.properties.delivery_mode(), work.mandatory), (&Some(PERSISTENT), true));
        let reply = Parcel::reply("ingress.replies.1".into(), &news, &clock).unwrap();
        assert_eq!(reply.address(), ("", "ingress.replies.1"));
        assert_eq!((reply.properties.delivery_mode(), reply.mandatory), (&Some(TRANSIENT), false));
        assert_eq!(reply.body, work.body);
    }

    #[test]
    fn an_event_is_kept_and_not_missed() {
        let id = uuid::Uuid::from_u128(1);
        let clock = SystemClock::default();
        let mut event = ObjectiveEvent {
            event_id: EventId(id),
            tenant_id: TenantId(id),
            session_id: SessionId(id),
            execution_id: ExecutionId(id),
            agent_id: AgentId(id),
            event_type: "tool_called".into(),
            occurred_at: clock.now(),
            endpoint: false,
            payload: serde_json::Value::Null,
        };
        let parcel = Parcel::new(&event, &clock).unwrap();
        assert_eq!(parcel.address(), ("recado.events", "objective_event.tool_called"));
        let kind = parcel.properties.kind().as_ref().unwrap();
        assert_eq!(
            (kind.as_str(), parcel.label),
            ("objective_event.tool_called", "objective_event")
        );
        let mode = (parcel.properties.delivery_mode(), parcel.mandatory);
        assert_eq!(mode, (&Some(PERSISTENT), false));
        assert_eq!(second_keys(&parcel), None);
        event.endpoint = true;
        let parcel = Parcel::new(&event, &clock).unwrap();
        assert_eq!(parcel.address(), ("recado.events", "objective_event.tool_called"));
        let key = AMQPValue::LongString("event_delivery.requested".into());
        assert_eq!(second_keys(&parcel), Some(AMQPValue::FieldArray(vec![key].into())));
        assert!(parcel.mandatory, "somebody has to send it");
        event.event_type = "x".repeat(300);
        assert!(Parcel::new(&event, &clock).is_err());
    }

    #[test]
    fn a_dead_letter_is_the_original_with_a_reason() {
        let parcel = Parcel::dead_letter(&original(), &INBOUND, &failure("no such trigger"));
        assert_eq!(parcel.address(), ("recado.dead", "buffer.inbound"));
        assert_eq!(parcel.body, b"{");
        let properties = parcel.properties;
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "m-1");
        assert_eq!(properties.delivery_mode(), &Some(PERSISTENT));
        assert!(properties.expiration().is_none());
        assert!(properties.user_id().is_none());
        let text = |text: &str| AMQPValue::LongString(LongString::from(text));
        let headers = properties.headers().clone().unwrap();
        let mut expected = FieldTable::default();
        expected.insert("traceparent".into(), text("00-"));
        expected.insert("recado-reason".into(), text("failed"));
        expected.insert("recado-error".into(), text("no such trigger"));
        expected.insert("recado-queue".into(), text("buffer.inbound"));
        expected.insert("recado-attempts".into(), AMQPValue::LongLongInt(3));
        assert_eq!(headers, expected);
    }

    #[test]
    fn an_errors_text_is_cut() {
        let parcel = Parcel::dead_letter(&original(), &INBOUND, &failure(&"é".repeat(1000)));
        let headers = parcel.properties.headers().clone().unwrap();
        let AMQPValue::LongString(error) = &headers.inner()["recado-error"] else {
            panic!("a text")
        };
        assert_eq!(error.to_string().chars().count(), ERROR_TEXT_LIMIT);
    }
}
