#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use recado_types::buffer::BufferPolicy;
use recado_types::{
    AgentId, DeliveryId, EventId, ExecutionId, Fingerprint, MessageId, SessionId, TenantId,
    TriggerId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Somebody has to work on it: it is an error if no queue wants it.
    Work,
    /// It says what happened, to whoever wants to hear it; that may be nobody.
    Events,
}

/// Something that is published.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What it is called in metrics, and what its routing key is unless it says otherwise:
    /// `<noun>.<past participle>`.
    const ROUTING_KEY: &'static str;

    /// Where it goes.
    const EXCHANGE: Exchange = Exchange::Work;

    /// What the broker routes it by: [`ROUTING_KEY`](Self::ROUTING_KEY), or that and what follows
    /// from the message.
    fn routing_key(&self) -> Cow<'static, str> {
        Self::ROUTING_KEY.into()
    }

    /// A second routing key, for a queue that has to get this message besides those that listen
    /// for the first one: then it is an error if no queue at all wants it, whatever the exchange.
    fn copy_to(&self) -> Option<&'static str> {
        None
    }

    /// The AMQP message id: the same for every publication of the same thing.
    fn message_id(&self) -> Uuid;

    /// The conversation it is part of: messages of one session keep the order in which they were
    /// given to a publisher.
    fn session_id(&self) -> SessionId;
}

/// One thing a sender sent, normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// Derived from trigger and provider id where the provider has one.
    pub id: MessageId,
    /// Who owns it.
    pub tenant_id: TenantId,
    /// The way it came in.
    pub trigger_id: TriggerId,
    /// The conversation it belongs to.
    pub session_id: SessionId,
    /// When ingress took it on. For people and metrics; the order is the broker's.
    pub accepted_at: DateTime<Utc>,
    /// What the agent is asked.
    pub text: String,
    /// The mapped context, hidden fields included.
    pub context: Map<String, Value>,
    /// What it says, in short; `None` if its id is its own and cannot be given to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What came, for those who look it up (seed 001); of triggers with the generic channel only,
    /// and only on the way to whoever records it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

/// What a sender sent, and what its trigger made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// The body, parsed.
    pub request: Value,
    /// What `outputTransform` made of it, if the trigger has one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    pub transformed: Option<Value>,
}

/// A field that is there, `null` included.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A message for a session whose trigger buffers: ingress to buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageReceived {
    /// The message.
    pub message: Inbound,
    /// How long to hold it, as the trigger said when it was accepted.
    pub buffer: BufferPolicy,
}

impl Message for MessageReceived {
    const ROUTING_KEY: &'static str = "message.received";

    fn message_id(&self) -> Uuid {
        self.message.id.0
    }

    fn session_id(&self) -> SessionId {
        self.message.session_id
    }
}

/// A request to run the agent over some messages of one session: ingress or buffer to agent-runner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutionRequested {
    /// At least one, in order, all of one session.
    pub messages: Vec<Inbound>,
    /// What to put between their texts.
    pub separator: String,
    /// The reply queue of whoever waits for the end of the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

impl ExecutionRequested {
    /// The execution these messages become, provided that they are in none yet.
    ///
    /// `None` if there is no message, which only a foreign publisher can bring about.
    pub fn execution_id(&self) -> Option<ExecutionId> {
        self.messages.first().map(|message| ExecutionId::of_first(message.id))
    }
}

impl Message for ExecutionRequested {
    const ROUTING_KEY: &'static str = "execution.requested";

    fn message_id(&self) -> Uuid {
        self.execution_id().map_or(Uuid::nil(), |id| id.0)
    }

    fn session_id(&self) -> SessionId {
        self.messages.first().map_or(SessionId(Uuid::nil()), |message| message.session_id)
    }
}

/// News that a response waits to be delivered: agent-runner to delivery. The row is the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryRequested {
    /// Whose owner it is.
    pub tenant_id: TenantId,
    /// The session whose lane it waits in.
    pub session_id: SessionId,
    /// The delivery.
    pub delivery_id: DeliveryId,
}

impl Message for DeliveryRequested {
    const ROUTING_KEY: &'static str = "delivery.requested";

    fn message_id(&self) -> Uuid {
        self.delivery_id.0
    }

    fn session_id(&self) -> SessionId {
        self.session_id
    }
}

/// News that an execution has ended, for whoever waits for it: agent-runner to an instance of
/// ingress, by its reply queue. The row is the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutionFinished {
    /// The session it was part of.
    pub session_id: SessionId,
    /// The execution.
    pub execution_id: ExecutionId,
}

impl Message for ExecutionFinished {
    const ROUTING_KEY: &'static str = "execution.finished";

    fn message_id(&self) -> Uuid {
        self.execution_id.0
    }

    fn session_id(&self) -> SessionId {
        self.session_id
    }
}

/// What happened in an execution: agent-runner to whoever listens, and to delivery if there is an
/// endpoint for it.
///
/// At least once, an execution's in order. Published again, it has the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveEvent {
    /// Derived from the execution, the type and what it happened to.
    pub event_id: EventId,
    /// Whose agent it is.
    pub tenant_id: TenantId,
    /// The session of the execution.
    pub session_id: SessionId,
    /// The execution, which seed 002 calls an objective.
    pub execution_id: ExecutionId,
    /// The agent that runs.
    pub agent_id: AgentId,
    /// `user_message`, `tool_called`, …: text, because there may be more of them one day, and who
    /// reads this hands it on.
    pub event_type: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// Whether the agent had an endpoint for its events when its run began.
    pub endpoint: bool,
    /// What such an endpoint is sent: `{type, timestamp, data}`.
    pub payload: Value,
}

