//! Typed identifiers, and how some of them derive from others.
//!
//! Every id is 128 bits. Fresh ones are `UUIDv7` from the clock; derived ones are `UUIDv8`
//! (RFC 9562): the first 122 bits of a SHA-256 over what they stand for. A derived id is the same
//! in every process and after every crash, which is what makes redelivery and retries harmless.
//!
//! An id is written as a UUID in our API and in the database, and as `agent_` and a ULID of the
//! same bits in events. Either form is understood wherever an id is read from a text.

mod chosen;
mod ulid;

pub use chosen::{ChosenId, ChosenIdError};

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($prefix:literal)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            /// What stands before the `_` of its prefixed form.
            pub const PREFIX: &'static str = $prefix;

            /// Its prefixed form: the prefix, `_`, and its bits as a ULID.
            pub fn prefixed(self) -> Prefixed {
                Prefixed { prefix: Self::PREFIX, id: self.0 }
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                read(Self::PREFIX, text).map(Self)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": "uuid" })
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )+};
}

ids! {
    /// Owner of everything else.
    TenantId("account"),
    /// A grouping of agents and triggers inside a tenant.
    ProjectId("workspace"),
    /// A prompt, a model and tools.
    AgentId("agent"),
    /// Where models are reached.
    ProviderId("provider"),
    /// A named, encrypted value of a tenant.
    SecretId("secret"),
    /// A key for reading the API and for webhooks with `auth.type: api_key`.
    ApiKeyId("apikey"),
    /// Who made something.
    ProfileId("profile"),
    /// Somebody of the tenant's team.
    MemberId("member"),
    /// A published agent with webhook channels.
    AppId("app"),
    /// A configured way in.
    TriggerId("trigger"),
    /// One thing a sender sent.
    MessageId("message"),
    /// One sender's conversation with one agent.
    SessionId("session"),
    /// One run of an agent over one message or one flushed window.
    ExecutionId("obj"),
    /// One call of a model.
    LlmCallId("llmcall"),
    /// Something an agent can do besides talking.
    ToolId("tool"),
    /// One call of a tool.
    ToolCallId("toolcall"),
    /// What an execution is told of its session's past, as of some moment.
    ContextWindowId("ctxwin"),
    /// One thing that happened inside an execution.
    EventId("objevt"),
    /// One of the forms that an agent has.
    VariationId("agentvar"),
    /// One execution's way back.
    DeliveryId("delivery"),
    /// One HTTP request of a delivery.
    AttemptId("attempt"),
    /// Where an agent's events are sent to.
    EventEndpointId("endpoint"),
    /// One event on its way to one endpoint.
    EventDeliveryId("evtdelivery"),
    /// A message that nobody could handle.
    DeadLetterId("deadletter"),
    /// What a message says, in short: two messages that say the same have the same.
    Fingerprint("fingerprint"),
}

/// Why a text is no id of the kind that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID, or `{prefix}_` and a ULID")]
pub struct IdError {
    prefix: &'static str,
}

/// An id as it is shown outside of our own API: `agent_01JD3X7Q4M9F2V8K5T6W0ZC1BN`.
#[derive(Clone, Copy, Debug)]
pub struct Prefixed {
    prefix: &'static str,
    id: Uuid,
}

impl fmt::Display for Prefixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_", self.prefix)?;
        ulid::write(self.id.as_u128(), f)
    }
}

/// Reads a UUID, or the prefixed form in any case.
fn read(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let ulid = match text.rsplit_once('_') {
        Some((own, ulid)) if own.eq_ignore_ascii_case(prefix) => ulid::read(ulid),
        Some(_) => None,
        None => return Uuid::from_str(text).map_err(|_not_used| IdError { prefix }),
    };
    ulid.map(Uuid::from_u128).ok_or(IdError { prefix })
}

impl ProfileId {
    /// The profile under which the system itself acts for a tenant.
    pub fn of_system(tenant: TenantId) -> Self {
        Self(derive("system profile", &[tenant.0.as_bytes()]))
    }
}

impl MessageId {
    /// The id of the message that a provider calls `provider_id`, so that the provider's retry of
    /// it is the same message in the database.
    pub fn derived(trigger: TriggerId, provider_id: &str) -> Self {
        Self(derive("message", &[trigger.0.as_bytes(), provider_id.as_bytes()]))
    }
}

impl Fingerprint {
    /// The fingerprint of a message's content, in a form that is the same for every retry.
    pub fn of(content: &[u8]) -> Self {
        Self(derive("fingerprint", &[content]))
    }
}

impl ExecutionId {
    /// What is different between a message's id and that of the execution which begins with it.
    /// Only random bits are: version and variant stay what they are, and so does the time, by
    /// which ids are sorted.
    const FIRST_MESSAGE: u128 = 0x2d5b_8c17_9ae6_43f1;

