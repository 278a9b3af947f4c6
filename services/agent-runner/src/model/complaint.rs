//! What providers write when they refuse or fail: an error document, which every vendor shapes in
//! its own way. Nothing of it is shown but a code.

use serde_json::Value;

/// The longest code of a provider that is repeated.
const MAX_REASON_CHARS: usize = 64;

/// The codes of a conversation that is too long.
const TOO_LONG: [&str; 3] =
    ["context_length_exceeded", "exceed_context_size_error", "request_too_large"];
/// What vendors without a code for it write. There is nothing else to tell it by.
const TOO_LONG_IN_WORDS: [&str; 4] = [
    "prompt is too long",
    "maximum context length",
    "exceed context limit",
    "exceeds the context window",
];
/// Codes of refusals that the same request would meet again.
const LASTING: [&str; 7] = [
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "billing_error",
    "insufficient_quota",
    "content_filter",
];

/// What a provider says is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    /// Its own word for it, if it can only be that: `[a-z0-9_.-]`, at most 64 characters.
    pub(super) reason: Option<String>,
    /// The HTTP status, where it is part of the document.
    pub(super) status: Option<u16>,
    /// The conversation is too long for the model.
    pub(super) context_too_long: bool,
    /// It does not know `stream_options`.
    pub(super) about_stream_options: bool,
    /// The same request would be refused again.
    pub(super) is_lasting: bool,
}

impl Complaint {
    /// Reads the body of a refusal, whatever it is.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).map(|document| Self::of(&document)).unwrap_or_default()
    }

    /// Reads an error document: `{"error": {…}}`, the inner object alone, or a list with one.
    pub(super) fn of(document: &Value) -> Self {
        let document = document.get(0).unwrap_or(document);
        let error = document.get("error").filter(|error| !error.is_null()).unwrap_or(document);
        let words = ["code", "type"].map(|name| error.get(name).and_then(Value::as_str));
        let is_one_of = |codes: &[&str]| words.iter().flatten().any(|word| codes.contains(word));
        let message = message(error).to_lowercase();
        Self {
            reason: words.iter().flatten().find(|word| is_code(word)).map(|&word| word.to_owned()),
            status: status(error),
            context_too_long: is_one_of(&TOO_LONG)
                || TOO_LONG_IN_WORDS.iter().any(|words| message.contains(words)),
            about_stream_options: message.contains("stream_options"),
            is_lasting: is_one_of(&LASTING),
        }
    }
}

/// Some write the status in place of a code, as a number or as a text.
fn status(error: &Value) -> Option<u16> {
    let code = error.get("code")?;
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

fn is_code(word: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-')
    };
    (1..=MAX_REASON_CHARS).contains(&word.len()) && word.bytes().all(plain)
}

/// The words of an error: a text, or whatever a vendor has in place of one.
fn message(error: &Value) -> String {
    let message = error.get("message").or_else(|| error.get("detail")).unwrap_or(error);
    message.as_str().map_or_else(|| message.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Complaint {
        Complaint::read(body.as_bytes())
    }

    #[test]
    fn a_code_is_repeated_and_nothing_else() {
        let openai = read(
            r#"{"error": {"message": "Incorrect API key provided: sk-hunter2.",
                "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}}"#,
        );
        assert_eq!(openai.reason.as_deref(), Some("invalid_api_key"));
        let anthropic = read(
            r#"{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}"#,
        );
        assert_eq!(anthropic.reason.as_deref(), Some("overloaded_error"));
        for body in [
            r#"{"error": {"code": "sk-Hunter2"}}"#,
            r#"{"error": {"code": "two words", "type": ""}}"#,
            r#"{"error": "invalid_api_key"}"#,
            r#"{"error": null}"#,
            "[]",
            "<html>",
            "",
        ] {
            assert_eq!(read(body).reason, None, "{body}");
        }
        let long = format!(r#"{{"error": {{"code": "{}"}}}}"#, "x".repeat(65));
        assert_eq!(read(&long).reason, None);
    }

    #[test]
    fn a_conversation_that_is_too_long_is_recognised_at_every_vendor() {
        for body in [
            r#"{"error": {"code": "context_length_exceeded", "type": "invalid_request_error"}}"#,
            r#"{"type": "error", "error": {"type": "invalid_request_error",
                "message": "prompt is too long: 210000 tokens > 200000 maximum"}}"#,
            r#"{"object": "error", "type": "BadRequestError", "code": 400,
                "message": "This model's maximum context length is 4096 tokens."}"#,
            r#"{"error": {"code": 400, "type": "exceed_context_size_error"}}"#,
            r#"{"error": {"type": "request_too_large", "message": "Request exceeds the limit"}}"#,
        ] {
            assert!(read(body).context_too_long, "{body}");
        }
        assert!(!read(r#"{"error": {"message": "max_tokens is too large"}}"#).context_too_long);
    }

    #[test]
    fn a_status_inside_is_found() {
        assert_eq!(read(r#"{"error": {"code": 502, "message": "bad"}}"#).status, Some(502));
        assert_eq!(read(r#"{"error": {"code": "429"}}"#).status, Some(429));
        assert_eq!(read(r#"[{"error": {"code": 400}}]"#).status, Some(400));
        assert_eq!(read(r#"{"error": {"code": 200}}"#).status, None);
        assert_eq!(read(r#"{"error": {"code": "1000"}}"#).status, None);
    }

    #[test]
    fn a_server_that_knows_no_stream_options_is_recognised() {
        let body = r#"{"object": "error", "message": {"detail": [{"type": "extra_forbidden",
            "loc": ["body", "stream_options", "include_usage"]}]}, "code": null}"#;
        assert!(read(body).about_stream_options);
    }
}
