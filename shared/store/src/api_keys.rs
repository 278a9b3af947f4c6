//! Keys for reading the API, and for webhooks with `auth.type: api_key`.
//!
//! Only a key's SHA-256 is kept, and its first characters, so that people can tell keys apart.
//! When it was last used is known to the minute, and written once a minute at most.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Mutex;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use recado_types::scope::{Scope, Scopes};
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
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When somebody made it stop working.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The minute in which it last worked.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl ApiKeyInfo {
    fn from_row(row: &Row) -> Self {
        Self {
            id: ApiKeyId(row.get("id")),
            name: row.get("name"),
            prefix: row.get("prefix"),
            scopes: scopes(row),
            created_at: row.get("created_at"),
            expires_at: row.get("expires_at"),
            revoked_at: row.get("revoked_at"),
            last_used_at: row.get("last_used_at"),
        }
    }
}

/// The column `scopes`. A word that this version does not know lets a key do nothing: a later
/// version may have written it, and may still be running beside this one.
pub(crate) fn scopes(row: &Row) -> Scopes {
    let Some(words) = row.get::<_, Option<Vec<&str>>>("scopes") else {
        return Scopes::default();
    };
    words.into_iter().filter_map(|word| word.parse().ok()).collect()
}

const CREATE: &str = "\
-- api_keys.create
INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes, expires_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at";

const LIST: &str = "\
-- api_keys.list
SELECT id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_keys
 WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

const REVOKE: &str = "\
-- api_keys.revoke
UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE tenant_id = $1 AND id = $2
RETURNING id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at";

const RECORD_USE: &str = "\
-- api_keys.record_use
UPDATE api_keys SET last_used_at = $3
 WHERE tenant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)";

/// A key to be kept. The key itself stays with its owner.
#[derive(Clone, Copy, Debug)]
pub struct NewApiKey<'a> {
    /// Its id.
    pub id: ApiKeyId,
    /// What people call it.
    pub name: &'a str,
    /// How it begins.
    pub prefix: &'a str,
    /// Its SHA-256, which [`crate::webhooks::api_key`] looks it up by.
    pub hash: [u8; 32],
    /// What it may do; what a key may do by default if nothing is said.
    pub scopes: Option<Scopes>,
    /// When it stops working by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key as it is asked for: whose it is, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKeyAccess {
    /// Which.
    pub id: ApiKeyId,
    /// Whose.
    pub tenant_id: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// When it stops working by itself. The time may have passed: whoever caches this has to look
    /// at a clock anyway.
    pub expires_at: Option<DateTime<Utc>>,
}

impl ApiKeyAccess {
    /// Whether it has not expired.
    pub fn is_good(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether it may do this.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.allow(scope)
    }
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
    let NewApiKey { id, name, prefix, hash, scopes, expires_at } = new;
    let scopes: Option<Vec<&str>> = scopes.map(|scopes| scopes.iter().map(Scope::name).collect());
    let row = client
        .query_opt(
            &statement,
            &[&id.0, &tenant.0, name, prefix, &hash.as_slice(), &scopes, expires_at, &now],
        )
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

/// How many keys are remembered for having been used; then it begins anew.
const MAX_REMEMBERED: usize = 10_000;

/// Which keys this process used in which minute, so that a use is written down once a minute and
/// not once a request.
#[derive(Debug, Default)]
pub struct RecentUses(Mutex<HashMap<ApiKeyId, DateTime<Utc>>>);

impl RecentUses {
    /// Writes down that a key was used. A failure is logged and no more: who uses the key did
    /// nothing wrong.
    pub async fn note(&self, store: &Store, key: &ApiKeyAccess, now: DateTime<Utc>) {
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        if !self.is_first(key.id, minute) {
            return;
        }
        if let Err(error) = record_use(store, key.tenant_id, key.id, minute).await {
            let error = &error as &dyn Error;
            tracing::warn!(api_key.id = %key.id, error, "the use of an API key was not recorded");
        }
    }

    fn is_first(&self, id: ApiKeyId, minute: DateTime<Utc>) -> bool {
        let mut uses = self.0.lock().expect("no holder of this lock panics");
        if uses.len() >= MAX_REMEMBERED {
            uses.clear();
        }
        uses.insert(id, minute) != Some(minute)
    }
}

async fn record_use(
    store: &Store,
    tenant: TenantId,
    id: ApiKeyId,
    minute: DateTime<Utc>,
) -> Result<(), StoreError> {
    let failed = StoreError::query("api_keys.record_use");
    let client = store.client("api_keys.record_use").await?;
    let statement = client.prepare_cached(RECORD_USE).await.map_err(&failed)?;
    client.execute(&statement, &[&tenant.0, &id.0, &minute]).await.map_err(&failed)?;
    Ok(())
}
