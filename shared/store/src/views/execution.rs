//! One execution with everything that belongs to it, as it was at one moment.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, ExecutionId, MessageId, SessionId, TenantId, ToolCallId, TriggerId};
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::Parameters;
use super::delivery::{DeliveryView, deliveries_of};
use super::session::{Activity, SessionView, activity_around};
use super::snapshot::Snapshot;
use super::tool_calls::{ToolCallView, tool_calls_of};
use crate::{Store, StoreError};

/// The most messages, model calls and windows that are shown. A delivery is bounded by its
/// trigger's configuration.
const MAX_MESSAGES: i64 = 1_000;
const MAX_CALLS: i64 = 1_000;
const MAX_WINDOWS: i64 = 100;

const EXECUTION: &str = "\
-- views.execution
SELECT e.id, e.trigger_id, e.status, e.attempt_count, e.created_at, e.started_at, e.finished_at,
       e.separator, coalesce(e.normalized_query, e.input) AS normalized_query,
       e.agent_response, e.error_code, e.error_message, e.tokens_used, e.cost_usd, e.session_id,
       e.agent_id, e.agent_version, e.agent_variation, e.parent_execution_id,
       e.parent_tool_call_id, e.superseded_by, e.cancel_requested_at, e.author,
       e.reply_to <> '{}' AS was_awaited,
       (SELECT m.context FROM messages m WHERE m.id = e.context_from) AS given_context,
       a.name AS agent_name,
       coalesce(s.status, 'active') AS session_status, s.status_reason,
       coalesce(s.created_at, e.created_at) AS session_created_at
  FROM executions e
  LEFT JOIN sessions s ON s.id = e.session_id
  LEFT JOIN agents a ON a.id = e.agent_id
 WHERE e.tenant_id = $1 AND ($2::uuid IS NULL OR e.trigger_id = $2) AND e.id = $3";

const MESSAGES: &str = "\
-- views.execution_messages
SELECT id, text, context, accepted_at, recorded_at FROM messages
 WHERE tenant_id = $1
   AND id = ANY (ARRAY(SELECT unnest(message_ids) FROM executions WHERE id = $2))
 ORDER BY seq LIMIT $3";

const LLM_CALLS: &str = "\
-- views.execution_llm_calls
SELECT number, purpose, iteration, window_sequence, provider, model, input_tokens,
       output_tokens, cached_input_tokens, cost_usd, response_time_ms, finish_reason, created_at
  FROM llm_calls WHERE execution_id = $1 ORDER BY number LIMIT $2";

const WINDOWS: &str = "\
-- views.execution_windows
SELECT sequence, strategies, summary, n_messages, prompt_tokens, completion_tokens, created_at
  FROM context_windows
 WHERE session_id = (SELECT session_id FROM executions WHERE id = $1) AND execution_id = $1
 ORDER BY sequence LIMIT $2";

/// An execution and everything that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionView {
    /// Which.
    pub id: ExecutionId,
    /// The way its messages came in, or those of whoever asked it.
    pub trigger_id: TriggerId,
    /// The version of the agent that it began with; `None` until it did.
    pub agent_version: Option<i32>,
    /// The form of that version that its session was given.
    pub agent_variation: Option<String>,
    /// Of a sub-agent's execution: whose call it answers.
    pub parent_execution_id: Option<ExecutionId>,
    /// Of a sub-agent's execution: the call that it answers.
    pub parent_tool_call_id: Option<ToolCallId>,
    /// The execution that took its messages over.
    pub superseded_by: Option<ExecutionId>,
    /// When somebody asked it to end.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Who said it in the agent's place; `None` for the agent.
    pub author: Option<String>,
    /// Where it stands.
    pub status: String,
    /// How often a worker took it on.
    pub attempt_count: i32,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// When it first ran.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What the agent is asked: what it was asked, once it ran.
    pub normalized_query: String,
    /// What the agent answered.
    pub agent_response: Option<String>,
    /// Whether a sender waits for its end, or did.
    pub was_awaited: bool,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// What the providers counted.
    pub tokens_used: Option<i64>,
    /// What that cost.
    pub cost_usd: Option<f64>,
    /// Its session.
    pub session: SessionView,
    /// What it works with: the context of its last message, or of whoever asked it. Secrets
    /// included.
    pub context: Map<String, Value>,
    /// Its messages, in order; none if a sub-agent was asked.
    pub messages: Vec<MessageView>,
    /// The model calls it made, in order.
    pub llm_calls: Vec<LlmCallView>,
    /// The tool calls it was asked for, in order.
    pub tool_calls: Vec<ToolCallView>,
    /// The context windows it began, in order.
    pub windows: Vec<WindowView>,
    /// How its response travels.
    pub deliveries: Vec<DeliveryView>,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageView {
    /// Which.
    pub id: MessageId,
    /// What it says.
    pub text: String,
    /// What was mapped out of its payload; secrets included.
    pub context: Map<String, Value>,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When it was recorded, by the database's clock.
    pub recorded_at: DateTime<Utc>,
}

