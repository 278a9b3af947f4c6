//! GET `/api/triggers/{id}/executions/{executionId}`: everything about one execution.
//!
//! The shape is seed 000's, with our own additions: `messages`, `deliveries`, and in `execution`
//! why it failed and what it cost.

use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::{
    self, AttemptView, ChunkView, DeliveryView, ExecutionView, LlmCallView, MessageView,
    SessionView,
};
use recado_types::{AgentId, DeliveryId, ExecutionId, MessageId, SessionId, TriggerId};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{context, execution_time_ms};
use crate::Api;
use crate::access::{Caller, Read};
use crate::failure::store_failed;

/// As seed 000 prints it: not in `data`.
#[derive(Serialize)]
pub(in crate::http) struct Detail {
    success: bool,
    execution: ShownExecution,
    session: ShownSession,
    llm_calls: Vec<ShownLlmCall>,
    /// Agents have no tools in this release.
    tool_calls: [(); 0],
    metrics: Metrics,
    messages: Vec<ShownMessage>,
    deliveries: Vec<ShownDelivery>,
}

#[derive(Serialize)]
struct ShownExecution {
    id: ExecutionId,
    trigger_id: TriggerId,
    status: String,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    execution_time_ms: Option<i64>,
    attempt_count: i32,
    normalized_query: String,
    agent_response: Option<String>,
    response_channel: &'static str,
    error_code: Option<String>,
    error_message: Option<String>,
    tokens_used: Option<i64>,
    cost_usd: Option<f64>,
    session_id: SessionId,
    webhook_context: Map<String, Value>,
}

#[derive(Serialize)]
struct ShownSession {
    session_id: SessionId,
    agent_id: AgentId,
    agent_name: Option<String>,
    status: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    message_count: i64,
}

#[derive(Serialize)]
struct ShownLlmCall {
    model: String,
    provider: String,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cached_input_tokens: Option<i64>,
    cost_usd: Option<f64>,
    response_time_ms: i64,
    tools_executed: [(); 0],
    finish_reason: Option<String>,
    timestamp: DateTime<Utc>,
}

#[derive(Serialize)]
struct Metrics {
    total_calls: usize,
    total_tokens: i64,
    /// `null` if there were calls and no price is known of any.
    total_cost_usd: Option<f64>,
    avg_latency_ms: i64,
    models_used: Vec<String>,
    providers_used: Vec<String>,
}

#[derive(Serialize)]
struct ShownMessage {
    id: MessageId,
    text: String,
    accepted_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct ShownDelivery {
    id: DeliveryId,
    status: String,
    chunk_count: Option<i32>,
    truncated: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    chunks: Vec<ShownChunk>,
}

#[derive(Serialize)]
struct ShownChunk {
    chunk_index: i32,
    text: String,
    status: String,
    sent_at: Option<DateTime<Utc>>,
    provider_id: Option<String>,
    attempts: Vec<ShownAttempt>,
}

#[derive(Serialize)]
struct ShownAttempt {
    attempt: i32,
    status_code: Option<i32>,
    error_code: Option<String>,
    duration_ms: i64,
    started_at: DateTime<Utc>,
}

pub(in crate::http) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    ids: Path<(String, String)>,
) -> Result<Json<Detail>, ApiError> {
    let (trigger, execution) = ids.into_inner();
    let trigger: TriggerId = trigger.parse().map_err(|_no_id| Problem::TriggerNotFound)?;
    if !views::trigger_exists(&api.store, caller.tenant, trigger).await.map_err(store_failed)? {
        return Err(Problem::TriggerNotFound.into());
    }
    let execution: ExecutionId = execution.parse().map_err(|_no_id| Problem::ExecutionNotFound)?;
    let found = views::execution(&api.store, caller.tenant, trigger, execution).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::ExecutionNotFound)?;
    Ok(Json(detail(found)))
}

fn detail(view: ExecutionView) -> Detail {
    let llm_calls: Vec<ShownLlmCall> = view.llm_calls.into_iter().map(llm_call).collect();
    let ids: Vec<MessageId> = view.messages.iter().map(|message| message.id).collect();
    let last_context = view.messages.last().map(|message| context::shown(&message.context, &ids));
    let execution = ShownExecution {
        id: view.id,
        trigger_id: view.trigger_id,
        status: view.status,
        created_at: view.created_at,
        started_at: view.started_at,
        finished_at: view.finished_at,
        execution_time_ms: execution_time_ms(view.started_at, view.finished_at),
        attempt_count: view.attempt_count,
        normalized_query: view.normalized_query,
        agent_response: view.agent_response,
        response_channel: if view.was_awaited { "webhook_sync" } else { "webhook_async" },
        error_code: view.error_code,
        error_message: view.error_message,
        tokens_used: view.tokens_used,
        cost_usd: view.cost_usd,
        session_id: view.session.id,
        webhook_context: last_context.unwrap_or_default(),
    };
    Detail {
        success: true,
        execution,
        session: session(view.session),
        metrics: metrics(&llm_calls),
        llm_calls,
        tool_calls: [],
        messages: view.messages.into_iter().map(message).collect(),
        deliveries: view.deliveries.into_iter().map(delivery).collect(),
    }
}

