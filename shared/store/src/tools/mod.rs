//! Tools: what agents can do besides talking.

mod access;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::tool::ToolKind;
use recado_types::{AgentId, TenantId, ToolId};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::references::{Deletion, MAX_USES, UsedBy};
use crate::{Store, StoreError, agents, secrets};

pub use access::{AgentBehindTool, ToolAccess, ToolForRunner, for_runner};

/// A tool, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Which.
    pub id: ToolId,
    /// What models call it; unique in the tenant.
    pub name: String,
    /// What models are told of it.
    pub description: String,
    /// What it is; that never changes.
    pub kind: ToolKind,
    /// What it does: a `ToolSpec` of that kind, as it was saved.
    pub config: Value,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Tool {
    fn from_row(operation: &'static str, row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ToolId(row.get("id")),
            name: row.get("name"),
            description: row.get("description"),
            kind: kind_from_column(operation, row.get("kind"))?,
            config: row.get("config"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        })
    }
}

/// What a tool is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDraft {
    /// What models call it.
    pub name: String,
    /// What models are told of it.
    pub description: String,
    /// What it is.
    pub kind: ToolKind,
    /// What it does.
    pub config: Value,
    /// The secrets that it names there.
    pub secret_refs: Vec<String>,
    /// The agent that it asks, if it is of that kind.
    pub agent_id: Option<AgentId>,
}

/// What a draft refers to and the tenant does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// There is no such agent.
    pub agent: bool,
    /// The names of secrets that do not exist.
    pub secrets: Vec<String>,
}

/// What saving a tool came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// It is saved.
    Saved(Tool),
    /// There is one of that name already.
    NameTaken,
    /// Something it refers to is not there.
    Missing(Missing),
    /// It was deleted, or changed by somebody else since it was read.
    Stale,
}

const INSERT: &str = "\
-- tools.insert
INSERT INTO tools (id, tenant_id, name, description, kind, config, secret_refs, agent_id,
                   created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
RETURNING id, name, description, kind, config, created_at, updated_at";

const FIND: &str = "\
-- tools.find
SELECT id, name, description, kind, config, created_at, updated_at
  FROM tools WHERE tenant_id = $1 AND id = $2";

const LIST: &str = "\
-- tools.list
SELECT id, name, description, kind, config, created_at, updated_at
  FROM tools WHERE tenant_id = $1 AND name > $2 ORDER BY name LIMIT $3";

const UPDATE: &str = "\
-- tools.update
UPDATE tools
   SET name = $4, description = $5, config = $6, secret_refs = $7, agent_id = $8,
       updated_at = greatest($9::timestamptz, updated_at + interval '1 microsecond')
 WHERE tenant_id = $1 AND id = $2 AND updated_at = $3
RETURNING id, name, description, kind, config, created_at, updated_at";

const LOCK: &str = "\
-- tools.lock
SELECT updated_at FROM tools WHERE tenant_id = $1 AND id = $2 FOR UPDATE";

const USES: &str = "\
-- tools.uses
SELECT 'agent' AS kind, id, name FROM agents
 WHERE tenant_id = $1 AND deleted_at IS NULL AND $2 = ANY (tool_ids)
 LIMIT $3";

const DELETE: &str = "\
-- tools.delete
DELETE FROM tools WHERE tenant_id = $1 AND id = $2";

const HOLD: &str = "\
-- tools.hold
SELECT id FROM tools WHERE tenant_id = $1 AND id = ANY ($2) FOR KEY SHARE";

/// Keeps a new tool.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: ToolId,
    draft: &ToolDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("tools.create");
    let mut client = store.client("tools.create").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let missing = missing(&transaction, tenant, draft).await?;
    if missing != Missing::default() {
        return Ok(Saved::Missing(missing));
    }
    let statement = transaction.prepare_cached(INSERT).await.map_err(&failed)?;
    let row = transaction
        .query_opt(
            &statement,
            &[
                &id.0,
                &tenant.0,
                &draft.name,
                &draft.description,
                &draft.kind.as_str(),
                &draft.config,
                &draft.secret_refs,
                &draft.agent_id.map(|agent| agent.0),
                &now,
            ],
        )
        .await;
    saved("tools.create", transaction, row).await
}

