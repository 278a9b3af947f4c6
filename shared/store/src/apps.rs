//! Apps: what is published under one name, with triggers as its webhook channels.

use chrono::{DateTime, Utc};
use recado_types::{AppId, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::references::{Deletion, MAX_USES, UsedBy};
use crate::{Store, StoreError};

/// How far an app is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppStatus {
    /// It is being made; its channels take nothing.
    Draft,
    /// Its channels take messages.
    Published,
    /// It was put away; its channels take nothing.
    Archived,
}

impl AppStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Published, Self::Archived];

    /// The word for it, in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Archived => "archived",
        }
    }

    /// From a column that only this program writes.
    pub(crate) fn from_column(operation: &'static str, word: &str) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(|| {
            let source = format!("`{word}` is no status of an app").into();
            StoreError::Inconsistent { operation, column: "apps.status", source }
        })
    }
}

/// An app, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Which.
    pub id: AppId,
    /// What people call it.
    pub name: String,
    /// How far it is.
    pub status: AppStatus,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed: what tells its versions apart.
    pub updated_at: DateTime<Utc>,
}

impl App {
    fn from_row(operation: &'static str, row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: AppId(row.get("id")),
            name: row.get("name"),
            status: AppStatus::from_column(operation, row.get("status"))?,
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        })
    }
}

/// A change of an app; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppPatch {
    /// What people call it.
    pub name: Option<String>,
    /// How far it is.
    pub status: Option<AppStatus>,
}

const CREATE: &str = "\
-- apps.create
INSERT INTO apps (id, tenant_id, name, status, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5)
RETURNING id, name, status, created_at, updated_at";

const FIND: &str = "\
-- apps.find
SELECT id, name, status, created_at, updated_at FROM apps WHERE tenant_id = $1 AND id = $2";

const LIST: &str = "\
-- apps.list
SELECT id, name, status, created_at, updated_at
  FROM apps WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

const CHANGE: &str = "\
-- apps.change
UPDATE apps
   SET name = coalesce($3, name), status = coalesce($4, status),
       updated_at = greatest($5::timestamptz, updated_at + interval '1 microsecond')
 WHERE tenant_id = $1 AND id = $2 AND ($6::timestamptz IS NULL OR updated_at = $6)
RETURNING id, name, status, created_at, updated_at";

const LOCK: &str = "\
-- apps.lock
SELECT updated_at FROM apps WHERE tenant_id = $1 AND id = $2 FOR UPDATE";

const USES: &str = "\
-- apps.uses
SELECT 'trigger' AS kind, id, name FROM triggers
 WHERE tenant_id = $1 AND app_id = $2 AND deleted_at IS NULL
 LIMIT $3";

const DELETE: &str = "\
-- apps.delete
DELETE FROM apps WHERE tenant_id = $1 AND id = $2";

const HOLD: &str = "\
-- apps.hold
SELECT id FROM apps WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE";

/// Keeps a new app.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: AppId,
    name: &str,
    status: AppStatus,
    now: DateTime<Utc>,
) -> Result<App, StoreError> {
    let operation = "apps.create";
    let failed = StoreError::query(operation);
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(CREATE).await.map_err(&failed)?;
    let row = client
        .query_one(&statement, &[&id.0, &tenant.0, &name, &status.as_str(), &now])
        .await
        .map_err(&failed)?;
    App::from_row(operation, &row)
}

/// One of a tenant's apps.
pub async fn find(store: &Store, tenant: TenantId, id: AppId) -> Result<Option<App>, StoreError> {
    let operation = "apps.find";
    let failed = StoreError::query(operation);
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    row.map(|row| App::from_row(operation, &row)).transpose()
}

/// The apps of a tenant older than `before`, newest first.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    before: Option<AppId>,
    limit: i64,
) -> Result<Vec<App>, StoreError> {
    let operation = "apps.list";
    let failed = StoreError::query(operation);
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let before = before.map_or(Uuid::max(), |id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &before, &limit]).await.map_err(&failed)?;
    rows.iter().map(|row| App::from_row(operation, row)).collect()
}

/// Changes what the patch names, in one statement: two changes at the same time are both made.
/// `None` if there is no such app, or, if `read_at` is given, none that is as it was then.
pub async fn change(
    store: &Store,
    tenant: TenantId,
    id: AppId,
    read_at: Option<DateTime<Utc>>,
    patch: &AppPatch,
    now: DateTime<Utc>,
) -> Result<Option<App>, StoreError> {
    let operation = "apps.change";
    let failed = StoreError::query(operation);
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(CHANGE).await.map_err(&failed)?;
    let status = patch.status.map(AppStatus::as_str);
    let row = client
        .query_opt(&statement, &[&tenant.0, &id.0, &patch.name, &status, &now, &read_at])
        .await
        .map_err(&failed)?;
    row.map(|row| App::from_row(operation, &row)).transpose()
}

/// Deletes an app that has no channel left; only if it is as it was `read_at`, if that is given.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: AppId,
    read_at: Option<DateTime<Utc>>,
) -> Result<Deletion, StoreError> {
    let failed = StoreError::query("apps.delete");
    let mut client = store.client("apps.delete").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    let locked = transaction.query_opt(&lock, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    let Some(locked) = locked else { return Ok(Deletion::NotFound) };
    if read_at.is_some_and(|read_at| read_at != locked.get::<_, DateTime<Utc>>("updated_at")) {
        return Ok(Deletion::Changed);
    }
    let uses = transaction.prepare_cached(USES).await.map_err(&failed)?;
    let uses = transaction.query(&uses, &[&tenant.0, &id.0, &MAX_USES]).await.map_err(&failed)?;
    if !uses.is_empty() {
        return Ok(Deletion::InUse(uses.iter().map(UsedBy::from_row).collect()));
    }
    let delete = transaction.prepare_cached(DELETE).await.map_err(&failed)?;
    transaction.execute(&delete, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(Deletion::Deleted)
}

/// Whether the tenant has this app; if so, it stays until `transaction` ends.
pub(crate) async fn hold(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: TenantId,
    id: AppId,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("apps.hold");
    let statement = transaction.prepare_cached(HOLD).await.map_err(&failed)?;
    let row = transaction.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.is_some())
}
