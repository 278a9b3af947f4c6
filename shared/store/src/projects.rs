//! Projects: what agents and triggers are grouped by.

use chrono::{DateTime, Utc};
use recado_types::{ProjectId, TenantId};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::references::{Deletion, MAX_USES, UsedBy};
use crate::{Store, StoreError};

/// A project, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Which.
    pub id: ProjectId,
    /// What people call it.
    pub name: String,
    /// What its maker calls it in addresses; unique in the tenant.
    pub external_id: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed: what tells its versions apart.
    pub updated_at: DateTime<Utc>,
}

/// What a project is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectDraft {
    /// What people call it.
    pub name: String,
    /// What its maker calls it.
    pub external_id: Option<String>,
}

/// What saving came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is saved.
    Saved(Project),
    /// Another project has that external id.
    ExternalIdTaken,
    /// It is not there, or was changed by somebody else since it was read.
    Stale,
}

impl Project {
    fn from_row(row: &Row) -> Self {
        Self {
            id: ProjectId(row.get("id")),
            name: row.get("name"),
            external_id: row.get("external_id"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

const INSERT: &str = "\
-- projects.create
INSERT INTO projects (id, tenant_id, name, external_id, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5)
RETURNING id, name, external_id, created_at, updated_at";

const FIND: &str = "\
-- projects.find
SELECT id, name, external_id, created_at, updated_at
  FROM projects WHERE tenant_id = $1 AND id = $2";

const LIST: &str = "\
-- projects.list
SELECT id, name, external_id, created_at, updated_at
  FROM projects WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

const UPDATE: &str = "\
-- projects.replace
UPDATE projects
   SET name = $4, external_id = $5,
       updated_at = greatest($6::timestamptz, updated_at + interval '1 microsecond')
 WHERE tenant_id = $1 AND id = $2 AND updated_at = $3
RETURNING id, name, external_id, created_at, updated_at";

const LOCK: &str = "\
-- projects.lock
SELECT updated_at FROM projects WHERE tenant_id = $1 AND id = $2 FOR UPDATE";

/// Deleted ones count: what they did still belongs to the project.
const USES: &str = "\
-- projects.uses
(SELECT 'agent' AS kind, id, name FROM agents WHERE tenant_id = $1 AND project_id = $2 LIMIT $3)
UNION ALL
(SELECT 'trigger' AS kind, id, name FROM triggers WHERE tenant_id = $1 AND project_id = $2
  LIMIT $3)
LIMIT $3";

const DELETE: &str = "\
-- projects.delete
DELETE FROM projects WHERE tenant_id = $1 AND id = $2";

/// Keeps a new project.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: ProjectId,
    draft: &ProjectDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let client = store.client("projects.create").await?;
    let statement =
        client.prepare_cached(INSERT).await.map_err(StoreError::query("projects.create"))?;
    let ProjectDraft { name, external_id } = draft;
    let row = client.query_opt(&statement, &[&id.0, &tenant.0, name, external_id, &now]).await;
    saved("projects.create", row)
}

/// One of a tenant's projects.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    id: ProjectId,
) -> Result<Option<Project>, StoreError> {
    let failed = StoreError::query("projects.find");
    let client = store.client("projects.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Project::from_row))
}

/// The projects older than `before`, newest first.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    before: Option<ProjectId>,
    limit: i64,
) -> Result<Vec<Project>, StoreError> {
    let failed = StoreError::query("projects.list");
    let client = store.client("projects.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let before = before.map_or(Uuid::max(), |id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &before, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(Project::from_row).collect())
}

/// Replaces a project that has not changed since it was read, which `read_at` (its `updated_at`
/// then) tells.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    id: ProjectId,
    read_at: DateTime<Utc>,
    draft: &ProjectDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let client = store.client("projects.replace").await?;
    let statement =
        client.prepare_cached(UPDATE).await.map_err(StoreError::query("projects.replace"))?;
    let ProjectDraft { name, external_id } = draft;
    let row =
        client.query_opt(&statement, &[&tenant.0, &id.0, &read_at, name, external_id, &now]).await;
    saved("projects.replace", row)
}

/// Deletes a project that nothing is or was in; only if it is as it was `read_at`, if that is
/// given.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: ProjectId,
    read_at: Option<DateTime<Utc>>,
) -> Result<Deletion, StoreError> {
    let failed = StoreError::query("projects.delete");
    let mut client = store.client("projects.delete").await?;
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

fn saved(
    operation: &'static str,
    written: Result<Option<Row>, tokio_postgres::Error>,
) -> Result<Saved, StoreError> {
    match written {
        Ok(Some(row)) => Ok(Saved::Saved(Project::from_row(&row))),
        Ok(None) => Ok(Saved::Stale),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            Ok(Saved::ExternalIdTaken)
        }
        Err(error) => Err(StoreError::query(operation)(error)),
    }
}
