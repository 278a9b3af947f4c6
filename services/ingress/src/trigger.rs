//! Triggers, compiled once and remembered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use recado_service::config::SecretString;
use recado_store::listen::Change;
use recado_store::webhooks::{self, App, WebhookTrigger};
use recado_store::{Store, StoreError};
use recado_types::trigger::{self, TriggerConfig};
use recado_types::{AgentId, ProjectId, TenantId, TriggerId};

use crate::auth::Keys;
use crate::channel::{self, Channel, Secrets};
use crate::lookup::{Freshness, LookupError, Lookups};

/// How long a trigger is believed when no notification says that it changed.
const FRESHNESS: Freshness =
    Freshness { known_for: Duration::from_secs(30), unknown_for: Duration::from_secs(2) };

/// A trigger with everything that a request needs: no request asks the database for more.
#[derive(Debug)]
pub(crate) struct CompiledTrigger {
    pub(crate) id: TriggerId,
    pub(crate) tenant_id: TenantId,
    pub(crate) project_id: ProjectId,
    pub(crate) agent_id: AgentId,
    /// The app whose channel it is, if it is one.
    pub(crate) app: Option<App>,
    pub(crate) enabled: bool,
    pub(crate) config: TriggerConfig,
    /// Its `webhook_secret`, and the one before it.
    pub(crate) own_keys: Keys,
    pub(crate) channel: Arc<dyn Channel>,
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
        let previous = row.previous_webhook_secret.as_ref();
        let previous = previous.map(|(secret, until)| (secret.as_str(), *until));
        let own_keys = Keys::own(&row.webhook_secret, previous);
        let secrets = Secrets::new(self.secrets(&row, &config).await?, own_keys.clone());
        let channel = channel::adapter(config.channel.as_ref(), &secrets);
        Ok(Some(Arc::new(CompiledTrigger {
            id,
            tenant_id: row.tenant_id,
            project_id: row.project_id,
            agent_id: row.agent_id,
            app: row.app,
            enabled: row.enabled,
            config,
            own_keys,
            channel,
        })))
    }

    /// What the channel's secrets hold. If the operator has to mend something, that is told here:
    /// the sender is only told that its signature is not valid.
    async fn secrets(
        &self,
        row: &WebhookTrigger,
        config: &TriggerConfig,
    ) -> Result<HashMap<String, SecretString>, StoreError> {
        let mut secrets = HashMap::new();
        for (path, name) in config.channel.iter().flat_map(trigger::Channel::secret_refs) {
            if secrets.contains_key(name) {
                continue;
            }
            if let Some(secret) = webhooks::secret(&self.store, row.tenant_id, name).await? {
                secrets.insert(name.to_owned(), SecretString::new(secret));
                continue;
            }
            tracing::error!(
                trigger.id = %row.id,
                tenant.id = %row.tenant_id,
                secret.name = name,
                "the secret of {path} of trigger {} is missing: what it would prove is refused",
                row.id
            );
        }
        Ok(secrets)
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
            Change::Row { table, id, .. } if table == "apps" => {
                let is_of = |app: &App| app.id.0 == *id;
                self.lookups.forget_where(|trigger| trigger.app.as_ref().is_some_and(is_of)).await;
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
        let own_keys = Keys::own("whs_test", None);
        let named = config.channel.iter().flat_map(trigger::Channel::secret_refs);
        let named = named.map(|(_, name)| (name.to_owned(), SecretString::new("s3cret".into())));
        let secrets = Secrets::new(named.collect(), own_keys.clone());
        let channel = channel::adapter(config.channel.as_ref(), &secrets);
        CompiledTrigger {
            id: TriggerId(Uuid::from_u128(1)),
            tenant_id: TenantId(Uuid::from_u128(2)),
            project_id: ProjectId(Uuid::from_u128(6)),
            agent_id: AgentId(Uuid::from_u128(3)),
            app: None,
            enabled: true,
            config,
            own_keys,
            channel,
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
        let trigger = compiled(&json!({
            "channel": {"type": "slack", "signing_secret_ref": "SLACK"},
        }));
        let shown = format!("{trigger:?}");
        assert!(!shown.contains("whs_test") && !shown.contains("s3cret"), "{shown}");
    }
}
