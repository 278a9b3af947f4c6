//! A chat completion, whole or in pieces.

use std::borrow::Cow;

use recado_types::LlmCallId;
use serde::Deserialize;
use serde_json::Value;

use crate::model::answer::{Answer, Flaw};
use crate::model::chat::Reply;
use crate::model::complaint::Complaint;
use crate::model::draft::{CallPiece, Draft};

/// What a stream ends with.
const DONE: &str = "[DONE]";

/// A completion that is being read.
pub(in crate::model) struct Completion {
    draft: Draft,
    /// Whether anything was said to us, be it nothing.
    has_begun: bool,
    is_done: bool,
}

impl Completion {
    pub(in crate::model) fn new(call_id: LlmCallId) -> Self {
        Self { draft: Draft::new(call_id), has_begun: false, is_done: false }
    }

    /// A whole completion is written like a piece of one.
    fn take(&mut self, json: &[u8]) -> Result<(), Flaw> {
        let chunk: Chunk = serde_json::from_slice(json).map_err(|_not_shown| Flaw::Malformed)?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(Flaw::Complaint(Complaint::of(&error)));
        }
        if let Some(usage) = chunk.usage {
            usage.note(&mut self.draft);
        }
        // Only one choice was asked for.
        let choices = chunk.choices.unwrap_or_default();
        let choice = choices.into_iter().find(|choice| choice.index.unwrap_or(0) == 0);
        choice.map_or(Ok(()), |choice| self.take_choice(choice))
    }

    fn take_choice(&mut self, choice: Choice) -> Result<(), Flaw> {
        if let Some(said) = choice.delta.or(choice.message) {
            self.has_begun = true;
            said.tell(&mut self.draft)?;
        }
        if let Some(reason) = choice.finish_reason {
            self.draft.stop(&reason);
        }
        Ok(())
    }
}

impl Answer for Completion {
    fn event(&mut self, data: &str) -> Result<(), Flaw> {
        if data.trim() == DONE {
            self.is_done = true;
            return Ok(());
        }
        self.take(data.as_bytes())
    }

    fn document(&mut self, body: &[u8]) -> Result<(), Flaw> {
        self.take(body)?;
        self.is_done = true;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.is_done
    }

    /// Some vendors leave out the reason for stopping, some the mark at the end: one of them is
    /// enough.
    fn reply(self: Box<Self>) -> Result<Reply, Flaw> {
        match (self.has_begun, self.is_done || self.draft.has_stopped()) {
            (true, true) => Ok(self.draft.reply()),
            (false, true) => Err(Flaw::Malformed),
            (_, false) => Err(Flaw::BrokenOff),
        }
    }
}

/// The parts of a completion that are used. Others vary from vendor to vendor.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    delta: Option<Said>,
    message: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Called>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    /// Models that think aloud have their thoughts and words in parts.
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    r#type: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Called {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    /// A text; some vendors send the object.
    arguments: Option<Value>,
}

impl Said {
    fn tell(self, draft: &mut Draft) -> Result<(), Flaw> {
        match self.content {
            None => {}
            Some(Content::Text(text)) => draft.say(&text)?,
            Some(Content::Parts(parts)) => {
                let words = parts.iter().filter(|part| part.is_text());
                words.filter_map(|part| part.text.as_ref()).try_for_each(|text| draft.say(text))?;
            }
        }
        if let Some(refusal) = self.refusal {
            draft.refuse(&refusal)?;
        }
        self.tool_calls.unwrap_or_default().iter().try_for_each(|call| call.tell(draft))
    }
}

impl Part {
    fn is_text(&self) -> bool {
        self.r#type.as_deref().is_none_or(|kind| kind == "text")
    }
}

