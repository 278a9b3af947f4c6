//! How an execution ended, for those who waited for it.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, ExecutionId, TenantId};
use tokio_postgres::Row;

use crate::{Store, StoreError};

const OUTCOME: &str = "\
-- executions.outcome
SELECT agent_id, status, agent_response, error_code, error_message, tokens_used,
       created_at, finished_at
  FROM executions WHERE id = $1 AND tenant_id = $2 AND finished_at IS NOT NULL";

/// An execution that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedExecution {
    /// Who answered, or should have.
    pub agent_id: AgentId,
    /// `success`, `failed`, `timeout` or `cancelled`.
    pub status: String,
    /// What the agent said; there if it was a success.
    pub agent_response: Option<String>,
    /// Why there is no answer: a stable code.
    pub error_code: Option<String>,
    /// Why there is no answer, for an admin; no internals, no secrets.
    pub error_message: Option<String>,
    /// How many tokens it took, where the provider counted them.
    pub tokens_used: Option<i64>,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

/// How a tenant's execution ended; `None` if it has not, or there is none.
pub async fn outcome(
    store: &Store,
    tenant: TenantId,
    execution: ExecutionId,
) -> Result<Option<EndedExecution>, StoreError> {
    let failed = StoreError::query("executions.outcome");
    let client = store.client("executions.outcome").await?;
    let statement = client.prepare_cached(OUTCOME).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&execution.0, &tenant.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(ended_from_row))
}

fn ended_from_row(row: &Row) -> EndedExecution {
    EndedExecution {
        agent_id: AgentId(row.get("agent_id")),
        status: row.get("status"),
        agent_response: row.get("agent_response"),
        error_code: row.get("error_code"),
        error_message: row.get("error_message"),
        tokens_used: row.get("tokens_used"),
        created_at: row.get("created_at"),
        finished_at: row.get("finished_at"),
    }
}
