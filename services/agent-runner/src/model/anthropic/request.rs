//! A question as Anthropic's messages have it.
//!
//! There, user and assistant take turns, beginning with the user; the system prompt stands apart;
//! what tools say is said by the user, all of one turn in one message; and no text is empty.

use recado_http::guard::Outbound;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::call::{Endpoint, post};
use crate::model::chat::{Ask, ChatMessage, ToolDefinition};
use crate::model::error::ModelError;

/// The API wants a limit; this one holds where the agent has none.
const DEFAULT_MAX_TOKENS: u32 = 4_096;
/// The API goes less far than others.
const MAX_TEMPERATURE: f64 = 1.0;
/// Stands where a turn is needed and nobody said anything.
const SILENCE: &str = "(nothing)";

/// The request for an answer in pieces. A seed and penalties are unknown there, and left out.
pub(in crate::model) fn request(
    endpoint: &Endpoint<'_>,
    ask: &Ask<'_>,
) -> Result<Outbound, ModelError> {
    let body = Request {
        model: endpoint.model,
        max_tokens: ask.sampling.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        system: system(ask.conversation),
        messages: turns(ask.conversation),
        stream: true,
        tools: ask.tools.iter().map(Tool::of).collect(),
        tool_choice: (!ask.tools.is_empty() && !ask.may_call_tools)
            .then_some(ToolChoice { r#type: "none" }),
        temperature: ask.sampling.temperature.map(|warmth| warmth.min(MAX_TEMPERATURE)),
        top_p: ask.sampling.top_p,
        stop_sequences: &ask.sampling.stop,
    };
    let request = post(endpoint, &["messages"])?;
    request.json(&body).map_err(ModelError::misconfigured)
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    system: String,
    messages: Vec<Turn<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
struct ToolChoice {
    r#type: &'static str,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: Role,
    content: Vec<Block<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: String,
        name: &'a str,
        input: Map<String, Value>,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(skip_serializing_if = "str::is_empty")]
        content: &'a str,
        #[serde(skip_serializing_if = "is_false")]
        is_error: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
}

impl<'a> Tool<'a> {
    fn of(tool: &'a ToolDefinition) -> Self {
        let ToolDefinition { name, description, parameters } = tool;
        Self { name, description, input_schema: parameters }
    }
}

fn system(conversation: &[ChatMessage]) -> String {
    let prompts = conversation.iter().filter_map(|message| match message {
        ChatMessage::System(text) => Some(text.as_str()),
        _ => None,
    });
    prompts.collect::<Vec<_>>().join("\n\n")
}

/// Everything that was said, as turns of user and assistant.
fn turns(conversation: &[ChatMessage]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in conversation {
        let (role, blocks) = match message {
            ChatMessage::System(_) => continue,
            ChatMessage::User(text) => (Role::User, text_block(text).into_iter().collect()),
            ChatMessage::Assistant { text, tool_calls } => {
                let calls = tool_calls.iter().map(|call| Block::ToolUse {
                    id: usable_id(&call.id),
                    name: &call.name,
                    input: call.arguments_object(),
                });
                (Role::Assistant, text_block(text).into_iter().chain(calls).collect())
            }
            ChatMessage::Tool { call_id, content, is_error, .. } => {
                let tool_use_id = usable_id(call_id);
                (Role::User, vec![Block::ToolResult { tool_use_id, content, is_error: *is_error }])
            }
        };
        say(&mut turns, role, blocks);
    }
    if turns.first().is_none_or(|turn| turn.role == Role::Assistant) {
        turns.insert(0, Turn { role: Role::User, content: vec![Block::Text { text: SILENCE }] });
    }
    for turn in turns.iter_mut().filter(|turn| turn.content.is_empty()) {
        turn.content.push(Block::Text { text: SILENCE });
    }
    turns
}

/// Who speaks twice goes on with the same turn.
fn say<'a>(turns: &mut Vec<Turn<'a>>, role: Role, blocks: Vec<Block<'a>>) {
    match turns.last_mut().filter(|turn| turn.role == role) {
        Some(turn) => turn.content.extend(blocks),
        None => turns.push(Turn { role, content: blocks }),
    }
}

/// Blank texts are refused there.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text { text })
}