impl Called {
    fn tell(&self, draft: &mut Draft) -> Result<(), Flaw> {
        let function = self.function.as_ref();
        let arguments = function.and_then(|function| match function.arguments.as_ref()? {
            Value::Null => None,
            Value::String(text) => Some(Cow::Borrowed(text.as_str())),
            object => Some(Cow::Owned(object.to_string())),
        });
        draft.call(&CallPiece {
            index: self.index,
            id: self.id.as_deref(),
            name: function.and_then(|function| function.name.as_deref()),
            arguments: arguments.as_deref().unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    prompt_tokens_details: Option<PromptTokensDetails>,
    /// What `DeepSeek` has in place of the details.
    prompt_cache_hit_tokens: Option<i64>,
}

#[derive(Deserialize)]
struct PromptTokensDetails {
    cached_tokens: Option<i64>,
}

impl Usage {
    /// The last count stands: some send one with every piece.
    fn note(self, draft: &mut Draft) {
        let details = self.prompt_tokens_details.and_then(|details| details.cached_tokens);
        draft.input_tokens = self.prompt_tokens.or(draft.input_tokens);
        draft.output_tokens = self.completion_tokens.or(draft.output_tokens);
        let cached = details.or(self.prompt_cache_hit_tokens);
        draft.cached_input_tokens = cached.or(draft.cached_input_tokens);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::answer::AnswerReader;

    fn read(body: &str) -> Result<Reply, Flaw> {
        let mut reader = AnswerReader::new(Box::new(Completion::new(LlmCallId(Uuid::nil()))));
        // In two pieces, so that nothing depends on how it comes.
        let (first, rest) = body.as_bytes().split_at(body.len() / 2);
        reader.feed(first)?;
        reader.feed(rest)?;
        reader.end()
    }

    fn stream(events: &[&str]) -> String {
        events.iter().flat_map(|event| ["data: ", event, "\n\n"]).collect()
    }

    #[test]
    fn a_streamed_text_is_joined_with_its_usage() {
        let body = stream(&[
            r#"{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""},
                "finish_reason": null}], "usage": null}"#
                .replace('\n', "")
                .as_str(),
            r#"{"choices": [{"index": 0, "delta": {"content": "Hel"}}]}"#,
            r#"{"choices": [{"index": 0, "delta": {"content": "lo\u0000!", "refusal": null}}]}"#,
            r#"{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}"#,
            r#"{"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 8}}}"#
                .replace('\n', "")
                .as_str(),
            "[DONE]",
        ]);
        let reply = read(&(": keep-alive\n\n".to_owned() + &body)).unwrap();
        assert_eq!((reply.text.as_str(), reply.finish_reason.as_deref()), ("Hello!", Some("stop")));
        assert_eq!((reply.input_tokens, reply.output_tokens), (Some(12), Some(3)));
        assert_eq!(reply.cached_input_tokens, Some(8));
    }

    #[test]
    fn streamed_calls_are_joined_whatever_they_say_they_are() {
        let body = stream(&[
            r#"{"choices": [{"delta": {"content": null, "tool_calls": [{"index": 0, "id": "a",
                "type": "function", "function": {"name": "find", "arguments": ""}}]}}]}"#
                .replace('\n', "")
                .as_str(),
            r#"{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]}"#,
            r#"{"choices": [{"delta": {"tool_calls": [{"index": 1, "id": null,
                "function": {"name": "drop", "arguments": {"x": 1}}}]}, "finish_reason": "stop"}]}"#
                .replace('\n', "")
                .as_str(),
        ]);
        let reply = read(&body).unwrap();
        let calls: Vec<(&str, &str)> =
            reply.tool_calls.iter().map(|call| (call.name.as_str(), &*call.arguments)).collect();
        assert_eq!(calls, [("find", "{}"), ("drop", r#"{"x":1}"#)]);
        assert_eq!(reply.tool_calls[0].id, "a");
        assert_eq!(reply.tool_calls[1].id, format!("call_{}_1", Uuid::nil().simple()));
        assert_eq!((reply.text.as_str(), reply.finish_reason.as_deref()), ("", Some("stop")));
    }

    #[test]
    fn a_server_that_does_not_stream_is_understood() {
        let reply = read(
            r#" {"id": "x", "choices": [{"index": 0, "finish_reason": "tool_calls",
                "message": {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ]}}], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}"#,
        )
        .unwrap();
        assert_eq!((reply.tool_calls.len(), reply.input_tokens), (1, Some(12)));
    }

    #[test]
    fn nothing_said_is_a_reply_too() {
        let reply = read(r#"{"choices": [{"message": {"content": null}}]}"#).unwrap();
        assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("", 0));
    }

    #[test]
    fn a_refusal_and_parts_are_texts() {
        let refused = r#"{"choices": [{"message": {"content": null, "refusal": "No."}}]}"#;
        assert_eq!(read(refused).unwrap().text, "No.");
        let parts = r#"{"choices": [{"message": {"content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "Yes."}]}}]}"#;
        assert_eq!(read(parts).unwrap().text, "Yes.");
    }

    #[test]
    fn a_stream_that_ends_too_early_is_broken_off() {
        let begun = r#"{"choices": [{"delta": {"content": "Hel"}}]}"#;
        for body in
            [stream(&[begun]), stream(&[begun]) + "data: {\"choi", ": keep-alive\n\n".to_owned()]
        {
            assert_eq!(read(&body), Err(Flaw::BrokenOff), "{body}");
        }
        let unmarked =
            stream(&[r#"{"choices": [{"delta": {"content": "x"}, "finish_reason": "x"}]}"#]);
        assert_eq!(read(&unmarked).unwrap().text, "x");
        assert_eq!(read(&(stream(&[begun]) + "data: [DONE]")).unwrap().text, "Hel");
    }

    #[test]
    fn nonsense_is_malformed() {
        for body in [
            r#"{"choices": []}"#,
            r#"{"choices": [{}]}"#,
            r#"{"choices":[{"#,
            "[]",
            "",
            "data: {]\n\n",
            "data: [DONE]\n\n",
            "<html>Welcome!</html>",
            "data: {\"choices\": [{\"delta\": {\"content\": 5}}]}\n\n",
        ] {
            assert_eq!(read(body), Err(Flaw::Malformed), "{body}");
        }
    }

    #[test]
    fn an_error_in_the_middle_is_a_complaint() {
        for body in [
            stream(&[
                r#"{"choices": [{"delta": {"content": "Hel"}}]}"#,
                r#"{"error": {"message": "gone", "type": "server_error", "code": 502}}"#,
            ]),
            r#"{"error": {"message": "gone", "type": "server_error", "code": 502}}"#.to_owned(),
        ] {
            let Err(Flaw::Complaint(complaint)) = read(&body) else { panic!("{body}") };
            assert_eq!(complaint.status, Some(502));
            assert_eq!(complaint.reason.as_deref(), Some("server_error"));
        }
    }
}
