//! A message of Anthropic's API, whole or in pieces.

use recado_types::LlmCallId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::answer::{Answer, Flaw};
use crate::model::chat::Reply;
use crate::model::complaint::Complaint;
use crate::model::draft::{CallPiece, Draft};

/// A message that is being read.
pub(in crate::model) struct Message {
    draft: Draft,
    usage: Usage,
    has_begun: bool,
    is_over: bool,
}

impl Message {
    pub(in crate::model) fn new(call_id: LlmCallId) -> Self {
        let (draft, usage) = (Draft::new(call_id), Usage::default());
        Self { draft, usage, has_begun: false, is_over: false }
    }

    fn start(&mut self, whole: Whole) -> Result<(), Flaw> {
        self.has_begun = true;
        for (index, block) in (0..).zip(&whole.content) {
            self.block(Some(index), block)?;
        }
        self.count(whole.usage);
        self.stop(whole.stop_reason);
        Ok(())
    }

    /// The beginning of a block, or all of it.
    fn block(&mut self, index: Option<u64>, block: &Block) -> Result<(), Flaw> {
        match block {
            Block::Text { text } => self.draft.say(text),
            Block::ToolUse { id, name, input } => {
                let input = input.as_ref().filter(|input| !input.is_empty());
                let arguments = input.map(|input| Value::Object(input.clone()).to_string());
                self.draft.call(&CallPiece {
                    index,
                    id: Some(id),
                    name: Some(name),
                    arguments: arguments.as_deref().unwrap_or_default(),
                })
            }
            Block::Other => Ok(()),
        }
    }

    fn delta(&mut self, index: Option<u64>, delta: &Delta) -> Result<(), Flaw> {
        match delta {
            Delta::Text { text } => self.draft.say(text),
            Delta::Arguments { partial_json } => self.draft.call(&CallPiece {
                index,
                arguments: partial_json,
                ..CallPiece::default()
            }),
            Delta::Other => Ok(()),
        }
    }

    /// Counts are of the whole so far: the last one stands.
    fn count(&mut self, usage: Option<Usage>) {
        let Some(usage) = usage else { return };
        let known = self.usage;
        self.usage = Usage {
            input_tokens: usage.input_tokens.or(known.input_tokens),
            output_tokens: usage.output_tokens.or(known.output_tokens),
            cache_creation_input_tokens: usage
                .cache_creation_input_tokens
                .or(known.cache_creation_input_tokens),
            cache_read_input_tokens: usage
                .cache_read_input_tokens
                .or(known.cache_read_input_tokens),
        };
    }

    fn stop(&mut self, reason: Option<String>) {
        if let Some(reason) = reason {
            self.draft.stop(&reason);
        }
    }
}

impl Answer for Message {
    fn event(&mut self, data: &str) -> Result<(), Flaw> {
        let event = serde_json::from_str(data).map_err(|_not_shown| Flaw::Malformed)?;
        match event {
            Event::MessageStart { message } => self.start(message),
            Event::ContentBlockStart { index, content_block } => self.block(index, &content_block),
            Event::ContentBlockDelta { index, delta } => self.delta(index, &delta),
            Event::MessageDelta { delta, usage } => {
                self.count(usage);
                self.stop(delta.stop_reason);
                Ok(())
            }
            Event::MessageStop => {
                self.is_over = true;
                Ok(())
            }
            Event::Error { error } => Err(Flaw::Complaint(Complaint::of(&error))),
            Event::Other => Ok(()),
        }
    }