/// A model call.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmCallView {
    /// Its place among all calls of the execution, from 1.
    pub number: i32,
    /// `turn` or `summary`.
    pub purpose: String,
    /// Which turn of the loop it was, or was made for, from 1.
    pub iteration: i32,
    /// The context window it was made in.
    pub window_sequence: i32,
    /// The provider's name.
    pub provider: String,
    /// The model's name at that provider.
    pub model: String,
    /// What the provider counted.
    pub input_tokens: Option<i64>,
    /// What the provider counted.
    pub output_tokens: Option<i64>,
    /// What the provider counted.
    pub cached_input_tokens: Option<i64>,
    /// What that cost.
    pub cost_usd: Option<f64>,
    /// How long it took.
    pub response_time_ms: i64,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// A context window, as it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowView {
    /// Its place among the session's windows.
    pub sequence: i32,
    /// What was done to make it shorter than the one before.
    pub strategies: Vec<String>,
    /// What happened before it.
    pub summary: Option<String>,
    /// How many messages were left out or summarised.
    pub n_messages: i32,
    /// How large the window before it had become.
    pub prompt_tokens: Option<i64>,
    /// What the model had said in that one.
    pub completion_tokens: Option<i64>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// An execution, of this trigger if one is named, with everything that belongs to it; `None` if
/// there is none.
///
/// All of it is read from one snapshot, so that its parts agree with each other.
pub async fn execution(
    store: &Store,
    tenant: TenantId,
    trigger: Option<TriggerId>,
    id: ExecutionId,
) -> Result<Option<ExecutionView>, StoreError> {
    let snapshot = Snapshot::of(store, "views.execution").await?;
    let trigger = trigger.map(|trigger| trigger.0);
    let parameters: Parameters<'_> = &[&tenant.0, &trigger, &id.0];
    // All of them are sent at once and answered in order.
    let (rows, activity, messages, llm_calls, tool_calls, windows, deliveries) = tokio::try_join!(
        snapshot.query(EXECUTION, "views.execution", parameters),
        activity_around(&snapshot, id),
        messages_of(&snapshot, tenant, id),
        llm_calls_of(&snapshot, id),
        tool_calls_of(&snapshot, id),
        windows_of(&snapshot, id),
        deliveries_of(&snapshot, id),
    )?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let normalized_query = row.get::<_, Option<String>>("normalized_query").unwrap_or_else(|| {
        let texts: Vec<&str> = messages.iter().map(|message| message.text.as_str()).collect();
        texts.join(row.get("separator"))
    });
    let given: Option<Json<Map<String, Value>>> = row.get("given_context");
    let context = match (given, messages.last()) {
        (Some(Json(given)), _) => given,
        (None, Some(last)) => last.context.clone(),
        (None, None) => Map::new(),
    };
    Ok(Some(ExecutionView {
        id,
        trigger_id: TriggerId(row.get("trigger_id")),
        agent_version: row.get("agent_version"),
        agent_variation: row.get("agent_variation"),
        parent_execution_id: row.get::<_, Option<_>>("parent_execution_id").map(ExecutionId),
        parent_tool_call_id: row.get::<_, Option<_>>("parent_tool_call_id").map(ToolCallId),
        superseded_by: row.get::<_, Option<_>>("superseded_by").map(ExecutionId),
        cancel_requested_at: row.get("cancel_requested_at"),
        author: row.get("author"),
        status: row.get("status"),
        attempt_count: row.get("attempt_count"),
        created_at: row.get("created_at"),
        started_at: row.get("started_at"),
        finished_at: row.get("finished_at"),
        normalized_query,
        agent_response: row.get("agent_response"),
        was_awaited: row.get("was_awaited"),
        error_code: row.get("error_code"),
        error_message: row.get("error_message"),
        tokens_used: row.get("tokens_used"),
        cost_usd: row.get("cost_usd"),
        session: session_from_row(&row, activity),
        context,
        messages,
        llm_calls,
        tool_calls,
        windows,
        deliveries,
    }))
}

