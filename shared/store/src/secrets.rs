//! Named, sealed values of a tenant. They go in; what comes out goes to the workers only.

use chrono::{DateTime, Utc};
use recado_types::{SecretId, TenantId};
use tokio_postgres::Row;

use crate::references::{Deletion, MAX_USES, UsedBy};
use crate::{Store, StoreError};

/// What may be told about a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name, unique in the tenant.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its value last changed.
    pub updated_at: DateTime<Utc>,
}

impl SecretInfo {
    fn from_row(row: &Row) -> Self {
        Self {
            name: row.get("name"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

const CREATE: &str = "\
-- secrets.create
INSERT INTO secrets (id, tenant_id, name, key_id, sealed, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING name, created_at, updated_at";

const REPLACE: &str = "\
-- secrets.replace
UPDATE secrets
   SET key_id = $3, sealed = $4,
       updated_at = greatest($5::timestamptz, updated_at + interval '1 microsecond')
 WHERE tenant_id = $1 AND name = $2 AND updated_at = coalesce($6, updated_at)
RETURNING name, created_at, updated_at";

const FIND: &str = "\
-- secrets.find
SELECT name, created_at, updated_at FROM secrets WHERE tenant_id = $1 AND name = $2";

const LIST: &str = "\
-- secrets.list
SELECT name, created_at, updated_at FROM secrets
 WHERE tenant_id = $1 AND name > $2 ORDER BY name LIMIT $3";

const LOCK: &str = "\
-- secrets.lock
SELECT updated_at FROM secrets WHERE tenant_id = $1 AND name = $2 FOR UPDATE";

pub(crate) const USES: &str = "\
-- secrets.uses
SELECT 'trigger' AS kind, id, name FROM triggers
 WHERE tenant_id = $1 AND deleted_at IS NULL
   AND jsonb_path_exists(trigger_config,
                         '$.** ? (@.secret_ref == $name || @.signing_secret_ref == $name
                                  || @.verify_token_ref == $name
                                  || @.signingSecretCredentialReferenceId == $name)',
                         jsonb_build_object('name', $2::text))
 UNION ALL
SELECT 'provider', id, name FROM providers WHERE tenant_id = $1 AND secret_ref = $2
 UNION ALL
SELECT 'tool', id, name FROM tools WHERE tenant_id = $1 AND $2 = ANY (secret_refs)
 LIMIT $3";

const DELETE: &str = "\
-- secrets.delete
DELETE FROM secrets WHERE tenant_id = $1 AND name = $2";

const HOLD: &str = "\
-- secrets.hold
SELECT name FROM secrets WHERE tenant_id = $1 AND name = ANY($2) FOR KEY SHARE";

/// What a secret's value is bound to: it opens for this tenant under this name only.
pub(crate) fn secret_owner(tenant: TenantId, name: &str) -> String {
    format!("secret/{tenant}/{name}")
}

/// Keeps a new secret; `None` if the name is taken.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: SecretId,
    name: &str,
    value: &str,
    now: DateTime<Utc>,
) -> Result<Option<SecretInfo>, StoreError> {
    let failed = StoreError::query("secrets.create");
    let sealed = store.seal("secrets.create", value, &secret_owner(tenant, name))?;
    let client = store.client("secrets.create").await?;
    let statement = client.prepare_cached(CREATE).await.map_err(&failed)?;
    let row = client
        .query_opt(&statement, &[&id.0, &tenant.0, &name, &sealed.key_id, &sealed.bytes, &now])
        .await
        .map_err(&failed)?;
    Ok(row.as_ref().map(SecretInfo::from_row))
}

/// One of a tenant's secrets.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    name: &str,
) -> Result<Option<SecretInfo>, StoreError> {
    let failed = StoreError::query("secrets.find");
    let client = store.client("secrets.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &name]).await.map_err(&failed)?;
    Ok(row.as_ref().map(SecretInfo::from_row))
}

/// What refers to a secret; `limit` of it at most.
pub async fn uses(
    store: &Store,
    tenant: TenantId,
    name: &str,
    limit: i64,
) -> Result<Vec<UsedBy>, StoreError> {
    let failed = StoreError::query("secrets.uses");
    let client = store.client("secrets.uses").await?;
    let statement = client.prepare_cached(USES).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0, &name, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(UsedBy::from_row).collect())
}

/// Gives a secret another value; `None` if there is no such secret, or if it has changed since
/// `read_at` (its `updated_at` then), where that is given.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    name: &str,
    value: &str,
    read_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<SecretInfo>, StoreError> {
    let failed = StoreError::query("secrets.replace");
    let sealed = store.seal("secrets.replace", value, &secret_owner(tenant, name))?;
    let client = store.client("secrets.replace").await?;
    let statement = client.prepare_cached(REPLACE).await.map_err(&failed)?;
    let row = client
        .query_opt(&statement, &[&tenant.0, &name, &sealed.key_id, &sealed.bytes, &now, &read_at])
        .await
        .map_err(&failed)?;
    Ok(row.as_ref().map(SecretInfo::from_row))
}

/// The secrets whose names come after `after`, in the order of their names.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    after: &str,
    limit: i64,
) -> Result<Vec<SecretInfo>, StoreError> {
    let failed = StoreError::query("secrets.list");
    let client = store.client("secrets.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0, &after, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(SecretInfo::from_row).collect())
}

/// Deletes a secret that nothing refers to, if it has not changed since `read_at` (its `updated_at`
/// then), where that is given.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    name: &str,
    read_at: Option<DateTime<Utc>>,
) -> Result<Deletion, StoreError> {
    let failed = StoreError::query("secrets.delete");
    let mut client = store.client("secrets.delete").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    // Whoever is saving a reference to it holds it (`hold`) until that is committed. The look for
    // references has to be a statement of its own, or it would not see what it waited for.
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    let locked = transaction.query_opt(&lock, &[&tenant.0, &name]).await.map_err(&failed)?;
    let Some(locked) = locked else { return Ok(Deletion::NotFound) };
    if read_at.is_some_and(|read_at| read_at != locked.get::<_, DateTime<Utc>>("updated_at")) {
        return Ok(Deletion::Changed);
    }
    let uses = transaction.prepare_cached(USES).await.map_err(&failed)?;
    let uses = transaction.query(&uses, &[&tenant.0, &name, &MAX_USES]).await.map_err(&failed)?;
    if !uses.is_empty() {
        return Ok(Deletion::InUse(uses.iter().map(UsedBy::from_row).collect()));
    }
    let delete = transaction.prepare_cached(DELETE).await.map_err(&failed)?;
    transaction.execute(&delete, &[&tenant.0, &name]).await.map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(Deletion::Deleted)
}

/// Those of `names` that the tenant has no secret for. The others cannot be deleted before
/// `transaction` ends, so a reference saved in it does not dangle.
pub(crate) async fn hold(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: TenantId,
    names: &[&str],
) -> Result<Vec<String>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let failed = StoreError::query("secrets.hold");
    let statement = transaction.prepare_cached(HOLD).await.map_err(&failed)?;
    let rows = transaction.query(&statement, &[&tenant.0, &names]).await.map_err(&failed)?;
    let held: Vec<&str> = rows.iter().map(|row| row.get("name")).collect();
    let missing = names.iter().filter(|name| !held.contains(name));
    Ok(missing.map(|name| (*name).to_owned()).collect())
}
