//! What listeners are sent: the envelope of seed 002, made of what we know.
//!
//! Pure: the same event of the same execution is the same envelope, byte for byte.
//!
//! The seed calls some fields optional that the clients of its day refuse to be without
//! (`externalId`, `labels`, `contextWindowId`), so every field is there: an external id that
//! nobody gave is empty. Of its words, an account is a tenant, a workspace a project, an objective
//! an execution. Nobody is logged in where an execution runs, so the profile that made things is
//! the tenant's system profile.
//!
//! Three fields are not in the seed: the `type` and the `toolCallId` of a call that is asked for,
//! and the `result` of a tool. The clients of today read them, and will not do without the last.
//!
//! No text is longer than [`MAX_TEXT_BYTES`], and one that was longer says so at its end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use recado_types::ids::Prefixed;
use recado_types::{
    ContextWindowId, ExecutionId, LlmCallId, ProfileId, TenantId, ToolCallId, VariationId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::event::{AskedCall, AskedTool, Compaction, Event, EventSource, What};

/// The longest text of an event, without the note that it was cut.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// What the arguments of one turn's calls have together, each being a text.
const MAX_ARGUMENTS_BYTES: usize = 4 * MAX_TEXT_BYTES;
/// A function's name as a model may have made it up.
const MAX_NAME_BYTES: usize = 256;
/// The calls of one turn that are told of: as many as an execution may make (`Limits`).
const MAX_CALLS: usize = 1_000;

/// What `event` looks like from outside: `{type, timestamp, data}`.
pub(super) fn of(source: &EventSource, event: &Event) -> Value {
    let timestamp = time(event.occurred_at);
    json!({
        "type": format!("objective_event.{}", event.what.kind()),
        "timestamp": timestamp,
        "data": {
            "agent": agent(source),
            "agentVariation": variation(source),
            "objective": objective(source),
            "objectiveEvent": {
                "data": data(source, &event.what),
                "metadata": operation(source, &event.id(source).prefixed(), event.occurred_at),
                "contextWindowId": window(source, event.window),
                "info": {"createdBy": created_by(source.tenant_id), "objective": objective(source)},
            },
        },
    })
}

// --- Who and where ------------------------------------------------------------------------------

fn agent(source: &EventSource) -> Value {
    let agent = &source.agent;
    let mut metadata = resource(source, &agent.id.prefixed(), agent.created_at, &agent.name);
    metadata["externalId"] = json!(agent.external_id.as_deref().unwrap_or_default());
    metadata["labels"] = json!(agent.labels);
    metadata
}

fn variation(source: &EventSource) -> Value {
    let agent = &source.agent;
    let id = VariationId::derived(agent.id, &agent.variation);
    resource(source, &id.prefixed(), agent.version_created_at, &agent.variation)
}

/// The labels say what it is part of: nothing else in the envelope does.
fn objective(source: &EventSource) -> Value {
    let mut labels = BTreeMap::from([
        ("session", source.session_id.prefixed().to_string()),
        ("trigger", source.trigger_id.prefixed().to_string()),
    ]);
    if let Some(parent) = source.parent {
        labels.insert("parent", parent.prefixed().to_string());
    }
    let mut metadata = operation(source, &source.execution_id.prefixed(), source.created_at);
    metadata["labels"] = json!(labels);
    metadata
}

/// Metadata of something that lasts and has a name.
fn resource(source: &EventSource, id: &Prefixed, created_at: DateTime<Utc>, name: &str) -> Value {
    let mut metadata = operation(source, id, created_at);
    metadata["name"] = json!(name);
    metadata
}

/// Metadata of something that passes.
fn operation(source: &EventSource, id: &Prefixed, created_at: DateTime<Utc>) -> Value {
    json!({
        "id": id.to_string(),
        "accountId": source.tenant_id.prefixed().to_string(),
        "createdAt": time(created_at),
        "profileId": profile_id(source.tenant_id),
        "workspaceId": source.project_id.prefixed().to_string(),
        "externalId": "",
        "labels": {},
    })
}

/// The one that acts for the tenant when no person does.
fn created_by(tenant: TenantId) -> Value {
    json!({
        "metadata": {
            "id": profile_id(tenant),
            "accountId": tenant.prefixed().to_string(),
            "name": "Recado",
            "profileId": profile_id(tenant),
            "externalId": "",
            "labels": {},
        },
        "spec": {"type": "PROFILE_TYPE_SYSTEM", "email": "", "name": "Recado"},
    })
}

fn profile_id(tenant: TenantId) -> String {
    ProfileId::of_system(tenant).prefixed().to_string()
}

fn window(source: &EventSource, sequence: u32) -> String {
    ContextWindowId::derived(source.session_id, sequence).prefixed().to_string()
}

fn time(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Micros, true)
}

// --- What happened ------------------------------------------------------------------------------

