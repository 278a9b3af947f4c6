//! A question as chat completions have it.

use recado_http::guard::Outbound;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::model::call::{Endpoint, post};
use crate::model::chat::{Ask, ChatMessage, ToolDefinition, ToolRequest};
use crate::model::error::ModelError;

/// The request for an answer in pieces. `counted` asks for the usage, which a streamed answer
/// otherwise has not; a few servers refuse a request that does.
pub(in crate::model) fn request(
    endpoint: &Endpoint<'_>,
    ask: &Ask<'_>,
    counted: bool,
) -> Result<Outbound, ModelError> {
    let request = post(endpoint, &["chat", "completions"])?;
    let limit = ask.sampling.max_output_tokens;
    let is_openai = is_openai(&request.url);
    let body = Request {
        model: endpoint.model,
        messages: ask.conversation.iter().map(Message::of).collect(),
        stream: true,
        stream_options: counted.then_some(StreamOptions { include_usage: true }),
        tools: ask.tools.iter().map(Tool::of).collect(),
        tool_choice: (!ask.tools.is_empty() && !ask.may_call_tools).then_some("none"),
        temperature: ask.sampling.temperature,
        top_p: ask.sampling.top_p,
        max_completion_tokens: limit.filter(|_| is_openai),
        max_tokens: limit.filter(|_| !is_openai),
        stop: &ask.sampling.stop,
        seed: ask.sampling.seed,
        frequency_penalty: ask.sampling.frequency_penalty,
        presence_penalty: ask.sampling.presence_penalty,
    };
    request.json(&body).map_err(ModelError::misconfigured)
}

/// `OpenAI` itself, whose newer models know the limit of tokens as `max_completion_tokens` only.
/// Mistral and others refuse that name, and everybody else knows the old one, `max_tokens`.
fn is_openai(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    host == "api.openai.com"
        || host.ends_with(".api.openai.com")
        || host.ends_with(".openai.azure.com")
}

/// Only what was set: many servers refuse what they do not know.
#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Message<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        /// Null if it only calls tools.
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

impl<'a> Message<'a> {
    fn of(message: &'a ChatMessage) -> Self {
        match message {
            ChatMessage::System(content) => Self::System { content },
            ChatMessage::User(content) => Self::User { content },
            ChatMessage::Assistant { text, tool_calls } => Self::Assistant {
                content: (!text.is_empty() || tool_calls.is_empty()).then_some(text),
                tool_calls: tool_calls.iter().map(ToolCall::of).collect(),
            },
            ChatMessage::Tool { call_id, content, .. } => {
                Self::Tool { tool_call_id: call_id, content }
            }
        }
    }
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: String,
}

impl<'a> ToolCall<'a> {
    fn of(request: &'a ToolRequest) -> Self {
        // Servers that render a template for the model refuse arguments that are no object.
        let arguments = Value::Object(request.arguments_object()).to_string();
        let function = Called { name: &request.name, arguments };
        Self { id: &request.id, r#type: "function", function }
    }
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> Tool<'a> {
    fn of(tool: &'a ToolDefinition) -> Self {
        let ToolDefinition { name, description, parameters } = tool;
        Self { r#type: "function", function: Function { name, description, parameters } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::fixtures::{conversation, definitions, endpoint, sampling, with};

    fn body(base_url: &str, may_call_tools: bool, counted: bool) -> Value {
        let (conversation, tools, sampling) = (conversation(), definitions(), sampling());
        let mut ask = with(&conversation, &tools, &sampling);
        ask.may_call_tools = may_call_tools;
        let request = request(&endpoint(base_url), &ask, counted).unwrap();
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn a_whole_conversation_is_written_down() {
        let body = body("https://llm.example.com/v1", true, true);
        assert_eq!(
            body["messages"],
            json!([
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "two, please"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "a", "type": "function",
                     "function": {"name": "find", "arguments": "{\"q\":1}"}},
                    {"id": "b", "type": "function",
                     "function": {"name": "find", "arguments": "{\"malformed\":\"{\\\"q\\\"\"}"}},
                ]},
                {"role": "tool", "tool_call_id": "a", "content": "one"},
                {"role": "tool", "tool_call_id": "b", "content": "no JSON"},
                {"role": "assistant", "content": "here"},
                {"role": "user", "content": "thanks"},
            ])
        );
        assert_eq!(body["tools"][0]["function"]["name"], "find");
        assert_eq!(body["tools"][0]["function"]["parameters"]["type"], "object");
        assert_eq!(
            (&body["stream"], &body["stream_options"]["include_usage"]),
            (&json!(true), &json!(true))
        );
        assert_eq!((&body["seed"], &body["stop"]), (&json!(7), &json!(["END"])));
        assert_eq!(body.get("tool_choice"), None);
        assert_eq!(body.get("frequency_penalty"), None, "not set, not sent");
    }

    #[test]
    fn tools_that_may_not_be_called_are_told_of() {
        let body = body("https://llm.example.com/v1", false, true);
        assert_eq!((&body["tool_choice"], body["tools"].is_array()), (&json!("none"), true));
    }

    #[test]
    fn the_limit_of_tokens_has_the_name_that_the_server_knows() {
        for url in ["https://api.openai.com/v1", "https://x.openai.azure.com/openai/v1/"] {
            let body = body(url, true, true);
            assert_eq!(body["max_completion_tokens"], 100, "{url}");
            assert_eq!(body.get("max_tokens"), None, "{url}");
        }
        for url in ["https://api.mistral.ai/v1", "https://api.openai.com.example.com/v1"] {
            let body = body(url, true, true);
            assert_eq!(body["max_tokens"], 100, "{url}");
            assert_eq!(body.get("max_completion_tokens"), None, "{url}");
        }
    }

    #[test]
    fn usage_is_not_asked_for_where_that_is_refused() {
        assert_eq!(body("https://llm.example.com/v1", true, false).get("stream_options"), None);
    }

    #[test]
    fn paths_are_appended_and_queries_kept() {
        let (conversation, sampling) = (conversation(), sampling());
        let ask = with(&conversation, &[], &sampling);
        for (base, url) in [
            ("https://a.example.com/v1", "https://a.example.com/v1/chat/completions"),
            ("https://a.example.com/v1/", "https://a.example.com/v1/chat/completions"),
            ("https://a.example.com/x?v=2", "https://a.example.com/x/chat/completions?v=2"),
        ] {
            let request = request(&endpoint(base), &ask, true).unwrap();
            assert_eq!(request.url.as_str(), url);
            assert_eq!(request.headers["authorization"], "Bearer key");
        }
        let mailto = request(&endpoint("mailto:a@example.com"), &ask, true);
        assert!(matches!(mailto, Err(ModelError::Misconfigured)));
    }
}
