//! Where triggers are, in addresses that name project and agent (seed 001).

use recado_types::{AgentId, ProjectId, TenantId};

use crate::{Store, StoreError};

const PLACE: &str = "\
-- triggers.place
SELECT p.id AS project_id, a.id AS agent_id
  FROM agents a JOIN projects p ON p.id = a.project_id
 WHERE a.tenant_id = $1 AND a.deleted_at IS NULL
   AND (a.id = $2 OR (a.tenant_id = $1 AND a.external_id = $3))
   AND (p.id = $4 OR p.external_id = $5)";

/// An agent and its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The project.
    pub project_id: ProjectId,
    /// The agent, which belongs there.
    pub agent_id: AgentId,
}

/// The place that these words mean, each of them an id or what its owner calls it; `None` if there
/// is no such agent, or not in that project.
pub async fn place(
    store: &Store,
    tenant: TenantId,
    project: &str,
    agent: &str,
) -> Result<Option<Place>, StoreError> {
    // No name has it, and the database does not take it.
    if project.contains('\0') || agent.contains('\0') {
        return Ok(None);
    }
    let project_id = project.parse::<ProjectId>().ok().map(|id| id.0);
    let agent_id = agent.parse::<AgentId>().ok().map(|id| id.0);
    let project = project_id.is_none().then_some(project);
    let agent = agent_id.is_none().then_some(agent);
    let failed = StoreError::query("triggers.place");
    let client = store.client("triggers.place").await?;
    let statement = client.prepare_cached(PLACE).await.map_err(&failed)?;
    let row = client
        .query_opt(&statement, &[&tenant.0, &agent_id, &agent, &project_id, &project])
        .await
        .map_err(&failed)?;
    Ok(row.map(|row| Place {
        project_id: ProjectId(row.get("project_id")),
        agent_id: AgentId(row.get("agent_id")),
    }))
}
