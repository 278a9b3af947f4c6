//! Keys for reading the API, and for webhooks with `auth.type: api_key`.
//!
//! Only a key's SHA-256 is kept, and its first characters, so that people can tell keys apart.

use chrono::{DateTime, Utc};
use recado_types::{ApiKeyId, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError};

/// What may be told about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyInfo {
    /// Which.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stopped working.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiKeyInfo {
    fn from_row(row: &Row) -> Self {
        Self {
            id: ApiKeyId(row.get("id")),
            name: row.get("name"),
            prefix: row.get("prefix"),
            created_at: row.get("created_at"),
            revoked_at: row.get("revoked_at"),
        }
    }
}

const CREATE: &str = "\
-- api_keys.create
INSERT INTO api_keys (id, tenant_id, name, prefix, hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING id, name, prefix, created_at, revoked_at";

const LIST: &str = "\
-- api_keys.list
SELECT id, name, prefix, created_at, revoked_at FROM api_keys
 WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

const REVOKE: &str = "\
-- api_keys.revoke
UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE tenant_id = $1 AND id = $2
RETURNING id, name, prefix, created_at, revoked_at";

/// A key to be kept. The key itself stays with its owner.
#[derive(Clone, Copy, Debug)]
pub struct NewApiKey<'a> {
    /// Its id.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: &'a str,
    /// How it begins.
    pub prefix: &'a str,
    /// Its SHA-256, which [`crate::webhooks::api_key_tenant`] looks it up by.
    pub hash: [u8; 32],
}

/// Keeps a key; `None` if the id or the key is there already.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    new: &NewApiKey<'_>,
    now: DateTime<Utc>,
) -> Result<Option<ApiKeyInfo>, StoreError> {
    let failed = StoreError::query("api_keys.create");
    let client = store.client("api_keys.create").await?;
    let statement = client.prepare_cached(CREATE).await.map_err(&failed)?;
    let NewApiKey { id, name, prefix, hash } = new;
    let row = client
        .query_opt(&statement, &[&id.0, &tenant.0, name, prefix, &hash.as_slice(), &now])
        .await
        .map_err(&failed)?;
    Ok(row.as_ref().map(ApiKeyInfo::from_row))
}

/// The keys of a tenant older than `before`, newest first, revoked ones included.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    before: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKeyInfo>, StoreError> {
    let failed = StoreError::query("api_keys.list");
    let client = store.client("api_keys.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let before = before.map_or(Uuid::max(), |id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &before, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(ApiKeyInfo::from_row).collect())
}

/// Makes a key stop working. The first time counts; `None` if there is no such key.
pub async fn revoke(
    store: &Store,
    tenant: TenantId,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<Option<ApiKeyInfo>, StoreError> {
    let failed = StoreError::query("api_keys.revoke");
    let client = store.client("api_keys.revoke").await?;
    let statement = client.prepare_cached(REVOKE).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0, &now]).await.map_err(&failed)?;
    Ok(row.as_ref().map(ApiKeyInfo::from_row))
}
