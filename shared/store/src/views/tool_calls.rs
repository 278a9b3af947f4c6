//! Tool calls: those of one execution, and those of a tenant that wait for a person.

use chrono::{DateTime, Utc};
use recado_types::{ExecutionId, SessionId, TenantId, ToolCallId, ToolId, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;

use super::Parameters;
use super::snapshot::Snapshot;
use crate::{Store, StoreError};

/// The most calls that are shown, and the most bytes of their inputs and outputs together: of
/// calls beyond that only the preview is.
const MAX_CALLS: i64 = 1_000;
const MAX_BYTES: i64 = 8 << 20;

const TOOL_CALLS: &str = "\
-- views.execution_tool_calls
SELECT id, iteration, call_index, provider_call_id, tool_name, tool_id, status,
       CASE WHEN bytes <= $3 THEN input END AS input,
       CASE WHEN bytes <= $3 THEN output END AS output,
       bytes > $3 AS is_omitted, left(output, 200) AS preview, truncated, error_message,
       duration_ms, approval_expires_at, decided_at, decided_by, memo, child_execution_id,
       created_at, finished_at
  FROM (SELECT *, sum(octet_length(input::text) + coalesce(octet_length(output), 0))
                      OVER (ORDER BY iteration, call_index) AS bytes
          FROM tool_calls WHERE execution_id = $1
         ORDER BY iteration, call_index LIMIT $2) calls
 ORDER BY iteration, call_index";

/// In the order of `tool_calls_waiting`. A call whose execution has ended waits for nothing.
const WAITING: &str = "\
-- views.waiting_tool_calls
SELECT c.id, c.execution_id, c.tool_name, c.tool_id, c.created_at, c.approval_expires_at,
       CASE WHEN octet_length(c.input::text) <= $4 THEN c.input END AS input,
       e.session_id, e.trigger_id
  FROM tool_calls c
  JOIN executions e ON e.id = c.execution_id AND e.finished_at IS NULL
 WHERE c.tenant_id = $1 AND c.status = 'waiting_for_approval'
   AND ($2::uuid IS NULL OR c.id > $2)
 ORDER BY c.id LIMIT $3";

/// The most bytes of an input that a list shows.
const MAX_LISTED_INPUT: i32 = 16 << 10;

/// A tool call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCallView {
    /// Which.
    pub id: ToolCallId,
    /// The turn in which the model asked for it, from 1.
    pub iteration: i32,
    /// Its place in that turn, from 0.
    pub call_index: i32,
    /// What the model calls it.
    pub provider_call_id: String,
    /// The name that the model used.
    pub tool_name: String,
    /// The tool; `None` if there is none of that name.
    pub tool_id: Option<ToolId>,
    /// Where it stands.
    pub status: String,
    /// What it is called with, hidden values left out.
    pub input: Option<Value>,
    /// What the model is told of it.
    pub output: Option<String>,
    /// Whether input and output are left out here, because they are too large.
    pub is_omitted: bool,
    /// How the output begins.
    pub preview: Option<String>,
    /// Whether something of the output was cut off.
    pub truncated: bool,
    /// Why it failed, or was refused.
    pub error_message: Option<String>,
    /// How long it took.
    pub duration_ms: Option<i64>,
    /// Until when it can be decided on.
    pub approval_expires_at: Option<DateTime<Utc>>,
    /// When it was decided on.
    pub decided_at: Option<DateTime<Utc>>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// What they said about it.
    pub memo: Option<String>,
    /// The execution of the sub-agent that answers it.
    pub child_execution_id: Option<ExecutionId>,
    /// When the model asked for it.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A tool call that waits for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingCall {
    /// Which.
    pub id: ToolCallId,
    /// Of which execution.
    pub execution_id: ExecutionId,
    /// In whose session.
    pub session_id: SessionId,
    /// The way its messages came in.
    pub trigger_id: TriggerId,
    /// The name that the model used.
    pub tool_name: String,
    /// The tool.
    pub tool_id: Option<ToolId>,
    /// What it would be called with, hidden values left out; `None` if it is too large for a list.
    pub input: Option<Value>,
    /// When the model asked for it.
    pub created_at: DateTime<Utc>,
    /// Until when it can be decided on.
    pub approval_expires_at: Option<DateTime<Utc>>,
}

pub(super) async fn tool_calls_of(
    snapshot: &Snapshot,
    execution: ExecutionId,
) -> Result<Vec<ToolCallView>, StoreError> {
    let parameters: Parameters<'_> = &[&execution.0, &MAX_CALLS, &MAX_BYTES];
    let rows = snapshot.query(TOOL_CALLS, "views.execution_tool_calls", parameters).await?;
    Ok(rows.iter().map(call_from_row).collect())
}

/// The calls that wait for somebody to decide on them, in the order of their ids, which says
/// nothing about their age.
pub async fn waiting_tool_calls(
    store: &Store,
    tenant: TenantId,
    after: Option<ToolCallId>,
    limit: i64,
) -> Result<Vec<WaitingCall>, StoreError> {
    let failed = StoreError::query("views.waiting_tool_calls");
    let client = store.client("views.waiting_tool_calls").await?;
    let statement = client.prepare_cached(WAITING).await.map_err(&failed)?;
    let after = after.map(|id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &after, &limit, &MAX_LISTED_INPUT]).await;
    Ok(rows.map_err(&failed)?.iter().map(waiting_from_row).collect())
}

fn call_from_row(row: &Row) -> ToolCallView {
    ToolCallView {
        id: ToolCallId(row.get("id")),
        iteration: row.get("iteration"),
        call_index: row.get("call_index"),
        provider_call_id: row.get("provider_call_id"),
        tool_name: row.get("tool_name"),
        tool_id: row.get::<_, Option<_>>("tool_id").map(ToolId),
        status: row.get("status"),
        input: row.get("input"),
        output: row.get("output"),
        is_omitted: row.get("is_omitted"),
        preview: row.get("preview"),
        truncated: row.get("truncated"),
        error_message: row.get("error_message"),
        duration_ms: row.get("duration_ms"),
        approval_expires_at: row.get("approval_expires_at"),
        decided_at: row.get("decided_at"),
        decided_by: row.get("decided_by"),
        memo: row.get("memo"),
        child_execution_id: row.get::<_, Option<_>>("child_execution_id").map(ExecutionId),
        created_at: row.get("created_at"),
        finished_at: row.get("finished_at"),
    }
}

fn waiting_from_row(row: &Row) -> WaitingCall {
    WaitingCall {
        id: ToolCallId(row.get("id")),
        execution_id: ExecutionId(row.get("execution_id")),
        session_id: SessionId(row.get("session_id")),
        trigger_id: TriggerId(row.get("trigger_id")),
        tool_name: row.get("tool_name"),
        tool_id: row.get::<_, Option<_>>("tool_id").map(ToolId),
        input: row.get("input"),
        created_at: row.get("created_at"),
        approval_expires_at: row.get("approval_expires_at"),
    }
}