/// An id of a call as the API takes it; that of another provider may not be one.
fn usable_id(id: &str) -> String {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    id.chars().map(|c| if usable(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use recado_types::provider::ProviderKind;
    use serde_json::json;

    use super::*;
    use crate::model::chat::ToolRequest;
    use crate::model::fixtures::{conversation, definitions, endpoint, sampling, with};

    fn body(may_call_tools: bool) -> Value {
        let (conversation, tools, sampling) = (conversation(), definitions(), sampling());
        let mut ask = with(&conversation, &tools, &sampling);
        ask.may_call_tools = may_call_tools;
        let endpoint = endpoint("https://api.anthropic.com/v1");
        let endpoint = Endpoint { kind: ProviderKind::Anthropic, ..endpoint };
        let request = request(&endpoint, &ask).unwrap();
        assert_eq!(request.url.as_str(), "https://api.anthropic.com/v1/messages");
        assert_eq!(request.headers["x-api-key"], "key");
        assert!(request.headers["x-api-key"].is_sensitive());
        assert_eq!(request.headers["anthropic-version"], "2023-06-01");
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn results_of_one_turn_are_in_one_message_with_what_the_user_says_next() {
        let body = body(true);
        assert_eq!(body["system"], "be brief");
        assert_eq!(
            body["messages"],
            json!([
                {"role": "user", "content": [{"type": "text", "text": "two, please"}]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "a", "name": "find", "input": {"q": 1}},
                    {"type": "tool_use", "id": "b", "name": "find",
                     "input": {"malformed": "{\"q\""}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "b", "content": "no JSON",
                     "is_error": true},
                ]},
                {"role": "assistant", "content": [{"type": "text", "text": "here"}]},
                {"role": "user", "content": [{"type": "text", "text": "thanks"}]},
            ])
        );
        assert_eq!(body["tools"][0]["input_schema"]["type"], "object");
        assert_eq!((&body["max_tokens"], &body["temperature"]), (&json!(100), &json!(1.0)));
        assert_eq!(body["stop_sequences"], json!(["END"]));
        assert_eq!((body.get("seed"), body.get("tool_choice")), (None, None));
    }

    #[test]
    fn tools_that_may_not_be_called_are_told_of() {
        let body = body(false);
        assert_eq!(body["tool_choice"], json!({"type": "none"}));
        assert!(body["tools"].is_array());
    }

    #[test]
    fn turns_alternate_whoever_spoke() {
        let assistant =
            |text: &str| ChatMessage::Assistant { text: text.into(), tool_calls: Vec::new() };
        let conversation = [
            assistant("hello"),
            ChatMessage::User("a".into()),
            ChatMessage::User(" ".into()),
            ChatMessage::User("b".into()),
            assistant(""),
            ChatMessage::User("c".into()),
        ];
        let turns = serde_json::to_value(turns(&conversation)).unwrap();
        let text = |text: &str| json!({"type": "text", "text": text});
        assert_eq!(
            turns,
            json!([
                {"role": "user", "content": [text("(nothing)")]},
                {"role": "assistant", "content": [text("hello")]},
                {"role": "user", "content": [text("a"), text("b")]},
                {"role": "assistant", "content": [text("(nothing)")]},
                {"role": "user", "content": [text("c")]},
            ])
        );
        assert_eq!(serde_json::to_value(super::turns(&[])).unwrap().as_array().unwrap().len(), 1);
    }

    #[test]
    fn ids_of_other_providers_are_made_to_fit() {
        let call = ToolRequest { id: "f:0".into(), name: "f".into(), arguments: String::new() };
        let conversation = [
            ChatMessage::User("a".into()),
            ChatMessage::Assistant { text: String::new(), tool_calls: vec![call] },
            ChatMessage::Tool {
                call_id: "f:0".into(),
                name: "f".into(),
                content: String::new(),
                is_error: false,
            },
        ];
        let turns = serde_json::to_value(turns(&conversation)).unwrap();
        assert_eq!(turns[1]["content"][0]["id"], "f_0");
        assert_eq!(turns[2]["content"][0], json!({"type": "tool_result", "tool_use_id": "f_0"}));
    }
}
