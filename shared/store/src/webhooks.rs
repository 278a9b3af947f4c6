//! What the workers need of the configuration: triggers, secrets, API keys, providers.

use std::fmt;

use recado_types::{TenantId, TriggerId};
use serde_json::Value;

use crate::seal::Sealed;
use crate::{Store, StoreError, secrets, triggers};

const TRIGGER: &str = "\
-- webhooks.trigger
SELECT tenant_id, enabled, version, trigger_config,
       webhook_secret_key_id, webhook_secret_sealed
  FROM triggers WHERE id = $1 AND deleted_at IS NULL";

const SECRET: &str = "\
-- webhooks.secret
SELECT key_id, sealed FROM secrets WHERE tenant_id = $1 AND name = $2";

const API_KEY_TENANT: &str = "\
-- webhooks.api_key_tenant
SELECT tenant_id FROM api_keys WHERE hash = $1 AND revoked_at IS NULL";

const PROVIDER: &str = "\
-- webhooks.provider
SELECT providers.base_url, providers.prices, providers.secret_ref, secrets.key_id, secrets.sealed
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
    /// Whether it takes messages.
    pub enabled: bool,
    /// Counts its changes.
    pub version: i32,
    /// Its configuration, as it was saved.
    pub trigger_config: Value,
    /// What native signatures are made with.
    pub webhook_secret: String,
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
    let webhook_secret = store
        .keys()
        .open(&sealed, &triggers::webhook_secret_owner(id))
        .map_err(|source| StoreError::Seal { operation, source })?;
    Ok(Some(WebhookTrigger {
        id,
        tenant_id: TenantId(row.get("tenant_id")),
        enabled: row.get("enabled"),
        version: row.get("version"),
        trigger_config: row.get("trigger_config"),
        webhook_secret,
    }))
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
    let opened = sealed.map(|sealed| store.keys().open(&sealed, &owner)).transpose();
    opened.map_err(|source| StoreError::Seal { operation, source })
}

/// Whose key has this SHA-256, unless it was revoked.
pub async fn api_key_tenant(
    store: &Store,
    hash: &[u8; 32],
) -> Result<Option<TenantId>, StoreError> {
    let failed = StoreError::query("webhooks.api_key_tenant");
    let client = store.client("webhooks.api_key_tenant").await?;
    let statement = client.prepare_cached(API_KEY_TENANT).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&hash.as_slice()]).await.map_err(&failed)?;
    Ok(row.map(|row| TenantId(row.get("tenant_id"))))
}

/// Where a model is reached, and with what.
#[derive(Clone)]
pub struct ProviderAccess {
    /// Up to and without `/chat/completions`.
    pub base_url: String,
    /// Its key.
    pub key: ProviderKey,
    /// Its price table, as it was saved.
    pub prices: Value,
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
        f.debug_struct("ProviderAccess").field("base_url", &self.base_url).finish_non_exhaustive()
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
            let opened = store.keys().open(&sealed, &owner);
            ProviderKey::Value(opened.map_err(|source| StoreError::Seal { operation, source })?)
        }
    };
    Ok(Some(ProviderAccess { base_url: row.get("base_url"), key, prices: row.get("prices") }))
}
