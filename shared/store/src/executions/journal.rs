//! The journal of a run: what a model said and what a tool answered is written down before it is
//! used, so that a run which is taken up again after a crash goes on where the last one was.
//!
//! Each of these statements writes nothing unless the lane's lease is still held. They lock the
//! lane as readers do: the lease may be renewed later, but not be taken by somebody else meanwhile.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, ContextWindowId, ExecutionId, LlmCallId, ToolCallId, ToolId};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::{Json, ToSql};

use super::start::{Claimed, Purpose, ToolCallStatus};
use crate::lanes::Held;
use crate::{Store, StoreError};

/// The columns of a call of a model, in a record set of JSON.
macro_rules! llm_call_columns {
    () => {
        "id uuid, number integer, purpose text, iteration integer, window_sequence integer,
               provider text, model text, response json, input_tokens bigint,
               output_tokens bigint, cached_input_tokens bigint, cost_usd double precision,
               response_time_ms bigint, finish_reason text, created_at timestamptz"
    };
}

/// Inserts the calls in `$calls` of the execution that the query `$of` names.
macro_rules! insert_llm_calls {
    ($calls:literal, $of:literal) => {
        concat!(
            "INSERT INTO llm_calls (id, tenant_id, execution_id, number, purpose, iteration,
                           window_sequence, provider, model, response, input_tokens,
                           output_tokens, cached_input_tokens, cost_usd, response_time_ms,
                           finish_reason, created_at)
    SELECT call.id, run.tenant_id, run.id, call.number, call.purpose, call.iteration,
           call.window_sequence, call.provider, call.model, call.response, call.input_tokens,
           call.output_tokens, call.cached_input_tokens, call.cost_usd, call.response_time_ms,
           call.finish_reason, call.created_at
      FROM ",
            $of,
            " run, json_to_recordset(",
            $calls,
            ") AS call (",
            $crate::executions::journal::llm_call_columns!(),
            ")
    ON CONFLICT (id) DO NOTHING"
        )
    };
}
pub(super) use {insert_llm_calls, llm_call_columns};

const RECORD_TURN: &str = concat!(
    "\
-- executions.record_turn
WITH run AS (
    SELECT executions.id, executions.tenant_id
      FROM lanes, executions
     WHERE lanes.kind = 'execution' AND lanes.session_id = $1 AND lanes.lease_token = $2
       AND executions.id = $3
       FOR SHARE OF lanes
), calls AS (
    ",
    insert_llm_calls!("$4", "run"),
    "
), tools AS (
    INSERT INTO tool_calls (id, tenant_id, execution_id, iteration, call_index, provider_call_id,
                            tool_name, tool_id, tool_updated_at, input, status, output, error_message,
                            approval_expires_at, created_at, finished_at)
    SELECT call.id, run.tenant_id, run.id, call.iteration, call.call_index, call.provider_call_id,
           call.tool_name, call.tool_id, call.tool_updated_at, call.input, call.status, call.output, call.error_message,
           now() + call.approval_expires_after_ms * interval '1 millisecond', call.created_at,
           CASE WHEN call.status = 'error' THEN call.created_at END
      FROM run, json_to_recordset($5) AS call (
               id uuid, iteration integer, call_index integer, provider_call_id text,
               tool_name text, tool_id uuid, tool_updated_at timestamptz, input json, status text, output text,
               error_message text, approval_expires_after_ms bigint, created_at timestamptz)
    ON CONFLICT (id) DO NOTHING
)
SELECT count(*) FROM run"
);

const RECORD_RESULTS: &str = "\
-- executions.record_results
WITH run AS (
    SELECT session_id FROM lanes
     WHERE kind = 'execution' AND session_id = $1 AND lease_token = $2 FOR SHARE
), results AS (
    UPDATE tool_calls
       SET status = result.status, output = result.output, truncated = result.truncated,
           error_message = result.error_message, duration_ms = result.duration_ms,
           finished_at = result.finished_at
      FROM run, json_to_recordset($4) AS result (
               id uuid, status text, output text, truncated boolean, error_message text,
               duration_ms bigint, finished_at timestamptz)
     WHERE tool_calls.id = result.id AND tool_calls.execution_id = $3
       AND tool_calls.finished_at IS NULL
)
SELECT count(*) FROM run";

/// Who decides looks at the same time by the same clock, and finds that it is too late.
const EXPIRE: &str = "\
-- executions.expire_approvals
WITH run AS (
    SELECT session_id FROM lanes
     WHERE kind = 'execution' AND session_id = $1 AND lease_token = $2 FOR SHARE
), expired AS (
    UPDATE tool_calls
       SET status = 'denied', decided_at = approval_expires_at, decided_by = 'expiry', memo = $4
      FROM run
     WHERE execution_id = $3 AND status = 'waiting_for_approval' AND approval_expires_at <= now()
)
SELECT count(*) FROM run";

