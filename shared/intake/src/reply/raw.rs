//! Recado's own JSON (seed 000, "Sync Response").

use recado_text::split::paragraphs;
use recado_text::units::ELLIPSIS;
use recado_types::{AgentId, ExecutionId, SessionId, TriggerId};
use serde::Serialize;

use super::{AgentReply, ReplyShape};

#[derive(Serialize)]
struct Body<'r> {
    success: bool,
    trigger_id: TriggerId,
    agent_id: AgentId,
    agent_response: &'r str,
    /// The response once more, in pieces: for who asked for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<String>>,
    execution_id: ExecutionId,
    session_id: SessionId,
    usage: Usage,
    latency_ms: u64,
}

#[derive(Serialize)]
struct Usage {
    /// Null if the model did not count.
    total_tokens: Option<i64>,
}

/// The whole response with what there is to know about it.
pub(super) fn body(shape: &ReplyShape<'_>, ended: &AgentReply<'_>) -> String {
    let body = Body {
        success: true,
        trigger_id: ended.trigger_id,
        agent_id: ended.agent_id,
        agent_response: ended.response,
        messages: messages(shape, ended.response),
        execution_id: ended.execution_id,
        session_id: ended.session_id,
        usage: Usage { total_tokens: ended.total_tokens },
        latency_ms: ended.latency_ms,
    };
    serde_json::to_string(&body).expect("texts, numbers and flags are JSON")
}

fn messages(shape: &ReplyShape<'_>, text: &str) -> Option<Vec<String>> {
    match shape.split {
        Some(config) => Some(shape.chunks(text, config)),
        None if shape.adapter.split_messages => Some(first_paragraphs(text, shape.max_messages())),
        None => None,
    }
}

/// If there are more, the last one says so. On a line of its own, for it may end with fenced code.
fn first_paragraphs(text: &str, at_most: usize) -> Vec<String> {
    let found = paragraphs(text, at_most + 1);
    let is_cut = found.len() > at_most;
    let mut first: Vec<String> = found.into_iter().take(at_most).map(str::to_owned).collect();
    if let Some(last) = first.last_mut().filter(|_| is_cut) {
        last.extend(['\n', ELLIPSIS]);
    }
    first
}