fn session(view: SessionView) -> ShownSession {
    let SessionView { id, agent_id, agent_name, status, created_at, updated_at, n_messages } = view;
    ShownSession {
        session_id: id,
        agent_id,
        agent_name,
        status,
        created_at,
        updated_at,
        message_count: n_messages,
    }
}

fn llm_call(view: LlmCallView) -> ShownLlmCall {
    ShownLlmCall {
        model: format!("{}.{}", view.provider, view.model),
        provider: view.provider,
        input_tokens: view.input_tokens,
        output_tokens: view.output_tokens,
        cached_input_tokens: view.cached_input_tokens,
        cost_usd: view.cost_usd,
        response_time_ms: view.response_time_ms,
        tools_executed: [],
        finish_reason: view.finish_reason,
        timestamp: view.created_at,
    }
}

fn metrics(calls: &[ShownLlmCall]) -> Metrics {
    let known_costs: Vec<f64> = calls.iter().filter_map(|call| call.cost_usd).collect();
    let is_priced = calls.is_empty() || !known_costs.is_empty();
    let total_latency_ms: i64 = calls.iter().map(|call| call.response_time_ms).sum();
    let n_calls = i64::try_from(calls.len()).expect("calls are few");
    let tokens = |call: &ShownLlmCall| {
        call.input_tokens.unwrap_or_default() + call.output_tokens.unwrap_or_default()
    };
    Metrics {
        total_calls: calls.len(),
        total_tokens: calls.iter().map(tokens).sum(),
        total_cost_usd: is_priced.then(|| known_costs.iter().sum()),
        avg_latency_ms: total_latency_ms / n_calls.max(1),
        models_used: distinct(calls.iter().map(|call| &call.model)),
        providers_used: distinct(calls.iter().map(|call| &call.provider)),
    }
}

/// In the order of their first use.
fn distinct<'n>(names: impl Iterator<Item = &'n String>) -> Vec<String> {
    names.fold(Vec::new(), |mut seen, name| {
        if !seen.contains(name) {
            seen.push(name.clone());
        }
        seen
    })
}

fn message(view: MessageView) -> ShownMessage {
    ShownMessage {
        id: view.id,
        text: view.text,
        accepted_at: view.accepted_at,
        recorded_at: view.recorded_at,
    }
}

fn delivery(view: DeliveryView) -> ShownDelivery {
    ShownDelivery {
        id: view.id,
        status: view.status,
        chunk_count: view.chunk_count,
        truncated: view.truncated,
        error_code: view.error_code,
        error_message: view.error_message,
        created_at: view.created_at,
        finished_at: view.finished_at,
        chunks: view.chunks.into_iter().map(chunk).collect(),
    }
}

fn chunk(view: ChunkView) -> ShownChunk {
    ShownChunk {
        chunk_index: view.index,
        text: view.text,
        status: view.status,
        sent_at: view.sent_at,
        provider_id: view.provider_id,
        attempts: view.attempts.into_iter().map(attempt).collect(),
    }
}

fn attempt(view: AttemptView) -> ShownAttempt {
    let AttemptView { attempt, started_at, duration_ms, status_code, error_code } = view;
    ShownAttempt { attempt, status_code, error_code, duration_ms, started_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(cost_usd: Option<f64>) -> ShownLlmCall {
        llm_call(LlmCallView {
            provider: "openai".into(),
            model: "gpt-4.1".into(),
            input_tokens: Some(850),
            output_tokens: Some(400),
            cached_input_tokens: None,
            cost_usd,
            response_time_ms: 300,
            finish_reason: None,
            created_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        })
    }

    #[test]
    fn metrics_are_the_sums_of_the_calls() {
        let metrics = metrics(&[call(Some(0.5)), call(None)]);
        assert_eq!(metrics.total_calls, 2);
        assert_eq!(metrics.total_tokens, 2_500);
        assert_eq!(metrics.total_cost_usd, Some(0.5));
        assert_eq!(metrics.avg_latency_ms, 300);
        assert_eq!(metrics.models_used, ["openai.gpt-4.1"]);
        assert_eq!(metrics.providers_used, ["openai"]);
    }

    #[test]
    fn an_unknown_price_is_not_zero() {
        assert_eq!(metrics(&[call(None)]).total_cost_usd, None);
        assert_eq!(metrics(&[]).total_cost_usd, Some(0.0));
    }
}
