//! Agents: what they are made of, now and in every version before.
//!
//! Whoever changes an agent writes a new version with it, in one statement: an execution that began
//! with a version finds it for as long as it runs.

mod versions;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use recado_types::agent::{AgentSpec, ModelName};
use recado_types::{AgentId, ProjectId, TenantId, ToolId};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::references::{Deletion, MAX_USES, UsedBy};
use crate::{Store, StoreError, providers, tools};

pub use versions::{AgentVersion, version, versions};

/// What an owner sorts agents by.
pub type Labels = BTreeMap<String, String>;

/// An agent, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Which.
    pub id: AgentId,
    /// Where it belongs.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: String,
    /// What its owner's system calls it; no other living agent of the tenant is called so.
    pub external_id: Option<String>,
    /// What its owner sorts it by.
    pub labels: Labels,
    /// All else about it: an [`AgentSpec`], as it was saved.
    pub spec: Value,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Agent {
    /// Whether saving `draft` would change nothing.
    pub fn is_made_of(&self, draft: &AgentDraft) -> bool {
        self.project_id == draft.project_id
            && self.name == draft.name
            && self.external_id == draft.external_id
            && self.labels == draft.labels
            && self.spec == draft.spec.to_value()
    }

    fn from_row(row: &Row) -> Self {
        let Json(labels) = row.get("labels");
        Self {
            id: AgentId(row.get("id")),
            project_id: ProjectId(row.get("project_id")),
            name: row.get("name"),
            external_id: row.get("external_id"),
            labels,
            spec: row.get("spec"),
            version: row.get("version"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// What an agent is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentDraft {
    /// Where it belongs.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: String,
    /// What its owner's system calls it.
    pub external_id: Option<String>,
    /// What its owner sorts it by.
    pub labels: Labels,
    /// All else.
    pub spec: AgentSpec,
}

impl AgentDraft {
    /// An agent without labels that no other system knows.
    pub fn new(project_id: ProjectId, name: impl Into<String>, spec: AgentSpec) -> Self {
        let (external_id, labels) = (None, Labels::new());
        Self { project_id, name: name.into(), external_id, labels, spec }
    }

    /// The providers of all models that it may think with.
    fn providers(&self) -> Vec<&str> {
        let models = self.spec.model_refs();
        let providers = models.iter().map(|(_, model)| model.provider.as_str());
        let providers: BTreeSet<&str> = providers.filter(|it| *it != ModelName::BUILTIN).collect();
        providers.into_iter().collect()
    }

    fn tools(&self) -> Vec<ToolId> {
        let tools = self.spec.tool_refs().into_iter().map(|(_, tool)| tool);
        tools.collect::<BTreeSet<ToolId>>().into_iter().collect()
    }
}

/// What a draft refers to and the tenant does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// There is no such project.
    pub project: bool,
    /// The names of providers that do not exist.
    pub providers: Vec<String>,
    /// The tools that do not exist.
    pub tools: Vec<ToolId>,
}

impl Missing {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What saving an agent came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// It is saved.
    Saved(Agent),
    /// Something it refers to is not there.
    Missing(Missing),
    /// Another agent has this external id.
    ExternalIdTaken,
    /// It was deleted, or changed by somebody else since it was read.
    Stale,
}

const INSERT: &str = "\
-- agents.insert
WITH agent AS (
    INSERT INTO agents (id, tenant_id, project_id, name, external_id, labels, spec, providers,
                        tool_ids, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
    ON CONFLICT (id) DO NOTHING
    RETURNING *
), version AS (
    INSERT INTO agent_versions (tenant_id, agent_id, version, name, spec, created_at)
    SELECT tenant_id, id, version, name, spec, updated_at FROM agent
)
SELECT id, project_id, name, external_id, labels, spec, version, created_at, updated_at
  FROM agent";

const FIND: &str = "\
-- agents.find
SELECT id, project_id, name, external_id, labels, spec, version, created_at, updated_at
  FROM agents WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";

const LIST: &str = "\
-- agents.list
SELECT id, project_id, name, external_id, labels, spec, version, created_at, updated_at
  FROM agents
 WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3";

const UPDATE: &str = "\
-- agents.update
WITH agent AS (
    UPDATE agents
       SET project_id = $4, name = $5, external_id = $6, labels = $7, spec = $8, providers = $9,
           tool_ids = $10, updated_at = $11, version = version + 1
     WHERE tenant_id = $1 AND id = $2 AND version = $3 AND deleted_at IS NULL
    RETURNING *
), version AS (
    INSERT INTO agent_versions (tenant_id, agent_id, version, name, spec, created_at)
    SELECT tenant_id, id, version, name, spec, updated_at FROM agent
)
SELECT id, project_id, name, external_id, labels, spec, version, created_at, updated_at
  FROM agent";

const LOCK: &str = "\
-- agents.lock
SELECT version FROM agents WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE";

const USES: &str = "\
-- agents.uses
SELECT 'trigger' AS kind, id, name FROM triggers
 WHERE tenant_id = $1 AND agent_id = $2 AND deleted_at IS NULL
 UNION ALL
SELECT 'tool', id, name FROM tools WHERE tenant_id = $1 AND agent_id = $2
 UNION ALL
SELECT 'event_endpoint', id, name FROM event_endpoints
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

/// Keeps a new agent, as its version 1.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    draft: &AgentDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let operation = "agents.create";
    let mut client = store.client(operation).await?;
    let transaction = client.transaction().await.map_err(StoreError::query(operation))?;
    let missing = missing(&transaction, tenant, draft).await?;
    if !missing.is_empty() {
        return Ok(Saved::Missing(missing));
    }
    let inserted = insert(&transaction, tenant, id, draft, now).await;
    saved(operation, transaction, inserted).await
}

/// Makes the agent unless it is there. Changes nothing the second time. What it refers to is up to
/// the caller.
pub async fn ensure(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    draft: &AgentDraft,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let operation = "agents.ensure";
    let client = store.client(operation).await?;
    let inserted = insert(&client, tenant, id, draft, now).await;
    inserted.map(drop).map_err(StoreError::query(operation))
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
    let before = before.map_or(Uuid::max(), |id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &before, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(Agent::from_row).collect())
}

/// Gives an agent that is still of this `version` its next one.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    version: i32,
    draft: &AgentDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let operation = "agents.replace";
    let mut client = store.client(operation).await?;
    let transaction = client.transaction().await.map_err(StoreError::query(operation))?;
    let missing = missing(&transaction, tenant, draft).await?;
    if !missing.is_empty() {
        return Ok(Saved::Missing(missing));
    }
    let updated = update(&transaction, tenant, id, version, draft, now).await;
    saved(operation, transaction, updated).await
}

/// Deletes an agent that no trigger hands its messages to, no tool asks, and no event endpoint is
/// for, if it is still of the version `seen`, where one is given. Its row and its versions stay for
/// its executions.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    seen: Option<i32>,
    now: DateTime<Utc>,
) -> Result<Deletion, StoreError> {
    let failed = StoreError::query("agents.delete");
    let mut client = store.client("agents.delete").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    let locked = transaction.query_opt(&lock, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    let Some(locked) = locked else { return Ok(Deletion::NotFound) };
    if seen.is_some_and(|version| version != locked.get::<_, i32>("version")) {
        return Ok(Deletion::Changed);
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
    transaction: &Transaction<'_>,
    tenant: TenantId,
    id: AgentId,
) -> Result<Option<ProjectId>, StoreError> {
    let failed = StoreError::query("agents.hold");
    let statement = transaction.prepare_cached(HOLD).await.map_err(&failed)?;
    let row = transaction.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.map(|row| ProjectId(row.get("project_id"))))
}

/// The row of a new agent; `None` if its id is known already.
async fn insert(
    client: &impl GenericClient,
    tenant: TenantId,
    id: AgentId,
    draft: &AgentDraft,
    now: DateTime<Utc>,
) -> Result<Option<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(INSERT).await?;
    client
        .query_opt(
            &statement,
            &[
                &id.0,
                &tenant.0,
                &draft.project_id.0,
                &draft.name,
                &draft.external_id,
                &Json(&draft.labels),
                &draft.spec.to_value(),
                &draft.providers(),
                &raw(&draft.tools()),
                &now,
            ],
        )
        .await
}

