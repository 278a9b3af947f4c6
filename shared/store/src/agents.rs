//! Agents: a prompt and the model that reads it.

use chrono::{DateTime, Utc};
use recado_types::agent::ModelName;
use recado_types::{AgentId, ProjectId, TenantId};
use tokio_postgres::Row;

use crate::references::{Deletion, MAX_USES, UsedBy};
use crate::{Store, StoreError, providers};

/// An agent, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Which.
    pub id: AgentId,
    /// Where it belongs.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: String,
    /// `provider.model`.
    pub model: String,
    /// What the model is told about itself.
    pub system_prompt: String,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Agent {
    fn from_row(row: &Row) -> Self {
        Self {
            id: AgentId(row.get("id")),
            project_id: ProjectId(row.get("project_id")),
            name: row.get("name"),
            model: row.get("model"),
            system_prompt: row.get("system_prompt"),
            version: row.get("version"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// What an agent is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentDraft {
    /// Where it belongs.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: String,
    /// The model it thinks with.
    pub model: ModelName,
    /// What the model is told about itself.
    pub system_prompt: String,
}

/// What saving an agent came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is saved.
    Saved(Agent),
    /// Something it refers to is not there.
    Missing {
        /// The tenant has no such project.
        project: bool,
        /// The tenant has no such provider.
        provider: bool,
    },
    /// It was deleted, or changed by somebody else since it was read.
    Stale,
}

const CREATE: &str = "\
-- agents.create
INSERT INTO agents (id, tenant_id, project_id, name, model, system_prompt, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
RETURNING id, project_id, name, model, system_prompt, version, created_at, updated_at";

const ENSURE: &str = "\
-- agents.ensure
INSERT INTO agents (id, tenant_id, project_id, name, model, system_prompt, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
ON CONFLICT (id) DO NOTHING";

const FIND: &str = "\
-- agents.find
SELECT id, project_id, name, model, system_prompt, version, created_at, updated_at
  FROM agents WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";

const LIST: &str = "\
-- agents.list
SELECT id, project_id, name, model, system_prompt, version, created_at, updated_at
  FROM agents
 WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3";

const REPLACE: &str = "\
-- agents.replace
UPDATE agents
   SET project_id = $4, name = $5, model = $6, system_prompt = $7, updated_at = $8,
       version = version + 1
 WHERE tenant_id = $1 AND id = $2 AND version = $3 AND deleted_at IS NULL
RETURNING id, project_id, name, model, system_prompt, version, created_at, updated_at";

const LOCK: &str = "\
-- agents.lock
SELECT id FROM agents WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE";

const USES: &str = "\
-- agents.uses
SELECT 'trigger' AS kind, id, name FROM triggers
 WHERE tenant_id = $1 AND agent_id = $2 AND deleted_at IS NULL
 LIMIT $3";

const DELETE: &str = "\
-- agents.delete
UPDATE agents SET deleted_at = $3 WHERE tenant_id = $1 AND id = $2";

const HOLD: &str = "\
-- agents.hold
SELECT project_id FROM agents
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL FOR KEY SHARE";

const PROJECT_EXISTS: &str = "\
-- agents.project_exists
SELECT EXISTS (SELECT FROM projects WHERE tenant_id = $1 AND id = $2)";

/// Keeps a new agent.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    draft: &AgentDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("agents.create");
    let mut client = store.client("agents.create").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    if let Some(missing) = missing(&transaction, tenant, draft).await? {
        return Ok(missing);
    }
    let statement = transaction.prepare_cached(CREATE).await.map_err(&failed)?;
    let AgentDraft { project_id, name, model, system_prompt } = draft;
    let model = model.to_string();
    let row = transaction
        .query_one(
            &statement,
            &[&id.0, &tenant.0, &project_id.0, name, &model, system_prompt, &now],
        )
        .await
        .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(Saved::Saved(Agent::from_row(&row)))
}

/// Makes the agent unless it is there. Changes nothing the second time.
pub async fn ensure(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    draft: &AgentDraft,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let failed = StoreError::query("agents.ensure");
    let client = store.client("agents.ensure").await?;
    let statement = client.prepare_cached(ENSURE).await.map_err(&failed)?;
    let AgentDraft { project_id, name, model, system_prompt } = draft;
    let model = model.to_string();
    client
        .execute(&statement, &[&id.0, &tenant.0, &project_id.0, name, &model, system_prompt, &now])
        .await
        .map_err(&failed)?;
    Ok(())
}

/// One of a tenant's agents.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
) -> Result<Option<Agent>, StoreError> {
    let failed = StoreError::query("agents.find");
    let client = store.client("agents.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Agent::from_row))
}

/// The agents of a tenant older than `before`, newest first.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    before: Option<AgentId>,
    limit: i64,
) -> Result<Vec<Agent>, StoreError> {
    let failed = StoreError::query("agents.list");
    let client = store.client("agents.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let before = before.map_or(uuid::Uuid::max(), |id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &before, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(Agent::from_row).collect())
}

/// Replaces an agent that is still of this `version`.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    version: i32,
    draft: &AgentDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("agents.replace");
    let mut client = store.client("agents.replace").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    if let Some(missing) = missing(&transaction, tenant, draft).await? {
        return Ok(missing);
    }
    let statement = transaction.prepare_cached(REPLACE).await.map_err(&failed)?;
    let AgentDraft { project_id, name, model, system_prompt } = draft;
    let model = model.to_string();
    let row = transaction
        .query_opt(
            &statement,
            &[&tenant.0, &id.0, &version, &project_id.0, name, &model, system_prompt, &now],
        )
        .await
        .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(row.as_ref().map_or(Saved::Stale, |row| Saved::Saved(Agent::from_row(row))))
}

/// Deletes an agent that no trigger hands its messages to. Its row stays for its executions.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    now: DateTime<Utc>,
) -> Result<Deletion, StoreError> {
    let failed = StoreError::query("agents.delete");
    let mut client = store.client("agents.delete").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    if transaction.query_opt(&lock, &[&tenant.0, &id.0]).await.map_err(&failed)?.is_none() {
        return Ok(Deletion::NotFound);
    }
    let uses = transaction.prepare_cached(USES).await.map_err(&failed)?;
    let uses = transaction.query(&uses, &[&tenant.0, &id.0, &MAX_USES]).await.map_err(&failed)?;
    if !uses.is_empty() {
        return Ok(Deletion::InUse(uses.iter().map(UsedBy::from_row).collect()));
    }
    let delete = transaction.prepare_cached(DELETE).await.map_err(&failed)?;
    transaction.execute(&delete, &[&tenant.0, &id.0, &now]).await.map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(Deletion::Deleted)
}

/// The project of an agent, which then stays until `transaction` ends; `None` if there is no such
/// agent.
pub(crate) async fn hold(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: TenantId,
    id: AgentId,
) -> Result<Option<ProjectId>, StoreError> {
    let failed = StoreError::query("agents.hold");
    let statement = transaction.prepare_cached(HOLD).await.map_err(&failed)?;
    let row = transaction.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.map(|row| ProjectId(row.get("project_id"))))
}

async fn missing(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: TenantId,
    draft: &AgentDraft,
) -> Result<Option<Saved>, StoreError> {
    let failed = StoreError::query("agents.project_exists");
    let statement = transaction.prepare_cached(PROJECT_EXISTS).await.map_err(&failed)?;
    let row = transaction.query_one(&statement, &[&tenant.0, &draft.project_id.0]).await;
    let project = !row.map_err(&failed)?.get::<_, bool>(0);
    let provider = &draft.model.provider;
    let provider =
        provider != ModelName::BUILTIN && !providers::hold(transaction, tenant, provider).await?;
    Ok((project || provider).then_some(Saved::Missing { project, provider }))
}
