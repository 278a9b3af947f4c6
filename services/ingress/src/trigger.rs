//! Triggers, compiled once and remembered.

use std::sync::Arc;
use std::time::Duration;

use recado_service::config::SecretString;
use recado_store::listen::Change;
use recado_store::webhooks::{self, WebhookTrigger};
use recado_store::{Store, StoreError};
use recado_types::trigger::{InboundAuth, TriggerConfig};
use recado_types::{TenantId, TriggerId};

use crate::channel::{self, Channel};
use crate::lookup::{Freshness, LookupError, Lookups};

/// How long a trigger is believed when no notification says that it changed.
const FRESHNESS: Freshness =
    Freshness { known_for: Duration::from_secs(30), unknown_for: Duration::from_secs(2) };

/// A trigger with everything that a request needs: no request asks the database for more.
#[derive(Debug)]
pub(crate) struct CompiledTrigger {
    pub(crate) id: TriggerId,
    pub(crate) tenant_id: TenantId,
    pub(crate) enabled: bool,
    pub(crate) config: TriggerConfig,
    pub(crate) webhook_secret: SecretString,
    pub(crate) channel: &'static dyn Channel,
    /// What the channel signs with; `None` if it does not, or if the secret is of no use.
    pub(crate) channel_key: Option<SecretString>,
}

/// All triggers, remembered.
#[derive(Debug)]
pub(crate) struct Triggers {
    store: Store,
    lookups: Lookups<TriggerId, Arc<CompiledTrigger>>,
}

impl Triggers {
    /// Remembers `capacity` triggers at most.
    pub(crate) fn new(store: Store, capacity: u64) -> Arc<Self> {
        Arc::new(Self { store, lookups: Lookups::new("trigger", capacity, FRESHNESS) })
    }

    /// The trigger `id`; `None` if there never was one, or if it was deleted.
    pub(crate) async fn get(
        &self,
        id: TriggerId,
    ) -> Result<Option<Arc<CompiledTrigger>>, LookupError> {
        self.lookups.get(id, async || self.load(id).await).await
    }

    async fn load(&self, id: TriggerId) -> Result<Option<Arc<CompiledTrigger>>, StoreError> {
        let Some(row) = webhooks::trigger(&self.store, id).await? else { return Ok(None) };
        let config = parse(&row)?;
        let channel = channel::adapter(config.channel.as_ref());
        let channel_key = self.channel_key(&row, &config, channel).await?;
        Ok(Some(Arc::new(CompiledTrigger {
            id,
            tenant_id: row.tenant_id,
            enabled: row.enabled,
            config,
            webhook_secret: row.webhook_secret.into(),
            channel,
            channel_key,
        })))
    }

    /// What the channel signs with. If the operator has to mend something, that is told here: the
    /// sender is only told that its signature is not valid.
    async fn channel_key(
        &self,
        row: &WebhookTrigger,
        config: &TriggerConfig,
        channel: &dyn Channel,
    ) -> Result<Option<SecretString>, StoreError> {
        if config.auth != InboundAuth::Twilio {
            return Ok(None);
        }
        let name = config.channel.as_ref().and_then(|channel| channel.secret_ref.as_deref());
        let Some(name) = name else { return Ok(None) };
        let secret = webhooks::secret(&self.store, row.tenant_id, name).await?;
        let key = secret.as_deref().and_then(|secret| channel.signing_key(secret));
        if key.is_none() {
            let reason = if secret.is_none() { "is missing" } else { "is malformed" };
            tracing::error!(
                trigger.id = %row.id,
                tenant.id = %row.tenant_id,
                secret.name = name,
                "nothing that comes to trigger {} is authentic: the channel's secret {reason}",
                row.id
            );
        }
        Ok(key.map(|key| SecretString::new(key.to_owned())))
    }

    /// Something in the configuration changed.
    pub(crate) async fn apply(&self, change: &Change) {
        match change {
            Change::Reset => self.lookups.doubt_all(),
            Change::Row { table, id, .. } if table == "triggers" => {
                self.lookups.forget(&TriggerId(*id)).await;
            }
            Change::Row { table, tenant_id, .. } if table == "secrets" => {
                self.lookups.forget_where(|trigger| trigger.tenant_id == *tenant_id).await;
            }
            Change::Row { .. } => {}
        }
    }
}

/// What was saved is parsed as it was when it was saved; it fails only if an older version of the
/// program reads what a newer one wrote.
fn parse(row: &WebhookTrigger) -> Result<TriggerConfig, StoreError> {
    TriggerConfig::parse(&row.trigger_config).map_err(|problems| {
        let first = problems.into_iter().next();
        let reason = first.map(|problem| format!("{}: {}", problem.path, problem.reason));
        StoreError::Inconsistent {
            operation: "webhooks.trigger",
            column: "triggers.trigger_config",
            source: reason.unwrap_or_default().into(),
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    //! A trigger and a message for the tests of other modules.

    use chrono::DateTime;
    use recado_messages::Inbound;
    use recado_types::{MessageId, SessionId};
    use serde_json::{Map, Value, json};
    use uuid::Uuid;

    use super::*;

    /// A trigger with `config`, whose `execution` is the shortest one unless it is given.
    pub(crate) fn compiled(config: &Value) -> CompiledTrigger {
        let mut config = config.clone();
        let fields = config.as_object_mut().expect("a configuration is an object");
        fields.entry("execution").or_insert_with(|| json!({"mode": "async"}));
        let config = TriggerConfig::parse(&config).expect("the test's configuration is valid");
        let channel = channel::adapter(config.channel.as_ref());
        CompiledTrigger {
            id: TriggerId(Uuid::from_u128(1)),
            tenant_id: TenantId(Uuid::from_u128(2)),
            enabled: true,
            config,
            webhook_secret: SecretString::new("whs_test".into()),
            channel,
            channel_key: None,
        }
    }

    /// A message of that trigger.
    pub(crate) fn inbound() -> Inbound {
        Inbound {
            id: MessageId(Uuid::from_u128(4)),
            tenant_id: TenantId(Uuid::from_u128(2)),
            trigger_id: TriggerId(Uuid::from_u128(1)),
            session_id: SessionId(Uuid::from_u128(5)),
            accepted_at: DateTime::UNIX_EPOCH,
            text: "Olá".into(),
            context: Map::new(),
            fingerprint: None,
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let mut trigger = compiled(&json!({}));
        trigger.channel_key = Some(SecretString::new("token-12345".into()));
        let shown = format!("{trigger:?}");
        assert!(!shown.contains("whs_test") && !shown.contains("token-12345"), "{shown}");
    }
}