/// The row of an agent that was changed; `None` if it is not of this `version`.
async fn update(
    client: &impl GenericClient,
    tenant: TenantId,
    id: AgentId,
    version: i32,
    draft: &AgentDraft,
    now: DateTime<Utc>,
) -> Result<Option<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(UPDATE).await?;
    client
        .query_opt(
            &statement,
            &[
                &tenant.0,
                &id.0,
                &version,
                &draft.project_id.0,
                &draft.name,
                &draft.external_id,
                &Json(&draft.labels),
                &draft.spec.to_value(),
                &draft.providers(),
                &raw(&draft.tools()),
                &now,
            ],
        )
        .await
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
            Ok(Saved::Saved(Agent::from_row(&row)))
        }
        Ok(None) => Ok(Saved::Stale),
        Err(error) if is_taken(&error) => Ok(Saved::ExternalIdTaken),
        Err(error) => Err(failed(error)),
    }
}

fn is_taken(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::UNIQUE_VIOLATION
            && error.constraint() == Some("agents_by_external_id")
    })
}

/// What the draft refers to in vain. All else that it refers to stays until `transaction` ends.
async fn missing(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    draft: &AgentDraft,
) -> Result<Missing, StoreError> {
    let failed = StoreError::query("agents.project_exists");
    let statement = transaction.prepare_cached(PROJECT_EXISTS).await.map_err(&failed)?;
    let row = transaction.query_one(&statement, &[&tenant.0, &draft.project_id.0]).await;
    Ok(Missing {
        project: !row.map_err(&failed)?.get::<_, bool>(0),
        providers: providers::hold(transaction, tenant, &draft.providers()).await?,
        tools: tools::hold(transaction, tenant, &draft.tools()).await?,
    })
}

fn raw(tools: &[ToolId]) -> Vec<Uuid> {
    tools.iter().map(|tool| tool.0).collect()
}