fn session_from_row(row: &Row, activity: Activity) -> SessionView {
    let created_at: DateTime<Utc> = row.get("session_created_at");
    SessionView {
        id: SessionId(row.get("session_id")),
        agent_id: AgentId(row.get("agent_id")),
        agent_name: row.get("agent_name"),
        status: row.get("session_status"),
        status_reason: row.get("status_reason"),
        created_at,
        updated_at: created_at.max(activity.last_at.unwrap_or(created_at)),
        n_messages: activity.n_messages,
    }
}

async fn messages_of(
    snapshot: &Snapshot,
    tenant: TenantId,
    execution: ExecutionId,
) -> Result<Vec<MessageView>, StoreError> {
    let parameters: Parameters<'_> = &[&tenant.0, &execution.0, &MAX_MESSAGES];
    let rows = snapshot.query(MESSAGES, "views.execution_messages", parameters).await?;
    let message = |row: &Row| {
        let Json(context) = row.get("context");
        MessageView {
            id: MessageId(row.get("id")),
            text: row.get("text"),
            context,
            accepted_at: row.get("accepted_at"),
            recorded_at: row.get("recorded_at"),
        }
    };
    Ok(rows.iter().map(message).collect())
}

async fn llm_calls_of(
    snapshot: &Snapshot,
    execution: ExecutionId,
) -> Result<Vec<LlmCallView>, StoreError> {
    let parameters: Parameters<'_> = &[&execution.0, &MAX_CALLS];
    let rows = snapshot.query(LLM_CALLS, "views.execution_llm_calls", parameters).await?;
    let call = |row: &Row| LlmCallView {
        number: row.get("number"),
        purpose: row.get("purpose"),
        iteration: row.get("iteration"),
        window_sequence: row.get("window_sequence"),
        provider: row.get("provider"),
        model: row.get("model"),
        input_tokens: row.get("input_tokens"),
        output_tokens: row.get("output_tokens"),
        cached_input_tokens: row.get("cached_input_tokens"),
        cost_usd: row.get("cost_usd"),
        response_time_ms: row.get("response_time_ms"),
        finish_reason: row.get("finish_reason"),
        created_at: row.get("created_at"),
    };
    Ok(rows.iter().map(call).collect())
}

async fn windows_of(
    snapshot: &Snapshot,
    execution: ExecutionId,
) -> Result<Vec<WindowView>, StoreError> {
    let parameters: Parameters<'_> = &[&execution.0, &MAX_WINDOWS];
    let rows = snapshot.query(WINDOWS, "views.execution_windows", parameters).await?;
    let window = |row: &Row| WindowView {
        sequence: row.get("sequence"),
        strategies: row.get("strategies"),
        summary: row.get("summary"),
        n_messages: row.get("n_messages"),
        prompt_tokens: row.get("prompt_tokens"),
        completion_tokens: row.get("completion_tokens"),
        created_at: row.get("created_at"),
    };
    Ok(rows.iter().map(window).collect())
}
