//! What the workers need of the configuration: triggers, secrets, API keys, providers.

use std::error::Error;
use std::fmt;

use chrono::{DateTime, Utc};
use recado_types::provider::ProviderKind;
use recado_types::{AgentId, ApiKeyId, AppId, ProjectId, TenantId, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::api_keys::{self, ApiKeyAccess};
use crate::apps::AppStatus;
use crate::seal::Sealed;
use crate::tenants::OverQuota;
use crate::triggers::open_webhook_secret;
use crate::{Store, StoreError, secrets};

const TRIGGER: &str = "\
-- webhooks.trigger
SELECT triggers.tenant_id, project_id, agent_id, enabled, version, trigger_config,
       webhook_secret_key_id, webhook_secret_sealed, previous_webhook_secret_key_id,
       previous_webhook_secret_sealed, previous_webhook_secret_expires_at,
       apps.id AS app_id, apps.status AS app_status, tenants.over_quota, tenants.over_quota_until
  FROM triggers
  JOIN tenants ON tenants.id = triggers.tenant_id
  LEFT JOIN apps ON apps.id = app_id AND apps.tenant_id = triggers.tenant_id
 WHERE triggers.id = $1 AND deleted_at IS NULL";

const SECRET: &str = "\
-- webhooks.secret
SELECT key_id, sealed FROM secrets WHERE tenant_id = $1 AND name = $2";

const API_KEY: &str = "\
-- webhooks.api_key
SELECT id, tenant_id, scopes, expires_at FROM recado_api_key($1)";

const PROVIDER: &str = "\
-- webhooks.provider
SELECT providers.kind, providers.base_url, providers.prices, providers.secret_ref,
       secrets.key_id, secrets.sealed
  FROM providers
  LEFT JOIN secrets ON secrets.tenant_id = providers.tenant_id
                   AND secrets.name = providers.secret_ref
 WHERE providers.tenant_id = $1 AND providers.name = $2";

/// A trigger as the way in needs it.
#[derive(Clone)]
pub struct WebhookTrigger {
    /// Its id.
    pub id: TriggerId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// Where it belongs.
    pub project_id: ProjectId,
    /// Whom its messages are for.
    pub agent_id: AgentId,
    /// The app whose webhook channel it is, if it is one.
    pub app: Option<App>,
    /// Whether it takes messages.
    pub enabled: bool,
    /// Whether its tenant has used up a quota. The time may have passed, as below.
    pub over_quota: Option<OverQuota>,
    /// Counts its changes.
    pub version: i32,
    /// Its configuration, as it was saved.
    pub trigger_config: Value,
    /// What native signatures are made with.
    pub webhook_secret: String,
    /// What they were made with before the last rotation, and until when that is good. The time may
    /// have passed: whoever caches this has to look at a clock anyway.
    pub previous_webhook_secret: Option<(String, DateTime<Utc>)>,
}

/// An app as the way in needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App {
    /// Which.
    pub id: AppId,
    /// Whether its channels take messages.
    pub status: AppStatus,
}

impl fmt::Debug for WebhookTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookTrigger")
            .field("id", &self.id)
            .field("tenant_id", &self.tenant_id)
            .field("enabled", &self.enabled)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A trigger that was not deleted.
pub async fn trigger(store: &Store, id: TriggerId) -> Result<Option<WebhookTrigger>, StoreError> {
    let operation = "webhooks.trigger";
    let failed = StoreError::query(operation);
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(TRIGGER).await.map_err(&failed)?;
    let Some(row) = client.query_opt(&statement, &[&id.0]).await.map_err(&failed)? else {
        return Ok(None);
    };
    let sealed = Sealed {
        key_id: row.get("webhook_secret_key_id"),
        bytes: row.get("webhook_secret_sealed"),
    };
    Ok(Some(WebhookTrigger {
        id,
        tenant_id: TenantId(row.get("tenant_id")),
        project_id: ProjectId(row.get("project_id")),
        agent_id: AgentId(row.get("agent_id")),
        app: app(operation, &row)?,
        enabled: row.get("enabled"),
        over_quota: OverQuota::from_row(&row),
        version: row.get("version"),
        trigger_config: row.get("trigger_config"),
        webhook_secret: open_webhook_secret(store, operation, id, &sealed)?,
        previous_webhook_secret: previous_webhook_secret(store, operation, id, &row),
    }))
}

