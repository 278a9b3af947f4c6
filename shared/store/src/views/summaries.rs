//! The executions of a trigger, one line each.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, ExecutionId, SessionId, TenantId, TriggerId};
use tokio_postgres::Row;

use crate::{Store, StoreError};

/// Deleted triggers count: what they led to can still be looked up.
const TRIGGER_EXISTS: &str = "\
-- views.trigger_exists
SELECT EXISTS (SELECT FROM triggers WHERE tenant_id = $1 AND id = $2)";

/// In the order of `executions_by_trigger`, backwards; `seq` never changes, so a page after a
/// cursor is the same however much is written meanwhile. A sub-agent's execution is found through
/// the call that it answers, and not here: it shares its place with whoever asked.
const EXECUTIONS: &str = "\
-- views.executions
SELECT e.id, e.trigger_id, e.agent_id, e.session_id, e.seq, e.status, e.attempt_count,
       e.agent_version, cardinality(e.message_ids) AS n_messages, e.created_at, e.started_at, e.finished_at,
       e.error_code, e.tokens_used, e.cost_usd,
       (SELECT d.status FROM deliveries d WHERE d.execution_id = e.id LIMIT 1) AS delivery_status
  FROM executions e
 WHERE e.tenant_id = $1 AND e.trigger_id = $2 AND e.seq < $3
   AND ($4::text IS NULL OR e.status = $4) AND e.parent_execution_id IS NULL
 ORDER BY e.seq DESC LIMIT $5";

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// It waits for its turn in its session.
    Queued,
    /// The agent is at work.
    Running,
    /// It waits for an approval, a sub-agent, or its session.
    Waiting,
    /// The agent answered.
    Success,
    /// It could not answer.
    Failed,
    /// It took too long.
    Timeout,
    /// Somebody stopped it.
    Cancelled,
}

impl ExecutionStatus {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Success,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
    ];

    /// As stored and as shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which executions to list.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Those whose `seq` is smaller; `None` starts with the newest.
    pub before: Option<i64>,
    /// Those that stand here only.
    pub status: Option<ExecutionStatus>,
    /// How many at the most.
    pub limit: i64,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionSummary {
    /// Which.
    pub id: ExecutionId,
    /// The way its messages came in.
    pub trigger_id: TriggerId,
    /// Who answers.
    pub agent_id: AgentId,
    /// The version of the agent that it began with; `None` until it did.
    pub agent_version: Option<i32>,
    /// Whose conversation.
    pub session_id: SessionId,
    /// Its place in the list.
    pub seq: i64,
    /// Where it stands.
    pub status: String,
    /// How often a worker took it on.
    pub attempt_count: i32,
    /// How many messages it answers.
    pub n_messages: i32,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// When it first ran.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error_code: Option<String>,
    /// What the providers counted.
    pub tokens_used: Option<i64>,
    /// What that cost.
    pub cost_usd: Option<f64>,
    /// Where its delivery stands, if it has one.
    pub delivery_status: Option<String>,
}

impl ExecutionSummary {
    fn from_row(row: &Row) -> Self {
        Self {
            id: ExecutionId(row.get("id")),
            trigger_id: TriggerId(row.get("trigger_id")),
            agent_id: AgentId(row.get("agent_id")),
            agent_version: row.get("agent_version"),
            session_id: SessionId(row.get("session_id")),
            seq: row.get("seq"),
            status: row.get("status"),
            attempt_count: row.get("attempt_count"),
            n_messages: row.get("n_messages"),
            created_at: row.get("created_at"),
            started_at: row.get("started_at"),
            finished_at: row.get("finished_at"),
            error_code: row.get("error_code"),
            tokens_used: row.get("tokens_used"),
            cost_usd: row.get("cost_usd"),
            delivery_status: row.get("delivery_status"),
        }
    }
}

/// Whether the tenant has, or had, such a trigger.
pub async fn trigger_exists(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("views.trigger_exists");
    let client = store.client("views.trigger_exists").await?;
    let statement = client.prepare_cached(TRIGGER_EXISTS).await.map_err(&failed)?;
    let row = client.query_one(&statement, &[&tenant.0, &trigger.0]).await.map_err(&failed)?;
    Ok(row.get(0))
}

/// The executions of a trigger, newest first.
pub async fn executions(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
    filter: Filter,
) -> Result<Vec<ExecutionSummary>, StoreError> {
    let failed = StoreError::query("views.executions");
    let client = store.client("views.executions").await?;
    let statement = client.prepare_cached(EXECUTIONS).await.map_err(&failed)?;
    let before = filter.before.unwrap_or(i64::MAX);
    let status = filter.status.map(ExecutionStatus::as_str);
    let rows = client
        .query(&statement, &[&tenant.0, &trigger.0, &before, &status, &filter.limit])
        .await
        .map_err(&failed)?;
    Ok(rows.iter().map(ExecutionSummary::from_row).collect())
}
