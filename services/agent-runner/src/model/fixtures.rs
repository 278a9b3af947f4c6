//! Questions for tests.

use std::time::Duration;

use recado_types::LlmCallId;
use recado_types::agent::Sampling;
use recado_types::provider::ProviderKind;
use serde_json::json;
use uuid::Uuid;

use super::call::Endpoint;
use super::chat::{Ask, ChatMessage, ToolDefinition, ToolRequest};

/// A conversation in which two tools were called at once, one of them badly.
pub(super) fn conversation() -> Vec<ChatMessage> {
    let call = |id: &str, arguments: &str| ToolRequest {
        id: id.into(),
        name: "find".into(),
        arguments: arguments.into(),
    };
    let result = |id: &str, content: &str, is_error| ChatMessage::Tool {
        call_id: id.into(),
        name: "find".into(),
        content: content.into(),
        is_error,
    };
    vec![
        ChatMessage::System("be brief".into()),
        ChatMessage::User("two, please".into()),
        ChatMessage::Assistant {
            text: String::new(),
            tool_calls: vec![call("a", r#"{"q":1}"#), call("b", r#"{"q""#)],
        },
        result("a", "one", false),
        result("b", "no JSON", true),
        ChatMessage::Assistant { text: "here".into(), tool_calls: Vec::new() },
        ChatMessage::User("thanks".into()),
    ]
}

pub(super) fn definitions() -> Vec<ToolDefinition> {
    vec![ToolDefinition {
        name: "find".into(),
        description: "Finds things.".into(),
        parameters: json!({"type": "object", "properties": {"q": {"type": "integer"}}}),
    }]
}

pub(super) fn sampling() -> Sampling {
    Sampling {
        temperature: Some(1.5),
        max_output_tokens: Some(100),
        stop: vec!["END".into()],
        seed: Some(7),
        ..Sampling::default()
    }
}

pub(super) fn endpoint(base_url: &str) -> Endpoint<'_> {
    let kind = ProviderKind::OpenaiCompatible;
    Endpoint { kind, base_url, key: Some("key"), model: "m" }
}

pub(super) fn with<'a>(
    conversation: &'a [ChatMessage],
    tools: &'a [ToolDefinition],
    sampling: &'a Sampling,
) -> Ask<'a> {
    Ask {
        conversation,
        tools,
        may_call_tools: true,
        sampling,
        call_id: LlmCallId(Uuid::from_u128(7)),
        patience: Duration::from_secs(10),
    }
}
