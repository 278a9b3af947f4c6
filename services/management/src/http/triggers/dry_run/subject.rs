//! The trigger that is tried, with what it knows.

use std::collections::HashMap;

use recado_http::{ApiError, Problem};
use recado_intake::auth::Keys;
use recado_intake::{CompiledTrigger, Owner};
use recado_store::webhooks::{self, WebhookTrigger};
use recado_types::TriggerId;
use recado_types::trigger::{self, TriggerConfig};

use crate::access::Caller;
use crate::failure::store_failed;

/// A trigger, with its secrets.
pub(super) struct Subject {
    pub(super) trigger: CompiledTrigger,
    /// Every secret that could be shown by mistake.
    pub(super) secrets: Vec<String>,
    /// That of the callback.
    pub(super) callback_secret: Option<String>,
    /// Those that the channel names and nobody has.
    pub(super) missing_secrets: Vec<String>,
}

impl Subject {
    pub(super) async fn load(caller: &Caller, id: TriggerId) -> Result<Self, ApiError> {
        let row = webhooks::trigger(&caller.store, id).await.map_err(store_failed)?;
        let row = row.filter(|row| row.tenant_id == caller.tenant);
        let row = row.ok_or(Problem::TriggerNotFound)?;
        let config = TriggerConfig::parse(&row.trigger_config).map_err(|problems| {
            let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
            ApiError::internal(format!(
                "the trigger's configuration is wrong: {}",
                paths.join(", ")
            ))
        })?;
        let mut secrets = own_secrets(&row);
        let (mut named, mut missing_secrets) = (HashMap::new(), Vec::new());
        for (_, name) in config.channel.iter().flat_map(trigger::Channel::secret_refs) {
            match secret(caller, name).await? {
                Some(secret) => drop(named.insert(name.to_owned(), secret)),
                None => missing_secrets.push(name.to_owned()),
            }
        }
        secrets.extend(named.values().flat_map(|secret| lines(secret)));
        let callback = config.execution.callback.as_ref();
        let callback_secret = match callback.and_then(|callback| callback.auth.secret_ref()) {
            Some(name) => secret(caller, name).await?,
            None => None,
        };
        secrets.extend(callback_secret.iter().flat_map(|secret| lines(secret)));
        let previous = row.previous_webhook_secret.as_ref();
        let previous = previous.map(|(secret, until)| (secret.as_str(), *until));
        let keys = Keys::own(&row.webhook_secret, previous);
        let owner = Owner {
            id,
            tenant_id: row.tenant_id,
            project_id: row.project_id,
            agent_id: row.agent_id,
            enabled: row.enabled,
        };
        let trigger = CompiledTrigger::new(owner, config, keys, named);
        Ok(Self { trigger, secrets, callback_secret, missing_secrets })
    }
}

fn own_secrets(row: &WebhookTrigger) -> Vec<String> {
    let previous = row.previous_webhook_secret.as_ref().map(|(secret, _)| secret.clone());
    std::iter::once(row.webhook_secret.clone()).chain(previous).collect()
}

async fn secret(caller: &Caller, name: &str) -> Result<Option<String>, ApiError> {
    webhooks::secret(&caller.store, caller.tenant, name).await.map_err(store_failed)
}

/// A secret may hold several keys, one a line.
fn lines(secret: &str) -> impl Iterator<Item = String> {
    secret.lines().map(str::to_owned)
}