impl ObjectiveEvent {
    /// What an event that has to be sent to an endpoint is routed by, besides its own key.
    pub const DELIVERY_KEY: &'static str = "event_delivery.requested";
}

impl Message for ObjectiveEvent {
    const ROUTING_KEY: &'static str = "objective_event";
    const EXCHANGE: Exchange = Exchange::Events;

    fn routing_key(&self) -> Cow<'static, str> {
        format!("{}.{}", Self::ROUTING_KEY, self.event_type).into()
    }

    fn copy_to(&self) -> Option<&'static str> {
        self.endpoint.then_some(Self::DELIVERY_KEY)
    }

    fn message_id(&self) -> Uuid {
        self.event_id.0
    }

    fn session_id(&self) -> SessionId {
        self.session_id
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inbound() -> Inbound {
        let id = |n| Uuid::from_u128(n);
        let Value::Object(context) = json!({"phoneNumber": "whatsapp:+5511999990000"}) else {
            unreachable!("an object literal")
        };
        Inbound {
            id: MessageId(id(1)),
            tenant_id: TenantId(id(2)),
            trigger_id: TriggerId(id(3)),
            session_id: SessionId(id(5)),
            accepted_at: DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap(),
            text: "Olá".into(),
            context,
            fingerprint: None,
            payload: None,
        }
    }

    /// Reading the golden file gives the message, and writing the message gives the golden file.
    fn pinned<M: Message + PartialEq + std::fmt::Debug>(message: &M, golden: &str) {
        assert_eq!(&serde_json::from_str::<M>(golden).unwrap(), message);
        let golden: Value = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::to_value(message).unwrap(), golden);
    }

    #[test]
    fn message_received_is_pinned() {
        let message = MessageReceived { message: inbound(), buffer: BufferPolicy::default() };
        pinned(&message, include_str!("../golden/message.received.json"));
    }

    #[test]
    fn a_message_with_its_payload_is_pinned() {
        let fingerprint = Some(Fingerprint(Uuid::from_u128(9)));
        let payload = |transformed| {
            Some(Payload { request: json!({"user": {"name": "Ana"}, "n": 7}), transformed })
        };
        let messages =
            [payload(Some(json!({"who": "Ana"}))), payload(Some(Value::Null)), payload(None)]
                .map(|payload| Inbound { fingerprint, payload, ..inbound() });
        let message = ExecutionRequested {
            messages: messages.to_vec(),
            separator: "\n".into(),
            reply_to: None,
        };
        pinned(&message, include_str!("../golden/execution.requested+payload.json"));
    }

    #[test]
    fn execution_requested_is_pinned() {
        let message = ExecutionRequested {
            messages: vec![inbound()],
            separator: "\n".into(),
            reply_to: None,
        };
        pinned(&message, include_str!("../golden/execution.requested.json"));
        let reply_to = Some(format!("ingress.replies.{}", Uuid::from_u128(10)));
        let message = ExecutionRequested { reply_to, ..message };
        pinned(&message, include_str!("../golden/execution.requested+reply_to.json"));
    }

    #[test]
    fn delivery_requested_is_pinned() {
        let id = |n| Uuid::from_u128(n);
        let message = DeliveryRequested {
            tenant_id: TenantId(id(2)),
            session_id: SessionId(id(5)),
            delivery_id: DeliveryId(id(6)),
        };
        pinned(&message, include_str!("../golden/delivery.requested.json"));
    }

    #[test]
    fn execution_finished_is_pinned() {
        let id = |n| Uuid::from_u128(n);
        let message =
            ExecutionFinished { session_id: SessionId(id(5)), execution_id: ExecutionId(id(7)) };
        pinned(&message, include_str!("../golden/execution.finished.json"));
    }

    #[test]
    fn objective_event_is_pinned() {
        let id = |n| Uuid::from_u128(n);
        let event = ObjectiveEvent {
            event_id: EventId(id(8)),
            tenant_id: TenantId(id(2)),
            session_id: SessionId(id(5)),
            execution_id: ExecutionId(id(7)),
            agent_id: AgentId(id(4)),
            event_type: "tool_called".into(),
            occurred_at: DateTime::from_timestamp_micros(1_795_000_000_123_456).unwrap(),
            endpoint: true,
            payload: json!({"type": "objective_event.tool_called"}),
        };
        pinned(&event, include_str!("../golden/objective_event.json"));
        assert_eq!(event.routing_key(), "objective_event.tool_called");
        assert_eq!(ObjectiveEvent::EXCHANGE, Exchange::Events);
        assert_eq!(event.copy_to(), Some("event_delivery.requested"));
        assert_eq!(ObjectiveEvent { endpoint: false, ..event }.copy_to(), None);
    }

    #[test]
    fn work_is_routed_by_what_it_is() {
        let message = MessageReceived { message: inbound(), buffer: BufferPolicy::default() };
        assert_eq!(message.routing_key(), "message.received");
        assert_eq!(MessageReceived::EXCHANGE, Exchange::Work);
    }

    #[test]
    fn each_message_names_its_session() {
        let session = SessionId(Uuid::from_u128(5));
        let received = MessageReceived { message: inbound(), buffer: BufferPolicy::default() };
        assert_eq!(received.session_id(), session);
        let mut requested = ExecutionRequested {
            messages: vec![inbound()],
            separator: "\n".into(),
            reply_to: None,
        };
        assert_eq!(requested.session_id(), session);
        requested.messages.clear();
        assert_eq!(requested.session_id(), SessionId(Uuid::nil()));
    }
}