    /// The id of the execution whose input begins with `message`. A message is in one execution
    /// only, so its first message names it.
    pub fn of_first(message: MessageId) -> Self {
        Self(Uuid::from_u128(message.0.as_u128() ^ Self::FIRST_MESSAGE))
    }

    /// The message that an execution of this id begins with. Whoever sends a message is told the
    /// id of such an execution before it is known whether there will be one: the message may go
    /// into an execution that others begin.
    pub fn first_message(self) -> MessageId {
        MessageId(Uuid::from_u128(self.0.as_u128() ^ Self::FIRST_MESSAGE))
    }
}

impl DeliveryId {
    /// The id of the delivery of an execution's response.
    pub fn of(execution: ExecutionId) -> Self {
        Self(derive("delivery", &[execution.0.as_bytes()]))
    }
}

impl LlmCallId {
    /// The id of a call by its place in the execution, from 1: repeated after a crash, it is the
    /// same call to a provider that knows idempotency keys.
    pub fn derived(execution: ExecutionId, number: u32) -> Self {
        Self(derive("llm call", &[execution.0.as_bytes(), &number.to_be_bytes()]))
    }

    /// The id of a call that shortens the past. A turn in its place would be another call.
    pub fn of_summary(execution: ExecutionId, number: u32) -> Self {
        Self(derive("summary call", &[execution.0.as_bytes(), &number.to_be_bytes()]))
    }
}

impl ToolCallId {
    /// The id of the call that a model asked for in the `call_index`-th place, from 0, of what it
    /// said in `llm_call`: repeated after a crash, it is the same call to a tool that knows
    /// idempotency keys.
    pub fn derived(llm_call: LlmCallId, call_index: u32) -> Self {
        Self(derive("tool call", &[llm_call.0.as_bytes(), &call_index.to_be_bytes()]))
    }

    /// The execution of the sub-agent that answers this call.
    pub fn sub_execution(self) -> ExecutionId {
        ExecutionId(derive("sub-execution", &[self.0.as_bytes()]))
    }

    /// The session in which the sub-agent that answers this call talks: one of its own.
    pub fn sub_session(self) -> SessionId {
        SessionId(derive("sub-session", &[self.0.as_bytes()]))
    }
}

impl ContextWindowId {
    /// The id of a session's window, by its place from 1.
    pub fn derived(session: SessionId, sequence: u32) -> Self {
        Self(derive("context window", &[session.0.as_bytes(), &sequence.to_be_bytes()]))
    }
}

impl EventId {
    /// The id of what happened in an execution: of which kind (`tool_result`), and to what (the id
    /// of a call, for example). Published again after a crash, it is the same event.
    pub fn derived(execution: ExecutionId, kind: &str, subject: Uuid) -> Self {
        Self(derive("event", &[execution.0.as_bytes(), kind.as_bytes(), subject.as_bytes()]))
    }
}

impl EventDeliveryId {
    /// An event is delivered to an endpoint once.
    pub fn derived(endpoint: EventEndpointId, event: EventId) -> Self {
        Self(derive("event delivery", &[endpoint.0.as_bytes(), event.0.as_bytes()]))
    }
}

impl DeadLetterId {
    /// The id of a message in a dead-letter queue, which it has however often it is looked at.
    pub fn derived(queue: &str, message_id: &str, body: &[u8]) -> Self {
        Self(derive("dead letter", &[queue.as_bytes(), message_id.as_bytes(), body]))
    }
}

impl VariationId {
    /// The id of an agent's variation, by its name.
    pub fn derived(agent: AgentId, name: &str) -> Self {
        Self(derive("variation", &[agent.0.as_bytes(), name.as_bytes()]))
    }
}

impl TriggerId {
    /// The id of the trigger of `agent` that its maker calls `external_id`: whoever knows the two
    /// finds it without asking the database.
    pub fn chosen(agent: AgentId, external_id: &ChosenId) -> Self {
        Self(derive("chosen trigger", &[agent.0.as_bytes(), external_id.as_str().as_bytes()]))
    }
}

impl SessionId {
    /// The session of a trigger for the given values of its `session_strategy.fields`.
    ///
    /// Injective (up to a collision of SHA-256): each part is preceded by its length, so
    /// `["a|b", "c"]` and `["a", "b|c"]` are two sessions. Trigger and tenant are part of it.
    pub fn derived(tenant: TenantId, trigger: TriggerId, values: &[impl AsRef<str>]) -> Self {
        let mut parts: Vec<&[u8]> = vec![tenant.0.as_bytes(), trigger.0.as_bytes()];
        parts.extend(values.iter().map(|value| value.as_ref().as_bytes()));
        Self(derive("session", &parts))
    }

    /// The least session id: where a walk over all sessions begins.
    pub fn first() -> Self {
        Self(Uuid::nil())
    }

    /// The session of its own that an `ephemeral` message gets; the same for a retry of it.
    pub fn ephemeral(message: MessageId) -> Self {
        Self(derive("ephemeral session", &[message.0.as_bytes()]))
    }
}

