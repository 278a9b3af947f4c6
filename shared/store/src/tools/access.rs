//! Tools as those who call them need them: with their secrets.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use recado_types::tool::ToolKind;
use recado_types::{TenantId, ToolId};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::kind_from_column;
use crate::seal::Sealed;
use crate::secrets::secret_owner;
use crate::{Store, StoreError};

/// Some of a tenant's tools, and where they may go.
#[derive(Clone, Default, PartialEq)]
pub struct ToolAccess {
    /// Those that exist, in the order in which they were asked for.
    pub tools: Vec<ToolForRunner>,
    /// The values of those secrets that they name and that exist, by name.
    pub secrets: HashMap<String, String>,
    /// Where a host that is not fixed in a tool's configuration may lead: the entries of a
    /// `HostAllowList`.
    pub allowed_hosts: Vec<String>,
    /// Where any tool may go: the entries of `DestinationHosts`.
    pub destination_hosts: Vec<String>,
}

/// A tool, to be called.
#[derive(Clone, PartialEq)]
pub struct ToolForRunner {
    /// Which.
    pub id: ToolId,
    /// What models call it.
    pub name: String,
    /// What models are told of it.
    pub description: String,
    /// What it is.
    pub kind: ToolKind,
    /// What it does: a `ToolSpec` of that kind, as it was saved.
    pub config: Value,
    /// The agent that it asks; `None` for other kinds, and if that agent is gone.
    pub agent: Option<AgentBehindTool>,
    /// When it, or one of its secrets, last changed.
    pub updated_at: DateTime<Utc>,
}

/// What is told of an agent that is a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentBehindTool {
    /// What people call it.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
}

/// Of secrets, only their names are shown.
impl fmt::Debug for ToolAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolAccess")
            .field("tools", &self.tools)
            .field("secrets", &self.secrets.keys())
            .field("allowed_hosts", &self.allowed_hosts)
            .field("destination_hosts", &self.destination_hosts)
            .finish()
    }
}

/// People write credentials into headers and command lines: the configuration is not shown.
impl fmt::Debug for ToolForRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolForRunner")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

const FOR_RUNNER: &str = "\
-- tools.for_runner
SELECT tools.id, tools.name, tools.description, tools.kind, tools.config,
       greatest(tools.updated_at, held.updated_at) AS updated_at,
       agents.name AS agent_name, agents.spec ->> 'description' AS agent_description,
       tenants.allowed_hosts, tenants.destination_hosts, held.names, held.key_ids, held.sealed
  FROM tools
  JOIN tenants ON tenants.id = tools.tenant_id
  LEFT JOIN agents ON agents.id = tools.agent_id AND agents.tenant_id = tools.tenant_id
                  AND agents.deleted_at IS NULL
 CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(name ORDER BY name), '{}') AS names,
              coalesce(array_agg(key_id ORDER BY name), '{}') AS key_ids,
              coalesce(array_agg(sealed ORDER BY name), '{}') AS sealed,
              max(secrets.updated_at) AS updated_at
         FROM secrets
        WHERE secrets.tenant_id = tools.tenant_id AND secrets.name = ANY (tools.secret_refs)) held
 WHERE tools.tenant_id = $1 AND tools.id = ANY ($2)
 ORDER BY array_position($2, tools.id)";

const OPERATION: &str = "tools.for_runner";

/// The tools that an execution may call, with all that calling them takes, in one statement.
pub async fn for_runner(
    store: &Store,
    tenant: TenantId,
    ids: &[ToolId],
) -> Result<ToolAccess, StoreError> {
    if ids.is_empty() {
        return Ok(ToolAccess::default());
    }
    let failed = StoreError::query(OPERATION);
    let client = store.client(OPERATION).await?;
    let statement = client.prepare_cached(FOR_RUNNER).await.map_err(&failed)?;
    let raw: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = client.query(&statement, &[&tenant.0, &raw]).await.map_err(&failed)?;
    let mut secrets = HashMap::new();
    for row in &rows {
        open_secrets(store, tenant, row, &mut secrets)?;
    }
    let hosts = |column| rows.first().map(|row| row.get(column)).unwrap_or_default();
    let (allowed_hosts, destination_hosts) = (hosts("allowed_hosts"), hosts("destination_hosts"));
    let tools = rows.iter().map(tool_from_row).collect::<Result<_, _>>()?;
    Ok(ToolAccess { tools, secrets, allowed_hosts, destination_hosts })
}

fn tool_from_row(row: &Row) -> Result<ToolForRunner, StoreError> {
    let agent_name: Option<String> = row.get("agent_name");
    let description: Option<String> = row.get("agent_description");
    Ok(ToolForRunner {
        id: ToolId(row.get("id")),
        name: row.get("name"),
        description: row.get("description"),
        kind: kind_from_column(OPERATION, row.get("kind"))?,
        config: row.get("config"),
        agent: agent_name
            .map(|name| AgentBehindTool { name, description: description.unwrap_or_default() }),
        updated_at: row.get("updated_at"),
    })
}

/// Opens a tool's secrets, unless another tool had them opened already.
fn open_secrets(
    store: &Store,
    tenant: TenantId,
    row: &Row,
    opened: &mut HashMap<String, String>,
) -> Result<(), StoreError> {
    let names: Vec<String> = row.get("names");
    let key_ids: Vec<String> = row.get("key_ids");
    let sealed: Vec<Vec<u8>> = row.get("sealed");
    for (name, (key_id, bytes)) in names.into_iter().zip(key_ids.into_iter().zip(sealed)) {
        if opened.contains_key(&name) {
            continue;
        }
        let owner = secret_owner(tenant, &name);
        let value = store.open(OPERATION, &Sealed { key_id, bytes }, &owner)?;
        opened.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_secret_is_shown_for_debugging() {
        let tool = ToolForRunner {
            id: "00000000-0000-0000-0000-000000000001".parse().unwrap(),
            name: "search".into(),
            description: String::new(),
            kind: ToolKind::Http,
            config: json!({"headers": {"x-key": "canary-in-a-header"}}),
            agent: None,
            updated_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        };
        let secrets = HashMap::from([("KEY".to_owned(), "canary-of-a-secret".to_owned())]);
        let access = ToolAccess { tools: vec![tool], secrets, ..ToolAccess::default() };
        let shown = format!("{access:?}");
        assert!(shown.contains("search") && shown.contains("KEY"), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