/// The one that happened under its name, and `type`, which says which one it is.
fn data(source: &EventSource, what: &What) -> Value {
    let (name, content) = match what {
        What::UserMessage { content } => ("userMessage", user_message(content)),
        What::AssistantMessage { llm_call, content, tool_calls } => {
            ("assistantMessage", assistant_message(source, *llm_call, content, tool_calls))
        }
        What::ToolCalled { tool_call } => ("toolCalled", tool_call_alone(*tool_call)),
        What::ToolResult { tool_call, content } => ("toolResult", tool_result(*tool_call, content)),
        What::ToolError { tool_call, message } => ("toolError", tool_error(*tool_call, message)),
        What::ToolApprovalRequested { tool_call } => {
            ("toolApprovalRequested", tool_call_alone(*tool_call))
        }
        What::ToolApproved { tool_call } => ("toolApproved", tool_call_alone(*tool_call)),
        What::ToolDenied { tool_call, memo } => ("toolDenied", tool_denied(*tool_call, memo)),
        What::ContextWindowCompacted(compaction) => {
            ("contextWindowCompacted", context_window_compacted(source, compaction))
        }
        What::SubObjectiveCreated { child, created_at } => {
            ("subObjectiveCreated", sub_objective_created(source, *child, *created_at))
        }
        What::Error { code, message } => ("error", error(code, message)),
    };
    json!({"type": name, name: content})
}

fn user_message(content: &str) -> Value {
    json!({"content": cut(content, MAX_TEXT_BYTES)})
}

fn assistant_message(
    source: &EventSource,
    llm_call: LlmCallId,
    content: &str,
    tool_calls: &[AskedCall],
) -> Value {
    let mut left = MAX_ARGUMENTS_BYTES;
    let asked = |(index, call): (u32, &AskedCall)| {
        let arguments = cut(&call.arguments, left.min(MAX_TEXT_BYTES));
        left = left.saturating_sub(arguments.len());
        json!({
            "toolCallId": ToolCallId::derived(llm_call, index).prefixed().to_string(),
            "functionName": cut(&call.function, MAX_NAME_BYTES),
            "arguments": arguments,
            "tool": callable(source, call.tool.as_ref()),
        })
    };
    let tool_calls: Vec<Value> = (0..).zip(tool_calls.iter().take(MAX_CALLS)).map(asked).collect();
    json!({"content": cut(content, MAX_TEXT_BYTES), "toolCalls": tool_calls})
}

/// Empty if a model asks for what there is not.
fn callable(source: &EventSource, tool: Option<&AskedTool>) -> Value {
    let (kind, id, made_at, name) = match tool {
        None => return json!({}),
        Some(AskedTool::Tool { id, name }) => ("tool", id.prefixed(), made_at(source, id.0), name),
        Some(AskedTool::Agent { id, name }) => {
            ("agent", id.prefixed(), made_at(source, id.0), name)
        }
    };
    json!({"type": kind, kind: resource(source, &id, made_at, name)})
}

/// When what `id` names was made: a fresh id says it. Of one that does not we know that it was
/// there when the execution began.
fn made_at(source: &EventSource, id: Uuid) -> DateTime<Utc> {
    let at = id.get_timestamp().and_then(|timestamp| {
        let (seconds, nanos) = timestamp.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    });
    at.unwrap_or(source.created_at)
}

fn tool_call_alone(tool_call: ToolCallId) -> Value {
    json!({"toolCallId": tool_call.prefixed().to_string()})
}

fn tool_result(tool_call: ToolCallId, content: &str) -> Value {
    let content = cut(content, MAX_TEXT_BYTES);
    json!({
        "toolCallId": tool_call.prefixed().to_string(),
        "content": content,
        "result": {"content": [{"type": "text", "text": {"text": content}}]},
    })
}

fn tool_error(tool_call: ToolCallId, message: &str) -> Value {
    json!({
        "toolCallId": tool_call.prefixed().to_string(),
        "message": cut(message, MAX_TEXT_BYTES),
    })
}

fn tool_denied(tool_call: ToolCallId, memo: &str) -> Value {
    json!({
        "toolCallId": tool_call.prefixed().to_string(),
        "memo": cut(memo, MAX_TEXT_BYTES),
    })
}

fn context_window_compacted(source: &EventSource, compaction: &Compaction) -> Value {
    let summary = cut(compaction.summary.as_deref().unwrap_or_default(), MAX_TEXT_BYTES);
    json!({
        "messagesCompacted": compaction.n_messages,
        "newContextWindow": {
            "objectiveId": source.execution_id.prefixed().to_string(),
            "sequence": compaction.sequence,
            "promptTokens": compaction.prompt_tokens,
            "completionTokens": compaction.completion_tokens,
            "previousWindowContinueInstructions": summary,
        },
        "strategies": compaction.strategies,
        "summary": summary,
    })
}

fn sub_objective_created(
    source: &EventSource,
    child: ExecutionId,
    created_at: DateTime<Utc>,
) -> Value {
    let mut metadata = operation(source, &child.prefixed(), created_at);
    metadata["labels"] = json!({"parent": source.execution_id.prefixed().to_string()});
    json!({"metadata": metadata})
}

fn error(code: &str, message: &str) -> Value {
    json!({"type": code, "message": cut(message, MAX_TEXT_BYTES)})
}

/// At most the first `max_bytes` of `text`, whole characters, and a note on what is missing.
fn cut(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return Cow::Borrowed(text);
    }
    let kept = &text[..text.floor_char_boundary(max_bytes)];
    Cow::Owned(format!("{kept}… [cut: {} of {} bytes]", kept.len(), text.len()))
}

#[cfg(test)]
mod tests;
