//! Triggers, compiled once ([`recado_intake`]) and remembered.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_intake::auth::Keys;
use recado_intake::{CompiledTrigger, Owner};
use recado_store::listen::Change;
use recado_store::tenants::OverQuota;
use recado_store::webhooks::{self, App, WebhookTrigger};
use recado_store::{Store, StoreError};
use recado_types::TriggerId;
use recado_types::trigger::{self, TriggerConfig};

use crate::lookup::{Freshness, LookupError, Lookups};
use crate::refusal::Refusal;

/// How long a trigger is believed when no notification says that it changed.
const FRESHNESS: Freshness =
    Freshness { known_for: Duration::from_secs(30), unknown_for: Duration::from_secs(2) };

/// A quota may be raised at any time: nobody is told to stay away for longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// A trigger, and what only its surfaces want to know of it.
#[derive(Debug)]
pub(crate) struct KnownTrigger {
    trigger: CompiledTrigger,
    /// The app whose channel it is, if it is one.
    pub(crate) app: Option<App>,
    /// Which quota its tenant has used up, if it has.
    over_quota: Option<OverQuota>,
}

impl KnownTrigger {
    /// Whether its tenant may have more messages.
    pub(crate) fn within_quota(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        let Some(OverQuota { quota, until }) = self.over_quota else { return Ok(()) };
        match (until - now).to_std() {
            Err(_it_has_passed) => Ok(()),
            Ok(left) if left.is_zero() => Ok(()),
            Ok(left) => {
                Err(Refusal::QuotaExceeded { quota, retry_after: left.min(LONGEST_RETRY_AFTER) })
            }
        }
    }
}

impl Deref for KnownTrigger {
    type Target = CompiledTrigger;

    fn deref(&self) -> &CompiledTrigger {
        &self.trigger
    }
}

/// All triggers, remembered.
#[derive(Debug)]
pub(crate) struct Triggers {
    store: Store,
    lookups: Lookups<TriggerId, Arc<KnownTrigger>>,
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
    ) -> Result<Option<Arc<KnownTrigger>>, LookupError> {
        self.lookups.get(id, async || self.load(id).await).await
    }

    async fn load(&self, id: TriggerId) -> Result<Option<Arc<KnownTrigger>>, StoreError> {
        let Some(row) = webhooks::trigger(&self.store, id).await? else { return Ok(None) };
        let config = parse(&row)?;
        // One that fires by itself is nobody's to call.
        if !config.source.is_requested() {
            return Ok(None);
        }
        let previous = row.previous_webhook_secret.as_ref();
        let previous = previous.map(|(secret, until)| (secret.as_str(), *until));
        let own_keys = Keys::own(&row.webhook_secret, previous);
        let secrets = self.secrets(&row, &config).await?;
        let owner = Owner {
            id,
            tenant_id: row.tenant_id,
            project_id: row.project_id,
            agent_id: row.agent_id,
            enabled: row.enabled,
        };
        let trigger = CompiledTrigger::new(owner, config, own_keys, secrets);
        Ok(Some(Arc::new(KnownTrigger { trigger, app: row.app, over_quota: row.over_quota })))
    }

    /// What the channel's secrets hold. If the operator has to mend something, that is told here:
    /// the sender is only told that its signature is not valid.
    async fn secrets(
        &self,
        row: &WebhookTrigger,
        config: &TriggerConfig,
    ) -> Result<HashMap<String, String>, StoreError> {
        let mut secrets = HashMap::new();
        for (path, name) in config.channel.iter().flat_map(trigger::Channel::secret_refs) {
            if secrets.contains_key(name) {
                continue;
            }
            if let Some(secret) = webhooks::secret(&self.store, row.tenant_id, name).await? {
                secrets.insert(name.to_owned(), secret);
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
            Change::Row { table, tenant_id, .. } if table == "secrets" || table == "tenants" => {
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
