//! What is said to a model and what it says, in no provider's words.

use std::borrow::Cow;
use std::time::Duration;

use recado_types::LlmCallId;
use recado_types::agent::Sampling;
use recado_types::hidden::Redactor;
use serde_json::Map;

pub(crate) use recado_toolbox::{ToolDefinition, ToolRequest};

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChatMessage {
    /// By Recado, for the agent's owner.
    System(String),
    /// By the sender.
    User(String),
    /// By the agent.
    Assistant {
        /// What it said; may be empty if it only calls tools.
        text: String,
        /// The tools it wants to call.
        tool_calls: Vec<ToolRequest>,
    },
    /// By a tool.
    Tool {
        /// The request that it answers.
        call_id: String,
        /// The tool's name.
        name: String,
        /// What it says.
        content: String,
        /// Whether it failed.
        is_error: bool,
    },
}

/// One question to a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// The whole conversation, the system prompt first.
    pub(crate) conversation: &'a [ChatMessage],
    /// The tools on offer.
    pub(crate) tools: &'a [ToolDefinition],
    /// Whether it may call them now; if not, it is told of them all the same, so that what it
    /// called before makes sense.
    pub(crate) may_call_tools: bool,
    /// How it is to choose its words.
    pub(crate) sampling: &'a Sampling,
    /// The idempotency key of the call, however often it is sent.
    pub(crate) call_id: LlmCallId,
    /// How long it may take, all attempts together.
    pub(crate) patience: Duration,
}

/// What a model said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    /// Its words.
    pub(crate) text: String,
    /// The tools it wants to call, in its order.
    pub(crate) tool_calls: Vec<ToolRequest>,
    /// What the provider counted.
    pub(crate) input_tokens: Option<i64>,
    /// What the provider counted.
    pub(crate) output_tokens: Option<i64>,
    /// What the provider counted.
    pub(crate) cached_input_tokens: Option<i64>,
    /// From the provider's price table.
    pub(crate) cost_usd: Option<f64>,
    /// Why it stopped, in the provider's words.
    pub(crate) finish_reason: Option<String>,
}

/// What the user said last; empty if nothing.
pub(super) fn last_input(conversation: &[ChatMessage]) -> &str {
    let said = conversation.iter().rev().find_map(|message| match message {
        ChatMessage::User(text) => Some(text.as_str()),
        _ => None,
    });
    said.unwrap_or_default()
}

/// More than any model reads or says in one call: a provider that claims more has miscounted.
const MAX_TOKENS: i64 = 100_000_000;

impl Reply {
    /// Drops counts that cannot be: budgets and bills are made of them.
    pub(super) fn keep_sane(&mut self) {
        for count in
            [&mut self.input_tokens, &mut self.output_tokens, &mut self.cached_input_tokens]
        {
            count.take_if(|count| !(0..=MAX_TOKENS).contains(count));
        }
    }

    /// Takes the provider's own key out of what came back from it.
    pub(super) fn hide(&mut self, key: &str) {
        let redactor = Redactor::of(&Map::new(), [key]);
        let hide = |text: &mut String| {
            if let Cow::Owned(hidden) = redactor.redact(text) {
                *text = hidden;
            }
        };
        hide(&mut self.text);
        self.tool_calls.iter_mut().for_each(|call| hide(&mut call.arguments));
    }
}
