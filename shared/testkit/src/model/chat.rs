//! What a model is asked and what it says, in the words of chat completions.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// The part of the request's body that tests look at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Chat {
    /// The model's name.
    pub model: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools on offer, as they came.
    #[serde(default)]
    pub tools: Option<Value>,
    /// Whether they may or must be called, as it came.
    #[serde(default)]
    pub tool_choice: Option<Value>,
    /// Whether the answer is to come in pieces.
    #[serde(default)]
    pub stream: bool,
    /// Further wishes about a streamed answer, as they came.
    #[serde(default)]
    pub stream_options: Option<Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text; an assistant that calls tools may say nothing.
    #[serde(default)]
    pub content: Option<String>,
    /// The tools that an assistant calls.
    #[serde(default, deserialize_with = "list_or_null")]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WireToolCall")]
pub struct ToolCall {
    /// What the model calls it; if it is empty, the stub makes one up.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them.
    pub arguments: String,
}

#[derive(Deserialize)]
struct WireToolCall {
    id: String,
    function: WireFunction,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    arguments: String,
}

impl From<WireToolCall> for ToolCall {
    fn from(wire: WireToolCall) -> Self {
        Self { id: wire.id, name: wire.function.name, arguments: wire.function.arguments }
    }
}

fn list_or_null<'de, D: Deserializer<'de>>(wire: D) -> Result<Vec<ToolCall>, D::Error> {
    Ok(Option::deserialize(wire)?.unwrap_or_default())
}

impl Chat {
    /// The last message of the user; empty if there is none.
    pub fn input(&self) -> &str {
        let last = self.messages.iter().rev().find(|message| message.role == "user");
        last.and_then(|message| message.content.as_deref()).unwrap_or_default()
    }

    /// The system prompt; empty if there is none.
    pub fn system(&self) -> &str {
        let first = self.messages.iter().find(|message| message.role == "system");
        first.and_then(|message| message.content.as_deref()).unwrap_or_default()
    }

    /// What the tools said that the last turn of the model called, in order; empty if the user
    /// spoke since.
    pub fn results(&self) -> Vec<&str> {
        let last = self.messages.iter().rev().take_while(|message| message.role == "tool");
        let mut results: Vec<&str> =
            last.map(|message| message.content.as_deref().unwrap_or_default()).collect();
        results.reverse();
        results
    }

    /// How often the model has spoken since the user did.
    pub fn turn(&self) -> usize {
        let since = self.messages.iter().rev().take_while(|message| message.role != "user");
        since.filter(|message| message.role == "assistant").count()
    }
}

/// What a model says next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// Its words.
    pub text: String,
    /// The tools it calls.
    pub tool_calls: Vec<ToolCall>,
}

impl Turn {
    /// Words.
    pub fn say(text: impl Into<String>) -> Self {
        Self { text: text.into(), tool_calls: Vec::new() }
    }

    /// A call of a tool, and nothing to say.
    pub fn call(name: &str, arguments: &Value) -> Self {
        Self::default().and_call(name, arguments)
    }

    /// One more call, made beside the others.
    #[must_use]
    pub fn and_call(self, name: &str, arguments: &Value) -> Self {
        self.and_call_raw(name, &arguments.to_string())
    }

    /// One more call, with arguments that need not be JSON.
    #[must_use]
    pub fn and_call_raw(mut self, name: &str, arguments: &str) -> Self {
        let (id, name, arguments) = (String::new(), name.to_owned(), arguments.to_owned());
        self.tool_calls.push(ToolCall { id, name, arguments });
        self
    }

    /// Gives calls without an id one that no other call of the conversation has.
    pub(super) fn with_ids(mut self, chat: &Chat) -> Self {
        let n_said = chat.messages.len();
        for (index, call) in self.tool_calls.iter_mut().enumerate() {
            if call.id.is_empty() {
                call.id = format!("call_{n_said}_{index}");
            }
        }
        self
    }
}

/// How many tokens a model says it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of the conversation it was given.
    pub prompt_tokens: u64,
    /// Of its answer.
    pub completion_tokens: u64,
}

/// An event of a stream, with a name if the API gives its events one.
pub(super) fn event(name: Option<&str>, data: &Value) -> String {
    let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
    format!("{name}data: {data}\n\n")
}

/// A text as a model writes it: a few characters at a time.
pub(super) fn pieces(text: &str) -> Vec<String> {
    const LENGTH: usize = 8;
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(LENGTH).map(|piece| piece.iter().collect()).collect()
}

/// An error as both APIs write it.
pub(super) fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message, "code": null}})
}