fn app(operation: &'static str, row: &Row) -> Result<Option<App>, StoreError> {
    let Some(id) = row.get::<_, Option<Uuid>>("app_id").map(AppId) else { return Ok(None) };
    let status = AppStatus::from_column(operation, row.get("app_status"))?;
    Ok(Some(App { id, status }))
}

/// One that does not open is as good as none: its key may have been taken away long after it
/// expired, and the trigger has another.
fn previous_webhook_secret(
    store: &Store,
    operation: &'static str,
    id: TriggerId,
    row: &Row,
) -> Option<(String, DateTime<Utc>)> {
    let expires_at = row.get::<_, Option<DateTime<Utc>>>("previous_webhook_secret_expires_at")?;
    let sealed = Sealed {
        key_id: row.get("previous_webhook_secret_key_id"),
        bytes: row.get("previous_webhook_secret_sealed"),
    };
    match open_webhook_secret(store, operation, id, &sealed) {
        Ok(secret) => Some((secret, expires_at)),
        Err(error) => {
            let error = &error as &dyn Error;
            tracing::warn!(trigger.id = %id, error, "a replaced webhook secret does not open");
            None
        }
    }
}

/// The value of a secret.
pub async fn secret(
    store: &Store,
    tenant: TenantId,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let operation = "webhooks.secret";
    let failed = StoreError::query(operation);
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(SECRET).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &name]).await.map_err(&failed)?;
    let sealed = row.map(|row| Sealed { key_id: row.get("key_id"), bytes: row.get("sealed") });
    let owner = secrets::secret_owner(tenant, name);
    sealed.map(|sealed| store.open(operation, &sealed, &owner)).transpose()
}

/// The key that has this SHA-256, unless it was revoked. It may have expired.
pub async fn api_key(store: &Store, hash: &[u8; 32]) -> Result<Option<ApiKeyAccess>, StoreError> {
    let failed = StoreError::query("webhooks.api_key");
    let client = store.client("webhooks.api_key").await?;
    let statement = client.prepare_cached(API_KEY).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&hash.as_slice()]).await.map_err(&failed)?;
    Ok(row.map(|row| ApiKeyAccess {
        id: ApiKeyId(row.get("id")),
        tenant_id: TenantId(row.get("tenant_id")),
        scopes: api_keys::scopes(&row),
        expires_at: row.get("expires_at"),
    }))
}

/// Where a model is reached, and with what.
#[derive(Clone)]
pub struct ProviderAccess {
    /// How one talks to it.
    pub kind: ProviderKind,
    /// Up to and without `/chat/completions` or `/messages`.
    pub base_url: String,
    /// Its key.
    pub key: ProviderKey,
    /// Its price table, as it was saved.
    pub prices: Value,
}

/// From a column that only this program writes.
fn kind_from_column(operation: &'static str, word: &str) -> Result<ProviderKind, StoreError> {
    ProviderKind::named(word).ok_or_else(|| {
        let source = format!("`{word}` is no kind of provider").into();
        StoreError::Inconsistent { operation, column: "providers.kind", source }
    })
}

/// The key of a provider.
#[derive(Clone)]
pub enum ProviderKey {
    /// It needs none.
    None,
    /// The value of its secret.
    Value(String),
    /// Its `secret_ref` names a secret that does not exist.
    Missing,
}

impl fmt::Debug for ProviderAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderAccess")
            .field("kind", &self.kind)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

/// A provider of a tenant, by name.
pub async fn provider(
    store: &Store,
    tenant: TenantId,
    name: &str,
) -> Result<Option<ProviderAccess>, StoreError> {
    let operation = "webhooks.provider";
    let failed = StoreError::query(operation);
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(PROVIDER).await.map_err(&failed)?;
    let Some(row) = client.query_opt(&statement, &[&tenant.0, &name]).await.map_err(&failed)?
    else {
        return Ok(None);
    };
    let key = match (row.get::<_, Option<String>>("secret_ref"), row.get("key_id")) {
        (None, _) => ProviderKey::None,
        (Some(_), None) => ProviderKey::Missing,
        (Some(secret_ref), Some(key_id)) => {
            let sealed = Sealed { key_id, bytes: row.get("sealed") };
            let owner = secrets::secret_owner(tenant, &secret_ref);
            ProviderKey::Value(store.open(operation, &sealed, &owner)?)
        }
    };
    Ok(Some(ProviderAccess {
        kind: kind_from_column(operation, row.get("kind"))?,
        base_url: row.get("base_url"),
        key,
        prices: row.get("prices"),
    }))
}
