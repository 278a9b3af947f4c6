//! Providers: where models are reached, under which key and at what price.

use chrono::{DateTime, Utc};
use recado_types::{ProviderId, TenantId};
use serde_json::Value;
use tokio_postgres::Row;

use crate::references::{Deletion, MAX_USES, UsedBy};
use crate::{Store, StoreError, secrets};

/// A provider, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Which.
    pub id: ProviderId,
    /// What models begin with; unique in the tenant, and never changed.
    pub name: String,
    /// How one talks to it.
    pub kind: String,
    /// What its paths are appended to.
    pub base_url: String,
    /// The secret with its key.
    pub secret_ref: Option<String>,
    /// What its models cost.
    pub prices: Value,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Provider {
    fn from_row(row: &Row) -> Self {
        Self {
            id: ProviderId(row.get("id")),
            name: row.get("name"),
            kind: row.get("kind"),
            base_url: row.get("base_url"),
            secret_ref: row.get("secret_ref"),
            prices: row.get("prices"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// What saving a provider came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// It is saved.
    Saved(Provider),
    /// There is one of that name already.
    NameTaken,
    /// It refers to a secret that is not there.
    UnknownSecret,
    /// It was deleted, or changed by somebody else since it was read.
    Stale,
}

const CREATE: &str = "\
-- providers.create
INSERT INTO providers (id, tenant_id, name, kind, base_url, secret_ref, prices,
                       created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id, name, kind, base_url, secret_ref, prices, created_at, updated_at";

const FIND: &str = "\
-- providers.find
SELECT id, name, kind, base_url, secret_ref, prices, created_at, updated_at
  FROM providers WHERE tenant_id = $1 AND id = $2";

const LIST: &str = "\
-- providers.list
SELECT id, name, kind, base_url, secret_ref, prices, created_at, updated_at
  FROM providers WHERE tenant_id = $1 AND name > $2 ORDER BY name LIMIT $3";

const REPLACE: &str = "\
-- providers.replace
UPDATE providers
   SET base_url = $4, secret_ref = $5, prices = $6,
       updated_at = greatest($7::timestamptz, updated_at + interval '1 microsecond')
 WHERE tenant_id = $1 AND id = $2 AND updated_at = $3
RETURNING id, name, kind, base_url, secret_ref, prices, created_at, updated_at";

const LOCK: &str = "\
-- providers.lock
SELECT name, updated_at FROM providers WHERE tenant_id = $1 AND id = $2 FOR UPDATE";

const USES: &str = "\
-- providers.uses
SELECT 'agent' AS kind, id, name FROM agents
 WHERE tenant_id = $1 AND deleted_at IS NULL AND $2 = ANY (providers)
 LIMIT $3";

const DELETE: &str = "\
-- providers.delete
DELETE FROM providers WHERE tenant_id = $1 AND id = $2";

const HOLD: &str = "\
-- providers.hold
SELECT name FROM providers WHERE tenant_id = $1 AND name = ANY ($2) FOR KEY SHARE";

/// Keeps a new provider.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    provider: &Provider,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("providers.create");
    let mut client = store.client("providers.create").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let secrets: Vec<&str> = provider.secret_ref.as_deref().into_iter().collect();
    if !secrets::hold(&transaction, tenant, &secrets).await?.is_empty() {
        return Ok(Saved::UnknownSecret);
    }
    let statement = transaction.prepare_cached(CREATE).await.map_err(&failed)?;
    let row = transaction
        .query_opt(
            &statement,
            &[
                &provider.id.0,
                &tenant.0,
                &provider.name,
                &provider.kind,
                &provider.base_url,
                &provider.secret_ref,
                &provider.prices,
                &provider.created_at,
                &provider.updated_at,
            ],
        )
        .await
        .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(row.as_ref().map_or(Saved::NameTaken, |row| Saved::Saved(Provider::from_row(row))))
}

/// One of a tenant's providers.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    id: ProviderId,
) -> Result<Option<Provider>, StoreError> {
    let failed = StoreError::query("providers.find");
    let client = store.client("providers.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Provider::from_row))
}

/// The providers whose names come after `after`, in the order of their names.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    after: &str,
    limit: i64,
) -> Result<Vec<Provider>, StoreError> {
    let failed = StoreError::query("providers.list");
    let client = store.client("providers.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0, &after, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(Provider::from_row).collect())
}

/// Replaces a provider that has not changed since it was read, which `read_at` (its `updated_at`
/// then) tells: it moves with every change, even if the clock does not. Name and kind stay.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    provider: &Provider,
    read_at: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("providers.replace");
    let mut client = store.client("providers.replace").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let secrets: Vec<&str> = provider.secret_ref.as_deref().into_iter().collect();
    if !secrets::hold(&transaction, tenant, &secrets).await?.is_empty() {
        return Ok(Saved::UnknownSecret);
    }
    let statement = transaction.prepare_cached(REPLACE).await.map_err(&failed)?;
    let row = transaction
        .query_opt(
            &statement,
            &[
                &tenant.0,
                &provider.id.0,
                &read_at,
                &provider.base_url,
                &provider.secret_ref,
                &provider.prices,
                &provider.updated_at,
            ],
        )
        .await
        .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(row.as_ref().map_or(Saved::Stale, |row| Saved::Saved(Provider::from_row(row))))
}

/// Deletes a provider that no agent thinks with, if it has not changed since `read_at` (its
/// `updated_at` then), where that is given.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: ProviderId,
    read_at: Option<DateTime<Utc>>,
) -> Result<Deletion, StoreError> {
    let failed = StoreError::query("providers.delete");
    let mut client = store.client("providers.delete").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    let locked = transaction.query_opt(&lock, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    let Some(locked) = locked else { return Ok(Deletion::NotFound) };
    if read_at.is_some_and(|read_at| read_at != locked.get::<_, DateTime<Utc>>("updated_at")) {
        return Ok(Deletion::Changed);
    }
    let name: &str = locked.get("name");
    let uses = transaction.prepare_cached(USES).await.map_err(&failed)?;
    let uses = transaction.query(&uses, &[&tenant.0, &name, &MAX_USES]).await.map_err(&failed)?;
    if !uses.is_empty() {
        return Ok(Deletion::InUse(uses.iter().map(UsedBy::from_row).collect()));
    }
    let delete = transaction.prepare_cached(DELETE).await.map_err(&failed)?;
    transaction.execute(&delete, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(Deletion::Deleted)
}

/// Those of `names` that the tenant has no provider for. The others stay until `transaction` ends.
pub(crate) async fn hold(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: TenantId,
    names: &[&str],
) -> Result<Vec<String>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let failed = StoreError::query("providers.hold");
    let statement = transaction.prepare_cached(HOLD).await.map_err(&failed)?;
    let rows = transaction.query(&statement, &[&tenant.0, &names]).await.map_err(&failed)?;
    let held: Vec<&str> = rows.iter().map(|row| row.get("name")).collect();
    let missing = names.iter().filter(|name| !held.contains(name));
    Ok(missing.map(|name| (*name).to_owned()).collect())
}