fn derive(kind: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in [kind.as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: TenantId = TenantId(Uuid::from_u128(1));
    const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(2));

    fn session(values: &[String]) -> SessionId {
        SessionId::derived(TENANT, TRIGGER, values)
    }

    proptest! {
        #[test]
        fn different_values_are_different_sessions(
            left in prop::collection::vec("[a|:\\[\\]]{0,4}", 0..4),
            right in prop::collection::vec("[a|:\\[\\]]{0,4}", 0..4),
        ) {
            prop_assert_eq!(left == right, session(&left) == session(&right));
        }
    }

    proptest! {
        #[test]
        fn both_forms_of_an_id_are_read_in_any_case(bits: u128) {
            let id = AgentId(Uuid::from_u128(bits));
            let prefixed = id.prefixed().to_string();
            for text in [id.to_string(), prefixed.to_lowercase(), prefixed.to_uppercase(), prefixed] {
                prop_assert_eq!(text.parse(), Ok(id), "{}", text);
            }
        }

        #[test]
        fn the_prefixed_form_sorts_as_the_id_does(left: u128, right: u128) {
            let [left, right] = [left, right].map(|bits| ExecutionId(Uuid::from_u128(bits)));
            let [l, r] = [left, right].map(|id| id.prefixed().to_string());
            prop_assert_eq!(left.cmp(&right), l.cmp(&r));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(agent_)?[0-9A-Za-z_é-]{0,40}") {
            if let Ok(id) = text.parse::<AgentId>() {
                prop_assert_eq!(id.prefixed().to_string().parse(), Ok(id));
            }
        }
    }

    proptest! {
        #[test]
        fn an_execution_leads_back_to_its_first_message(bits: u128) {
            let message = MessageId(Uuid::from_u128(bits));
            let execution = ExecutionId::of_first(message);
            prop_assert_eq!(execution.first_message(), message);
            prop_assert_ne!(execution.0, message.0);
            let of_random = ExecutionId(message.0).first_message();
            prop_assert_eq!(ExecutionId::of_first(of_random).0, message.0);
        }

        #[test]
        fn executions_keep_the_time_of_their_messages(millis in 0_u64..1 << 48, random: [u8; 10]) {
            let id = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
            let execution = ExecutionId::of_first(MessageId(id)).0;
            prop_assert_eq!(execution.get_version_num(), 7);
            prop_assert_eq!(execution.get_variant(), uuid::Variant::RFC4122);
            prop_assert_eq!(execution.get_timestamp(), id.get_timestamp());
            prop_assert_eq!(&execution.as_bytes()[..8], &id.as_bytes()[..8]);
        }
    }

    #[test]
    fn the_prefixed_form_is_that_of_ulids() {
        let id = AgentId(Uuid::from_u128(0x0186_5a9d_5b7a_7c31_8a2f_0123_4567_89ab));
        assert_eq!(id.prefixed().to_string(), "agent_01GSD9TPVTFGRRMBR14D2PF2DB");
        let greatest = AgentId(Uuid::from_u128(u128::MAX));
        assert_eq!(greatest.prefixed().to_string(), "agent_7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    }

    #[test]
    fn what_is_no_id_of_this_kind_is_refused() {
        let texts = [
            "",
            "agent_",
            "tool_01GSD9TPVTFGRRMBR14D2PF2DB",
            "01GSD9TPVTFGRRMBR14D2PF2DB",
            "agent_01GSD9TPVTFGRRMBR14D2PF2DU",
            "agent_01GSD9TPVTFGRRMBR14D2PF2D",
            "agent_01GSD9TPVTFGRRMBR14D2PF2DBB",
            "agent_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "agent_01865a9d-5b7a-7c31-8a2f-0123456789ab",
        ];
        for text in texts {
            let error = text.parse::<AgentId>().unwrap_err();
            assert_eq!(error.to_string(), "must be a UUID, or `agent_` and a ULID", "{text}");
        }
    }

    #[test]
    fn sessions_of_two_triggers_or_tenants_differ() {
        let id = SessionId::derived(TENANT, TRIGGER, &["+5511"]);
        let other_trigger = TriggerId(Uuid::from_u128(3));
        assert_ne!(id, SessionId::derived(TENANT, other_trigger, &["+5511"]));
        assert_ne!(id, SessionId::derived(TenantId(Uuid::from_u128(9)), TRIGGER, &["+5511"]));
    }

    #[test]
    fn derived_ids_never_change() {
        // Pinned: a change of these would run every message in flight a second time.
        let message = MessageId::derived(TRIGGER, "SM123");
        assert_eq!(message.to_string(), MessageId::derived(TRIGGER, "SM123").to_string());
        assert_eq!(message.0.get_version_num(), 8);
        let execution = ExecutionId::of_first(message);
        assert_eq!(execution.0.get_version_num(), 8);
        assert_ne!(DeliveryId::of(execution).0, execution.0);
    }
}
