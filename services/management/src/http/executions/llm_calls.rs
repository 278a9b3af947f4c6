//! The model calls of an execution and what they come to, as they are told.

use chrono::{DateTime, Utc};
use recado_store::views::{LlmCallView, ToolCallView};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LlmCall")]
pub(super) struct ShownLlmCall {
    model: String,
    provider: String,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cached_input_tokens: Option<i64>,
    cost_usd: Option<f64>,
    response_time_ms: i64,
    /// The tools that were called because of it, in order.
    tools_executed: Vec<String>,
    finish_reason: Option<String>,
    #[schemars(extend("enum" = ["turn", "summary"]))]
    purpose: String,
    iteration: i32,
    window_sequence: i32,
    timestamp: DateTime<Utc>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExecutionMetrics")]
pub(super) struct Metrics {
    total_calls: usize,
    total_tokens: i64,
    /// `null` if there were calls and no price is known of any.
    total_cost_usd: Option<f64>,
    avg_latency_ms: i64,
    models_used: Vec<String>,
    providers_used: Vec<String>,
}

/// A call, and of the tool calls of its execution those that it led to.
pub(super) fn llm_call(view: LlmCallView, tool_calls: &[ToolCallView]) -> ShownLlmCall {
    let was_made = |call: &&ToolCallView| {
        view.purpose == "turn"
            && call.iteration == view.iteration
            && matches!(call.status.as_str(), "success" | "error")
    };
    let made = tool_calls.iter().filter(was_made);
    ShownLlmCall {
        model: format!("{}.{}", view.provider, view.model),
        provider: view.provider,
        input_tokens: view.input_tokens,
        output_tokens: view.output_tokens,
        cached_input_tokens: view.cached_input_tokens,
        cost_usd: view.cost_usd,
        response_time_ms: view.response_time_ms,
        tools_executed: made.map(|call| call.tool_name.clone()).collect(),
        finish_reason: view.finish_reason,
        purpose: view.purpose,
        iteration: view.iteration,
        window_sequence: view.window_sequence,
        timestamp: view.created_at,
    }
}

pub(super) fn metrics(calls: &[ShownLlmCall]) -> Metrics {
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
        total_cost_usd: is_priced.then(|| billionths(known_costs.iter().sum())),
        avg_latency_ms: total_latency_ms / n_calls.max(1),
        models_used: distinct(calls.iter().map(|call| &call.model)),
        providers_used: distinct(calls.iter().map(|call| &call.provider)),
    }
}

/// To the billionth of a dollar: what floating point adds beyond that is no cost.
fn billionths(cost_usd: f64) -> f64 {
    (cost_usd * 1e9).round() / 1e9
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

#[cfg(test)]
mod tests {
    use super::*;

    fn call(cost_usd: Option<f64>) -> ShownLlmCall {
        let view = LlmCallView {
            number: 1,
            purpose: "turn".into(),
            iteration: 1,
            window_sequence: 1,
            provider: "openai".into(),
            model: "gpt-4.1".into(),
            input_tokens: Some(850),
            output_tokens: Some(400),
            cached_input_tokens: None,
            cost_usd,
            response_time_ms: 300,
            finish_reason: None,
            created_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        };
        llm_call(view, &[])
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