    fn document(&mut self, body: &[u8]) -> Result<(), Flaw> {
        let document = serde_json::from_slice(body).map_err(|_not_shown| Flaw::Malformed)?;
        match document {
            Document::Message(message) => self.start(message)?,
            Document::Error { error } => return Err(Flaw::Complaint(Complaint::of(&error))),
        }
        self.is_over = true;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    /// Unlike there, what was read from the cache counts as input here.
    fn reply(mut self: Box<Self>) -> Result<Reply, Flaw> {
        match (self.has_begun, self.is_over || self.draft.has_stopped()) {
            (true, true) => {}
            (false, true) => return Err(Flaw::Malformed),
            (_, false) => return Err(Flaw::BrokenOff),
        }
        let Usage {
            input_tokens,
            output_tokens,
            cache_creation_input_tokens: written,
            cache_read_input_tokens: read,
        } = self.usage;
        let cached = read.unwrap_or(0).saturating_add(written.unwrap_or(0));
        self.draft.input_tokens = input_tokens.map(|fresh| fresh.saturating_add(cached));
        self.draft.output_tokens = output_tokens;
        self.draft.cached_input_tokens = read;
        Ok(self.draft.reply())
    }
}

/// The events that are used. The API may add others at any time.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Whole,
    },
    ContentBlockStart {
        index: Option<u64>,
        content_block: Block,
    },
    ContentBlockDelta {
        index: Option<u64>,
        delta: Delta,
    },
    MessageDelta {
        delta: Stop,
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Document {
    Message(Whole),
    Error { error: Value },
}

#[derive(Deserialize)]
struct Whole {
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Option<Map<String, Value>>,
    },
    /// Thoughts, for example.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Arguments { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
struct Usage {
    /// Neither read from nor written to the cache.
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cache_creation_input_tokens: Option<i64>,
    cache_read_input_tokens: Option<i64>,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::answer::AnswerReader;

    fn read(body: &str) -> Result<Reply, Flaw> {
        let mut reader = AnswerReader::new(Box::new(Message::new(LlmCallId(Uuid::nil()))));
        let (first, rest) = body.as_bytes().split_at(body.len() / 2);
        reader.feed(first)?;
        reader.feed(rest)?;
        reader.end()
    }

    fn stream(events: &[&str]) -> String {
        let event = |data: &&str| format!("event: whatever\ndata: {}\n\n", data.replace('\n', ""));
        events.iter().map(event).collect()
    }

    const START: &str = r#"{"type": "message_start", "message": {"id": "msg_1", "type": "message",
        "role": "assistant", "content": [], "model": "claude", "stop_reason": null, "usage": {
        "input_tokens": 25, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 100,
        "output_tokens": 1}}}"#;

    #[test]
    fn a_streamed_message_is_joined_with_its_whole_usage() {
        let reply = read(&stream(&[
            START,
            r#"{"type": "ping"}"#,
            r#"{"type": "content_block_start", "index": 0,
                "content_block": {"type": "thinking", "thinking": ""}}"#,
            r#"{"type": "content_block_delta", "index": 0,
                "delta": {"type": "thinking_delta", "thinking": "hm"}}"#,
            r#"{"type": "content_block_stop", "index": 0}"#,
            r#"{"type": "content_block_start", "index": 1,
                "content_block": {"type": "text", "text": ""}}"#,
            r#"{"type": "content_block_delta", "index": 1,
                "delta": {"type": "text_delta", "text": "Let me "}}"#,
            r#"{"type": "content_block_delta", "index": 1,
                "delta": {"type": "text_delta", "text": "see."}}"#,
            r#"{"type": "content_block_stop", "index": 1}"#,
            r#"{"type": "content_block_start", "index": 2,
                "content_block": {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {}}}"#,
            r#"{"type": "content_block_delta", "index": 2,
                "delta": {"type": "input_json_delta", "partial_json": ""}}"#,
            r#"{"type": "content_block_delta", "index": 2,
                "delta": {"type": "input_json_delta", "partial_json": "{\"q\": 1}"}}"#,
            r#"{"type": "content_block_start", "index": 3,
                "content_block": {"type": "tool_use", "id": "toolu_2", "name": "list", "input": {}}}"#,
            r#"{"type": "something_new", "index": 3}"#,
            r#"{"type": "message_delta", "delta": {"stop_reason": "tool_use",
                "stop_sequence": null}, "usage": {"output_tokens": 89}}"#,
            r#"{"type": "message_stop"}"#,
        ]))
        .unwrap();
        assert_eq!(reply.text, "Let me see.");
        let calls: Vec<(&str, &str, &str)> = reply
            .tool_calls
            .iter()
            .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(calls, [("toolu_1", "find", "{\"q\": 1}"), ("toolu_2", "list", "{}")]);
        assert_eq!((reply.input_tokens, reply.output_tokens), (Some(130), Some(89)));
        assert_eq!(reply.cached_input_tokens, Some(100));
        assert_eq!(reply.finish_reason.as_deref(), Some("tool_use"));
    }

    #[test]
    fn a_whole_message_is_understood() {
        let reply = read(
            r#"{"type": "message", "content": [{"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"q": 1}}],
                "stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 2}}"#,
        )
        .unwrap();
        assert_eq!(
            (reply.text.as_str(), reply.tool_calls[0].arguments.as_str()),
            ("Hi", r#"{"q":1}"#)
        );
        assert_eq!((reply.input_tokens, reply.cached_input_tokens), (Some(3), None));
    }

    #[test]
    fn errors_and_breaks_in_the_middle_are_noticed() {
        let overloaded = r#"{"type": "error", "error": {"type": "overloaded_error",
            "message": "Overloaded"}}"#;
        for body in [stream(&[START, overloaded]), overloaded.to_owned()] {
            let Err(Flaw::Complaint(complaint)) = read(&body) else { panic!("{body}") };
            assert_eq!(complaint.reason.as_deref(), Some("overloaded_error"));
            assert!(!complaint.is_lasting);
        }
        assert_eq!(read(&stream(&[START])), Err(Flaw::BrokenOff));
        assert_eq!(read(&stream(&[r#"{"type": "message_stop"}"#])), Err(Flaw::Malformed));
        assert_eq!(read(r#"{"choices": []}"#), Err(Flaw::Malformed));
        assert_eq!(read("data: {}\n\n"), Err(Flaw::Malformed));
    }
}
