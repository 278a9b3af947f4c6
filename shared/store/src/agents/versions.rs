//! What an agent was made of, once.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, TenantId};
use serde_json::Value;
use tokio_postgres::Row;

use crate::{Store, StoreError};

/// One version of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentVersion {
    /// Its place, from 1.
    pub version: i32,
    /// What people called the agent.
    pub name: String,
    /// What it was made of: an `AgentSpec`, as it was saved.
    pub spec: Value,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl AgentVersion {
    fn from_row(row: &Row) -> Self {
        Self {
            version: row.get("version"),
            name: row.get("name"),
            spec: row.get("spec"),
            created_at: row.get("created_at"),
        }
    }
}

const VERSIONS: &str = "\
-- agents.versions
SELECT versions.version, versions.name, versions.spec, versions.created_at
  FROM agents JOIN agent_versions versions ON versions.agent_id = agents.id
 WHERE agents.tenant_id = $1 AND agents.id = $2 AND versions.version < $3
 ORDER BY versions.version DESC LIMIT $4";

const VERSION: &str = "\
-- agents.version
SELECT versions.version, versions.name, versions.spec, versions.created_at
  FROM agents JOIN agent_versions versions ON versions.agent_id = agents.id
 WHERE agents.tenant_id = $1 AND agents.id = $2 AND versions.version = $3";

/// The versions of an agent before `before`, newest first; of a deleted one, too, since its
/// executions name them. An agent has at least one: without any, there never was such an agent.
pub async fn versions(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<AgentVersion>, StoreError> {
    let failed = StoreError::query("agents.versions");
    let client = store.client("agents.versions").await?;
    let statement = client.prepare_cached(VERSIONS).await.map_err(&failed)?;
    let before = before.unwrap_or(i32::MAX);
    let rows = client.query(&statement, &[&tenant.0, &id.0, &before, &limit]).await;
    Ok(rows.map_err(&failed)?.iter().map(AgentVersion::from_row).collect())
}

/// One version of an agent, of a deleted one, too.
pub async fn version(
    store: &Store,
    tenant: TenantId,
    id: AgentId,
    version: i32,
) -> Result<Option<AgentVersion>, StoreError> {
    let failed = StoreError::query("agents.version");
    let client = store.client("agents.version").await?;
    let statement = client.prepare_cached(VERSION).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0, &version]).await.map_err(&failed)?;
    Ok(row.as_ref().map(AgentVersion::from_row))
}
