//! GET `/api/triggers/{id}/executions/{executionId}` and `/api/executions/{id}`: everything about
//! one execution.
//!
//! The shape is seed 000's, with our own additions: `messages`, `deliveries`, `context_windows`,
//! and in `execution` why it failed, what it cost, and how it belongs to others.

use actix_web::web::{Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::{
    self, ExecutionView, MessageView, SessionView, WaitingMessage, WindowView,
};
use recado_types::{AgentId, ExecutionId, MessageId, SessionId, ToolCallId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::deliveries::{ShownDelivery, delivery};
use super::llm_calls::{Metrics, ShownLlmCall, llm_call, metrics};
use super::tool_calls::{ShownToolCall, tool_call};
use super::{context, execution_time_ms};
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::sessions;

/// As seed 000 prints it: not in `data`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExecutionDetail")]
pub(in crate::http) struct Detail {
    #[schemars(extend("const" = true))]
    success: bool,
    execution: ShownExecution,
    session: ShownSession,
    llm_calls: Vec<ShownLlmCall>,
    tool_calls: Vec<ShownToolCall>,
    metrics: Metrics,
    messages: Vec<ShownMessage>,
    context_windows: Vec<ShownWindow>,
    deliveries: Vec<ShownDelivery>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Execution")]
struct ShownExecution {
    id: ExecutionId,
    trigger_id: TriggerId,
    agent_version: Option<i32>,
    agent_variation: Option<String>,
    parent_execution_id: Option<ExecutionId>,
    parent_tool_call_id: Option<ToolCallId>,
    superseded_by: Option<ExecutionId>,
    cancel_requested_at: Option<DateTime<Utc>>,
    #[schemars(extend("enum" = super::statuses()))]
    status: String,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    execution_time_ms: Option<i64>,
    attempt_count: i32,
    normalized_query: String,
    agent_response: Option<String>,
    /// Who said it in the agent's place; `null` for the agent.
    author: Option<String>,
    #[schemars(extend("enum" = CHANNELS))]
    response_channel: &'static str,
    error_code: Option<String>,
    error_message: Option<String>,
    tokens_used: Option<i64>,
    cost_usd: Option<f64>,
    session_id: SessionId,
    /// The context of the last message, without what gives access.
    webhook_context: Map<String, Value>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExecutionSession")]
struct ShownSession {
    session_id: SessionId,
    agent_id: AgentId,
    agent_name: Option<String>,
    #[schemars(extend("enum" = sessions::statuses()))]
    status: String,
    status_reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    message_count: i64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Message")]
struct ShownMessage {
    id: MessageId,
    text: String,
    accepted_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ContextWindow")]
struct ShownWindow {
    sequence: i32,
    strategies: Vec<String>,
    summary: Option<String>,
    message_count: i32,
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    created_at: DateTime<Utc>,
}

/// How answers go back: to whoever waits for them, through a callback, to another agent; and what
/// a person said in the agent's place.
const CHANNELS: [&str; 4] = ["webhook_sync", "webhook_async", "sub_agent", "manual"];

/// GET: an execution of a trigger.
pub(in crate::http) async fn show(
    caller: Caller,
    ids: Path<(String, String)>,
) -> Result<Json<Detail>, ApiError> {
    let (trigger, execution) = ids.into_inner();
    let trigger: TriggerId = trigger.parse().map_err(|_no_id| Problem::TriggerNotFound)?;
    let found = match execution.parse() {
        Ok(id) => find(&caller, Some(trigger), id).await,
        Err(_no_id) => Err(Problem::ExecutionNotFound.into()),
    };
    // Only where there is nothing to show does it matter what it is that there is not.
    if found.is_err() && !is_there(&caller, trigger).await? {
        return Err(Problem::TriggerNotFound.into());
    }
    found
}

/// GET: an execution, a sub-agent's too, by its id alone.
pub(in crate::http) async fn show_alone(
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Detail>, ApiError> {
    let id: ExecutionId = id.parse().map_err(|_no_id| Problem::ExecutionNotFound)?;
    find(&caller, None, id).await
}

async fn is_there(caller: &Caller, trigger: TriggerId) -> Result<bool, ApiError> {
    views::trigger_exists(&caller.store, caller.tenant, trigger).await.map_err(store_failed)
}

/// The execution of this id, or else the one that the message is in whose sender was told the id.
async fn find(
    caller: &Caller,
    trigger: Option<TriggerId>,
    id: ExecutionId,
) -> Result<Json<Detail>, ApiError> {
    let (store, tenant) = (&caller.store, caller.tenant);
    let found = views::execution(store, tenant, trigger, id).await.map_err(store_failed)?;
    if let Some(found) = found {
        return Ok(Json(detail(found)));
    }
    let other = execution_of(caller, trigger, id).await?;
    let found = views::execution(store, tenant, trigger, other).await.map_err(store_failed)?;
    Ok(Json(detail(found.ok_or(Problem::ExecutionNotFound)?)))
}

/// The execution that the message is in whose sender was told the id.
///
/// # Errors
/// 404 if there is none, which says where the message is if it waits.
pub(in crate::http) async fn execution_of(
    caller: &Caller,
    trigger: Option<TriggerId>,
    id: ExecutionId,
) -> Result<ExecutionId, ApiError> {
    let resolved = views::resolve_execution(&caller.store, caller.tenant, id).await;
    let resolved = resolved.map_err(store_failed)?.ok_or(Problem::ExecutionNotFound)?;
    resolved.execution.ok_or_else(|| {
        let waiting = resolved.message.filter(|it| trigger.is_none_or(|of| it.trigger_id == of));
        waiting.as_ref().map_or_else(|| Problem::ExecutionNotFound.into(), not_yet)
    })
}

/// 404, saying where the message is that will be in one.
fn not_yet(message: &WaitingMessage) -> ApiError {
    let (status, text) = if message.is_requested {
        ("requested", "the message is on its way to the agent, and in no execution yet")
    } else {
        ("buffered", "the message waits for others in its session, and is in no execution yet")
    };
    let details = json!({
        "status": status,
        "message_id": message.id,
        "session_id": message.session_id,
        "accepted_at": message.accepted_at,
    });
    ApiError::new(Problem::ExecutionNotFound, text).with_details(details)
}

fn detail(view: ExecutionView) -> Detail {
    let calls = view.llm_calls.into_iter();
    let llm_calls: Vec<ShownLlmCall> = calls.map(|call| llm_call(call, &view.tool_calls)).collect();
    let ids: Vec<MessageId> = view.messages.iter().map(|message| message.id).collect();
    let execution = ShownExecution {
        id: view.id,
        trigger_id: view.trigger_id,
        agent_version: view.agent_version,
        agent_variation: view.agent_variation,
        parent_execution_id: view.parent_execution_id,
        parent_tool_call_id: view.parent_tool_call_id,
        superseded_by: view.superseded_by,
        cancel_requested_at: view.cancel_requested_at,
        status: view.status,
        created_at: view.created_at,
        started_at: view.started_at,
        finished_at: view.finished_at,
        execution_time_ms: execution_time_ms(view.started_at, view.finished_at),
        attempt_count: view.attempt_count,
        normalized_query: view.normalized_query,
        agent_response: view.agent_response,
        response_channel: match (view.parent_execution_id, &view.author, view.was_awaited) {
            (Some(_), _, _) => "sub_agent",
            (None, Some(_), _) => "manual",
            (None, None, true) => "webhook_sync",
            (None, None, false) => "webhook_async",
        },
        author: view.author,
        error_code: view.error_code,
        error_message: view.error_message,
        tokens_used: view.tokens_used,
        cost_usd: view.cost_usd,
        session_id: view.session.id,
        webhook_context: context::shown(&view.context, &ids),
    };
    let tool_calls = view.tool_calls.into_iter();
    Detail {
        success: true,
        execution,
        session: session(view.session),
        metrics: metrics(&llm_calls),
        llm_calls,
        tool_calls: tool_calls.map(|call| tool_call(view.id, call)).collect(),
        messages: view.messages.into_iter().map(message).collect(),
        context_windows: view.windows.into_iter().map(window).collect(),
        deliveries: view.deliveries.into_iter().map(delivery).collect(),
    }
}

fn session(view: SessionView) -> ShownSession {
    ShownSession {
        session_id: view.id,
        agent_id: view.agent_id,
        agent_name: view.agent_name,
        status: view.status,
        status_reason: view.status_reason,
        created_at: view.created_at,
        updated_at: view.updated_at,
        message_count: view.n_messages,
    }
}

fn window(view: WindowView) -> ShownWindow {
    ShownWindow {
        sequence: view.sequence,
        strategies: view.strategies,
        summary: view.summary,
        message_count: view.n_messages,
        prompt_tokens: view.prompt_tokens,
        completion_tokens: view.completion_tokens,
        created_at: view.created_at,
    }
}

fn message(view: MessageView) -> ShownMessage {
    ShownMessage {
        id: view.id,
        text: view.text,
        accepted_at: view.accepted_at,
        recorded_at: view.recorded_at,
    }
}
