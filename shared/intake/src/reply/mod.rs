//! How the agent's answer is told to a sender that waits for it.
//!
//! Each format is one file, and a function of the answer and the trigger's configuration. What all
//! of them promise:
//!
//! * The status is 200, and there is a `Content-Type`: Twilio counts an answer without one as a
//!   failure (error 11200).
//! * The body is what the channel takes: well-formed, and within the channel's own limits, whatever
//!   the agent wrote.
//! * A text that has to be cut ends with an ellipsis, and is cut between grapheme clusters.

mod ebarn;
mod raw;
mod slack;
mod teams;
mod twiml;

use actix_web::http::StatusCode;
use recado_text::split::split;
use recado_text::transform::transform;
use recado_types::trigger::{ResponseAdapter, ResponseFormat, SplitConfig, Transform};
use recado_types::{AgentId, ExecutionId, SessionId, TriggerId};

use crate::answer::Answer;

const JSON: &str = "application/json";
/// What Twilio asks for.
const XML: &str = "text/xml";

/// An execution that has succeeded, as far as its sender is told.
#[derive(Clone, Copy, Debug)]
pub struct AgentReply<'r> {
    /// The trigger.
    pub trigger_id: TriggerId,
    /// Who answers.
    pub agent_id: AgentId,
    /// The execution.
    pub execution_id: ExecutionId,
    /// The conversation.
    pub session_id: SessionId,
    /// What the agent says.
    pub response: &'r str,
    /// What the model counted, if it did.
    pub total_tokens: Option<i64>,
    /// From the message to its answer.
    pub latency_ms: u64,
}

/// How the trigger wants answers to look.
#[derive(Clone, Copy, Debug)]
pub struct ReplyShape<'s> {
    /// `response_adapter`.
    pub adapter: &'s ResponseAdapter,
    /// `split_config`, where it is enabled.
    pub split: Option<&'s SplitConfig>,
}

/// The answer to a sender who has waited until the execution ended.
pub fn reply(shape: &ReplyShape<'_>, ended: &AgentReply<'_>) -> Answer {
    let format = shape.adapter.format;
    let transformed = transform(ended.response, &Transform::derived_from(format));
    let text = transformed.text.as_ref();
    let (content_type, body) = match format {
        ResponseFormat::Raw => (JSON, raw::body(shape, &AgentReply { response: text, ..*ended })),
        ResponseFormat::Ebarn => (JSON, ebarn::body(shape, text)),
        ResponseFormat::Slack => (JSON, slack::body(text)),
        ResponseFormat::Teams => (JSON, teams::body(text)),
        ResponseFormat::Twiml => (XML, twiml::body(shape, text)),
    };
    Answer::new(StatusCode::OK, content_type, body)
}

impl ReplyShape<'_> {
    fn max_messages(&self) -> usize {
        self.adapter.max_messages as usize
    }

    /// `text` in at most `max_messages` chunks, otherwise as `config` says.
    fn chunks(&self, text: &str, config: &SplitConfig) -> Vec<String> {
        let max_chunks = config.max_chunks.min(self.adapter.max_messages);
        split(text, &SplitConfig { max_chunks, ..*config }).chunks
    }
}

#[cfg(test)]
mod tests;
