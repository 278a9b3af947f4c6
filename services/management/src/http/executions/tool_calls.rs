//! The tool calls of an execution, as they are told: the fields of seed 000, and what approvals and
//! sub-agents add.

use chrono::{DateTime, Utc};
use recado_store::views::ToolCallView;
use recado_types::{ExecutionId, ToolCallId, ToolId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ToolCall")]
pub(super) struct ShownToolCall {
    /// Ours: the one to approve or deny it by.
    id: ToolCallId,
    tool_name: String,
    tool_id: Option<ToolId>,
    /// The model's.
    tool_call_id: String,
    tool_input: Option<Value>,
    tool_output: Option<String>,
    /// How the output begins, in one line.
    output_preview: Option<String>,
    /// Whether input and output are `null` because together they are too large.
    omitted: bool,
    truncated: bool,
    /// `null` until it has ended.
    success: Option<bool>,
    #[schemars(extend("enum" = STATUSES))]
    status: String,
    duration_ms: Option<i64>,
    error_message: Option<String>,
    iteration: i32,
    call_index: i32,
    execution_id: ExecutionId,
    child_execution_id: Option<ExecutionId>,
    approval_expires_at: Option<DateTime<Utc>>,
    decided_at: Option<DateTime<Utc>>,
    decided_by: Option<String>,
    memo: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

/// Where a tool call may stand.
const STATUSES: [&str; 7] =
    ["requested", "waiting_for_approval", "approved", "denied", "delegated", "success", "error"];

pub(super) fn tool_call(execution_id: ExecutionId, view: ToolCallView) -> ShownToolCall {
    ShownToolCall {
        id: view.id,
        tool_name: view.tool_name,
        tool_id: view.tool_id,
        tool_call_id: view.provider_call_id,
        tool_input: view.input,
        tool_output: view.output,
        output_preview: view.preview.as_deref().map(one_line),
        omitted: view.is_omitted,
        truncated: view.truncated,
        success: success(&view.status),
        status: view.status,
        duration_ms: view.duration_ms,
        error_message: view.error_message,
        iteration: view.iteration,
        call_index: view.call_index,
        execution_id,
        child_execution_id: view.child_execution_id,
        approval_expires_at: view.approval_expires_at,
        decided_at: view.decided_at,
        decided_by: view.decided_by,
        memo: view.memo,
        created_at: view.created_at,
        finished_at: view.finished_at,
    }
}

fn success(status: &str) -> Option<bool> {
    match status {
        "success" => Some(true),
        "error" | "denied" => Some(false),
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_ended_has_a_success() {
        let known = ["success", "error", "denied"].map(success);
        assert_eq!(known, [Some(true), Some(false), Some(false)]);
        for open in ["requested", "waiting_for_approval", "approved", "delegated"] {
            assert_eq!(success(open), None, "{open}");
        }
    }

    #[test]
    fn a_preview_is_one_line() {
        assert_eq!(one_line("{\n  \"rows\": [\r\n\t1 ]}\n"), "{ \"rows\": [ 1 ]}");
    }
}
