//! Typed identifiers, and how some of them derive from others.
//!
//! Every id is 128 bits. Fresh ones are `UUIDv7` from the clock; derived ones are `UUIDv8`
//! (RFC 9562): the first 122 bits of a SHA-256 over what they stand for. A derived id is the same
//! in every process and after every crash, which is what makes redelivery and retries harmless.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::from_str(text).map(Self)
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
    TenantId,
    /// A grouping of agents and triggers inside a tenant.
    ProjectId,
    /// A prompt, a model and tools.
    AgentId,
    /// Where models are reached.
    ProviderId,
    /// A named, encrypted value of a tenant.
    SecretId,
    /// A key for reading the API and for webhooks with `auth.type: api_key`.
    ApiKeyId,
    /// Somebody of the tenant's team.
    MemberId,
    /// A published agent with webhook channels.
    AppId,
    /// A configured way in.
    TriggerId,
    /// One thing a sender sent.
    MessageId,
    /// One sender's conversation with one agent.
    SessionId,
    /// One run of an agent over one message or one flushed window.
    ExecutionId,
    /// One call of a model.
    LlmCallId,
    /// One execution's way back.
    DeliveryId,
    /// One HTTP request of a delivery.
    AttemptId,
    /// What a message says, in short: two messages that say the same have the same.
    Fingerprint,
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
    /// The id of the execution whose input begins with `message`. A message is in one execution
    /// only, so its first message names it.
    pub fn of_first(message: MessageId) -> Self {
        Self(derive("execution", &[message.0.as_bytes()]))
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
    pub fn derived(execution: ExecutionId, iteration: u32) -> Self {
        Self(derive("llm call", &[execution.0.as_bytes(), &iteration.to_be_bytes()]))
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
        assert_ne!(execution.0, message.0);
        assert_ne!(DeliveryId::of(execution).0, execution.0);
    }
}