/// The sub-agent gets a session of its own, which is suspended if the one it works for is, and the
/// context of whoever asked. It takes the place of whoever asked in the tenant's queue: that one
/// has begun, and its time is running.
const DELEGATE: &str = "\
-- executions.delegate
WITH run AS (
    SELECT executions.*, sessions.status AS session_status
      FROM lanes, executions, sessions
     WHERE lanes.kind = 'execution' AND lanes.session_id = $1 AND lanes.lease_token = $2
       AND executions.id = $3 AND sessions.id = executions.session_id
       FOR SHARE OF lanes, sessions
), asked AS (
    SELECT * FROM json_to_recordset($4) AS asked (
        tool_call_id uuid, execution_id uuid, session_id uuid, agent_id uuid, input text,
        timeout_ms bigint, created_at timestamptz)
), calls AS (
    UPDATE tool_calls SET status = 'delegated', child_execution_id = asked.execution_id
      FROM run, asked
     WHERE tool_calls.id = asked.tool_call_id AND tool_calls.execution_id = run.id
       AND tool_calls.status IN ('requested', 'approved')
    RETURNING tool_calls.id
), new_sessions AS (
    INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, status, created_at)
    SELECT asked.session_id, run.tenant_id, run.trigger_id, asked.agent_id,
           run.session_status, asked.created_at
      FROM run, asked JOIN calls ON calls.id = asked.tool_call_id
    ON CONFLICT (id) DO NOTHING
), new_executions AS (
    INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, parent_execution_id,
                            parent_tool_call_id, depth, input, context_from, timeout_ms, seq,
                            message_ids, separator, status, created_at, trace_context)
    SELECT asked.execution_id, run.tenant_id, run.trigger_id, asked.agent_id, asked.session_id,
           run.id, asked.tool_call_id, run.depth + 1, asked.input, $5, asked.timeout_ms, run.seq,
           '{}', '', 'queued', asked.created_at,
           overlay(run.trace_context PLACING run.span_id FROM 37 FOR 16)
      FROM run, asked JOIN calls ON calls.id = asked.tool_call_id
    ON CONFLICT (id) DO NOTHING
    RETURNING session_id, tenant_id
), queued AS (
    INSERT INTO lanes (kind, session_id, tenant_id, queued, next_run_at)
    SELECT 'execution', new_executions.session_id, new_executions.tenant_id, 1,
           least(now(), run.created_at)
      FROM run, new_executions ORDER BY new_executions.session_id
    ON CONFLICT (kind, session_id) DO NOTHING
)
SELECT count(*) FROM run";

const RECORD_WINDOW: &str = concat!(
    "\
-- executions.record_window
WITH run AS (
    SELECT executions.id, executions.tenant_id, executions.session_id
      FROM lanes, executions
     WHERE lanes.kind = 'execution' AND lanes.session_id = $1 AND lanes.lease_token = $2
       AND executions.id = $3
       FOR SHARE OF lanes
), calls AS (
    ",
    insert_llm_calls!("$4", "run"),
    "
), recorded AS (
    INSERT INTO context_windows (id, tenant_id, session_id, sequence, execution_id, from_seq,
                                 summary, outputs_from, strategies, n_messages, prompt_tokens,
                                 completion_tokens, created_at)
    SELECT $5, tenant_id, session_id, $6, id,
           greatest($7, (SELECT from_seq FROM context_windows latest
                          WHERE latest.session_id = run.session_id
                          ORDER BY latest.sequence DESC LIMIT 1)),
           $8, $9, $10, $11, $12, $13, $14
      FROM run
    ON CONFLICT (session_id, sequence) DO NOTHING
)
SELECT count(*) FROM run"
);

/// One call of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LlmCall {
    /// Its id; the idempotency key that the provider was given.
    pub id: LlmCallId,
    /// Its place among all calls of the execution, from 1.
    pub number: u32,
    /// What it was for.
    pub purpose: Purpose,
    /// Which turn of the loop it was, from 1.
    pub iteration: u32,
    /// The window it was made in.
    pub window_sequence: u32,
    /// The provider's name.
    pub provider: String,
    /// The model's name at that provider.
    pub model: String,
    /// What it said, in the runner's form.
    pub response: Value,
    /// What the provider counted, where it did.
    pub input_tokens: Option<i64>,
    /// What the provider counted, where it did.
    pub output_tokens: Option<i64>,
    /// What the provider counted, where it did.
    pub cached_input_tokens: Option<i64>,
    /// From the provider's price table, where it has the model.
    pub cost_usd: Option<f64>,
    /// How long it took.
    pub response_time_ms: i64,
    /// Why the model stopped, in the provider's words.
    pub finish_reason: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

impl LlmCall {
    /// About how much of a statement it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + texts(&self.response)
    }
}