/// One of a tenant's tools.
pub async fn find(store: &Store, tenant: TenantId, id: ToolId) -> Result<Option<Tool>, StoreError> {
    let failed = StoreError::query("tools.find");
    let client = store.client("tools.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    row.map(|row| Tool::from_row("tools.find", &row)).transpose()
}

/// The tools whose names come after `after`, in the order of their names.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    after: &str,
    limit: i64,
) -> Result<Vec<Tool>, StoreError> {
    let failed = StoreError::query("tools.list");
    let client = store.client("tools.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0, &after, &limit]).await.map_err(&failed)?;
    rows.iter().map(|row| Tool::from_row("tools.list", row)).collect()
}

/// Replaces a tool that has not changed since it was read, which `read_at` (its `updated_at` then)
/// tells: it moves with every change, even if the clock does not. Its kind stays.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    id: ToolId,
    read_at: DateTime<Utc>,
    draft: &ToolDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("tools.replace");
    let mut client = store.client("tools.replace").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let missing = missing(&transaction, tenant, draft).await?;
    if missing != Missing::default() {
        return Ok(Saved::Missing(missing));
    }
    let statement = transaction.prepare_cached(UPDATE).await.map_err(&failed)?;
    let row = transaction
        .query_opt(
            &statement,
            &[
                &tenant.0,
                &id.0,
                &read_at,
                &draft.name,
                &draft.description,
                &draft.config,
                &draft.secret_refs,
                &draft.agent_id.map(|agent| agent.0),
                &now,
            ],
        )
        .await;
    saved("tools.replace", transaction, row).await
}

/// Deletes a tool that no agent has, if it has not changed since `read_at` (its `updated_at` then),
/// where that is given.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: ToolId,
    read_at: Option<DateTime<Utc>>,
) -> Result<Deletion, StoreError> {
    let failed = StoreError::query("tools.delete");
    let mut client = store.client("tools.delete").await?;
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

/// Those of `ids` that the tenant has no tool for. The others stay until `transaction` ends.
pub(crate) async fn hold(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    ids: &[ToolId],
) -> Result<Vec<ToolId>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let failed = StoreError::query("tools.hold");
    let statement = transaction.prepare_cached(HOLD).await.map_err(&failed)?;
    let raw: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = transaction.query(&statement, &[&tenant.0, &raw]).await.map_err(&failed)?;
    let held: Vec<ToolId> = rows.iter().map(|row| ToolId(row.get("id"))).collect();
    Ok(ids.iter().filter(|id| !held.contains(id)).copied().collect())
}

/// A column that only this program writes.
fn kind_from_column(operation: &'static str, name: &str) -> Result<ToolKind, StoreError> {
    ToolKind::named(name).ok_or_else(|| {
        let source = format!("`{name}` is no kind of tool").into();
        StoreError::Inconsistent { operation, column: "tools.kind", source }
    })
}

/// Commits what was written, if it was.
async fn saved(
    operation: &'static str,
    transaction: Transaction<'_>,
    written: Result<Option<Row>, tokio_postgres::Error>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query(operation);
    match written {
        Ok(Some(row)) => {
            transaction.commit().await.map_err(&failed)?;
            Ok(Saved::Saved(Tool::from_row(operation, &row)?))
        }
        Ok(None) => Ok(Saved::Stale),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(Saved::NameTaken),
        Err(error) => Err(failed(error)),
    }
}

/// What the draft refers to in vain. All else that it refers to stays until `transaction` ends.
async fn missing(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    draft: &ToolDraft,
) -> Result<Missing, StoreError> {
    let agent = match draft.agent_id {
        Some(agent) => agents::hold(transaction, tenant, agent).await?.is_none(),
        None => false,
    };
    let names: Vec<&str> = draft.secret_refs.iter().map(String::as_str).collect();
    Ok(Missing { agent, secrets: secrets::hold(transaction, tenant, &names).await? })
}