/// How long the texts of a value are together. Values of models are not deep.
fn texts(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(texts).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + texts(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// A call that a model asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewToolCall {
    /// Its id; the idempotency key that the tool is given.
    pub id: ToolCallId,
    /// The turn in which the model asked for it, from 1.
    pub iteration: u32,
    /// Its place in that turn, from 0.
    pub call_index: u32,
    /// What the model calls it.
    pub provider_call_id: String,
    /// The name that the model used.
    pub tool_name: String,
    /// The tool; `None` if there is none of that name.
    pub tool_id: Option<ToolId>,
    /// When that was last changed.
    pub tool_updated_at: Option<DateTime<Utc>>,
    /// What it is called with, hidden values left out.
    pub input: Value,
    /// `Requested`, `WaitingForApproval`, or `Error` if it is refused.
    pub status: ToolCallStatus,
    /// What the model is told, if it is refused.
    pub output: Option<String>,
    /// Why it is refused.
    pub error_message: Option<String>,
    /// How long it waits for an approval.
    pub approval_expires_after_ms: Option<i64>,
    /// When the model asked.
    pub created_at: DateTime<Utc>,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolResult {
    /// The call.
    pub id: ToolCallId,
    /// `Success` or `Error`.
    pub status: ToolCallStatus,
    /// What the model is told.
    pub output: String,
    /// Whether something was cut off.
    pub truncated: bool,
    /// Why it failed.
    pub error_message: Option<String>,
    /// How long it took.
    pub duration_ms: i64,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

/// A call that a sub-agent is to answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Delegation {
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The sub-agent's execution.
    pub execution_id: ExecutionId,
    /// The sub-agent's session.
    pub session_id: recado_types::SessionId,
    /// Who is asked.
    pub agent_id: AgentId,
    /// What it is asked.
    pub input: String,
    /// How long it may take.
    pub timeout_ms: i64,
    /// When it was asked.
    pub created_at: DateTime<Utc>,
}

/// A shorter way to tell a session's past.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWindow {
    /// Its place among the session's windows.
    pub sequence: u32,
    /// Exchanges with a smaller place are told by the summary alone; what the windows before left
    /// to it stays there.
    pub from_seq: i64,
    /// What happened in them.
    pub summary: Option<String>,
    /// Tool outputs of this execution's earlier iterations are left out.
    pub outputs_from: u32,
    /// What was done to make it shorter.
    pub strategies: Vec<String>,
    /// How many messages were left out or summarised.
    pub n_messages: u32,
    /// How large the window before it had become, in tokens.
    pub prompt_tokens: Option<i64>,
    /// What the model had said in it, in tokens.
    pub completion_tokens: Option<i64>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// Writes down what a model said, and the tool calls it asked for.
pub async fn record_turn(
    store: &Store,
    claimed: &Claimed,
    call: &LlmCall,
    tool_calls: &[NewToolCall],
) -> Result<Held, StoreError> {
    let more: [&(dyn ToSql + Sync); 2] = [&Json([call]), &Json(tool_calls)];
    write(store, "executions.record_turn", RECORD_TURN, claimed, &more).await
}

/// Writes down what tools answered.
pub async fn record_results(
    store: &Store,
    claimed: &Claimed,
    results: &[ToolResult],
) -> Result<Held, StoreError> {
    write(store, "executions.record_results", RECORD_RESULTS, claimed, &[&Json(results)]).await
}

/// Denies the calls of an execution whose approval did not come in time, with `memo` for the
/// model.
pub async fn expire_approvals(
    store: &Store,
    claimed: &Claimed,
    memo: &str,
) -> Result<Held, StoreError> {
    write(store, "executions.expire_approvals", EXPIRE, claimed, &[&memo]).await
}

/// Has sub-agents answer calls: each gets an execution, queued in a session of its own.
pub async fn delegate(
    store: &Store,
    claimed: &Claimed,
    delegations: &[Delegation],
) -> Result<Held, StoreError> {
    let context_from = claimed.context_from.map(|message| message.0);
    let more: [&(dyn ToSql + Sync); 2] = [&Json(delegations), &context_from];
    write(store, "executions.delegate", DELEGATE, claimed, &more).await
}

/// Begins a window, with the model call that summarised the past, if one did.
pub async fn record_window(
    store: &Store,
    claimed: &Claimed,
    window: &NewWindow,
    summary_call: Option<&LlmCall>,
) -> Result<Held, StoreError> {
    let calls: Vec<&LlmCall> = summary_call.into_iter().collect();
    let id = ContextWindowId::derived(claimed.session_id, window.sequence);
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let more: [&(dyn ToSql + Sync); 11] = [
        &Json(calls),
        &id.0,
        &whole(window.sequence),
        &window.from_seq,
        &window.summary,
        &whole(window.outputs_from),
        &window.strategies,
        &whole(window.n_messages),
        &window.prompt_tokens,
        &window.completion_tokens,
        &window.created_at,
    ];
    write(store, "executions.record_window", RECORD_WINDOW, claimed, &more).await
}

/// Runs one of the statements above: session, lease and execution come first, then `more`.
async fn write(
    store: &Store,
    operation: &'static str,
    statement: &'static str,
    claimed: &Claimed,
    more: &[&(dyn ToSql + Sync)],
) -> Result<Held, StoreError> {
    let failed = StoreError::query(operation);
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(statement).await.map_err(&failed)?;
    let lease = claimed.lease;
    let mut parameters: Vec<&(dyn ToSql + Sync)> =
        vec![&lease.session_id.0, &lease.token, &claimed.execution_id.0];
    parameters.extend(more);
    let row = client.query_one(&statement, &parameters).await.map_err(&failed)?;
    Ok(Held::from_count(row.get(0)))
}
