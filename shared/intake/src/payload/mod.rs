//! From authentic bytes to a value: JSON, a form, or a plain text.
//!
//! JSON nests at most 127 levels (the parser's own limit, which keeps its stack bounded), or as many
//! as the operator allows. U+0000 is refused here with its path, because the database refuses it:
//! further on, one such message would be poison in a queue.

pub(crate) mod form;
mod media_type;
mod walk;

use actix_web::http::header::CONTENT_TYPE;
use recado_types::trigger::{QueryExtraction, Source, TriggerConfig};
use serde_json::Value;

use crate::auth::Received;
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;
use media_type::MediaType;

/// What a body may hold.
#[derive(Clone, Copy, Debug)]
pub struct PayloadLimits {
    /// How deep JSON may nest.
    pub json_depth: usize,
    /// How many fields all objects of a body may have together.
    pub json_fields: usize,
    /// How many fields a form may have.
    pub form_fields: usize,
}

impl Default for PayloadLimits {
    fn default() -> Self {
        // The parser reads 127 levels, and on the broker a message has a few of its own. Of fields,
        // Twilio sends some thirty.
        Self { json_depth: 64, json_fields: 20_000, form_fields: 1_000 }
    }
}

/// The body of a request to `trigger`, as its `Content-Type` says.
///
/// # Errors
/// When it is of another type, malformed, or holds too much.
pub fn of(trigger: &CompiledTrigger, request: &Received<'_>) -> Result<Value, Refusal> {
    // The bytes of a mail are for its channel to understand.
    if let Source::Email(_) = trigger.config.source {
        return Ok(Value::Null);
    }
    let content_type = content_type(request)?;
    parse(content_type, request.body, takes_text(&trigger.config), request.limits)
}

/// What the request says its body is. One that says it unreadably says something else than we read.
fn content_type<'a>(request: &Received<'a>) -> Result<Option<&'a str>, Refusal> {
    let header = request.headers.get(CONTENT_TYPE);
    header.map(|value| value.to_str().map_err(|_not_shown| Refusal::UnsupportedType)).transpose()
}

/// Whether a plain text may be the question.
fn takes_text(config: &TriggerConfig) -> bool {
    match &config.query_extraction {
        QueryExtraction::FullBody | QueryExtraction::Channel => true,
        QueryExtraction::Field(_) | QueryExtraction::Jmespath(_) | QueryExtraction::Template(_) => {
            false
        }
    }
}

/// Reads `body` as its `Content-Type` says. A text that is not JSON is taken only with
/// `accepts_text`, and is a JSON string then.
pub(crate) fn parse(
    content_type: Option<&str>,
    body: &[u8],
    accepts_text: bool,
    limits: PayloadLimits,
) -> Result<Value, Refusal> {
    let payload = match MediaType::of(content_type)? {
        MediaType::Json => json(body)?,
        MediaType::Form => {
            form::to_value(form::pairs(body, limits.form_fields).map_err(malformed)?)
        }
        MediaType::Text | MediaType::Unknown if looks_like_json(body) => json(body)?,
        MediaType::Text if accepts_text => text(body)?,
        MediaType::Text | MediaType::Unknown => return Err(Refusal::UnsupportedType),
    };
    walk::check(&payload, limits)?;
    Ok(payload)
}

/// Whether `payload`, which nobody has read from bytes, may be one.
///
/// # Errors
/// When it holds too much, or U+0000.
pub fn check(payload: &Value, limits: PayloadLimits) -> Result<(), Refusal> {
    walk::check(payload, limits)
}

/// Reads `body` whatever its type says: as JSON if it is some, as a text otherwise.
pub fn anything(body: &[u8], limits: PayloadLimits) -> Result<Value, Refusal> {
    let payload = match serde_json::from_slice(body) {
        Ok(payload) => payload,
        Err(_no_json) => text(body)?,
    };
    walk::check(&payload, limits)?;
    Ok(payload)
}

fn json(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::MalformedBody {
        reason: error.to_string(),
        position: Some((error.line(), error.column())),
    })
}

fn text(body: &[u8]) -> Result<Value, Refusal> {
    std::str::from_utf8(body).map(Value::from).map_err(malformed)
}

fn malformed(error: impl std::error::Error) -> Refusal {
    Refusal::MalformedBody { reason: error.to_string(), position: None }
}

/// An object or an array, that is; a lone `7` in a plain text is a text.
fn looks_like_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const JSON: Option<&str> = Some("application/json");

    fn parse(
        content_type: Option<&str>,
        body: &[u8],
        accepts_text: bool,
    ) -> Result<Value, Refusal> {
        super::parse(content_type, body, accepts_text, PayloadLimits::default())
    }

    fn reason(content_type: Option<&str>, body: &[u8]) -> String {
        match parse(content_type, body, true) {
            Err(Refusal::MalformedBody { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_content_type_says_how_to_read() {
        let object = json!({"a": "1"});
        let read = |content_type, body: &[u8]| parse(content_type, body, false).unwrap();
        assert_eq!(read(JSON, br#"{"a":"1"}"#), object);
        assert_eq!(read(Some("application/vnd.erp.v1+json"), br#"{"a":"1"}"#), object);
        assert_eq!(read(Some("application/x-www-form-urlencoded"), b"a=1"), object);
        assert_eq!(read(Some("text/plain"), b" {\"a\":\"1\"}"), object);
        assert_eq!(read(None, b"\n{\"a\":\"1\"}"), object);
    }

    #[test]
    fn a_plain_text_is_taken_only_where_the_whole_body_is_the_question() {
        assert_eq!(parse(Some("text/plain"), "Olá".as_bytes(), true).unwrap(), json!("Olá"));
        assert_eq!(parse(Some("text/plain"), b"7", true).unwrap(), json!("7"));
        let refused = parse(Some("text/plain"), b"hello", false);
        assert!(matches!(refused, Err(Refusal::UnsupportedType)));
    }

    #[test]
    fn what_has_no_type_and_no_brace_is_refused() {
        for body in [&b""[..], b"hello", b"a=1", b"\xff"] {
            assert!(matches!(parse(None, body, true), Err(Refusal::UnsupportedType)), "{body:?}");
        }
    }

    #[test]
    fn malformed_json_is_refused_with_its_position() {
        let refusal = parse(JSON, b"{\n  \"a\": }", true).unwrap_err();
        let Refusal::MalformedBody { position, .. } = refusal else { panic!("{refusal:?}") };
        assert_eq!(position, Some((2, 8)));
        assert!(reason(JSON, b"").contains("EOF"));
        assert!(reason(JSON, b"\xef\xbb\xbf{}").contains("expected value"));
        assert!(reason(JSON, br#""\ud800""#).contains("hex escape"));
        assert!(reason(JSON, b"[1e400]").contains("out of range"));
    }

    #[test]
    fn json_never_nests_more_than_127_levels() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n)).into_bytes();
        let deepest = PayloadLimits { json_depth: 127, ..PayloadLimits::default() };
        assert!(super::parse(JSON, &nested(127), false, deepest).is_ok());
        assert!(reason(JSON, &nested(128)).contains("recursion limit"));
    }

    #[test]
    fn nul_is_refused_by_its_path() {
        let path = |content_type, body: &[u8]| match parse(content_type, body, true) {
            Err(Refusal::InvalidInput { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(path(JSON, br#"{"a":{"b":["x","\u0000"]}}"#), "a.b.1");
        assert_eq!(path(JSON, br#"{"a":{"k\u0000":1}}"#), "a.k\u{fffd}");
        assert_eq!(path(JSON, br#""\u0000""#), "body");
        assert_eq!(path(Some("text/plain"), b"a\0b"), "body");
        assert_eq!(path(Some("application/x-www-form-urlencoded"), b"Body=a%00"), "Body");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(
            body in prop::collection::vec(any::<u8>(), 0..300),
            content_type in prop::option::of("[a-z/+;= -]{0,40}"),
        ) {
            let _ = parse(content_type.as_deref(), &body, true);
        }

        #[test]
        fn nothing_that_is_accepted_holds_nul(
            text in "[a\\x00\"\\\\]{0,6}", key in "[a\\x00]{0,3}",
        ) {
            let body = serde_json::to_vec(&json!([{ key.clone(): text.clone() }])).unwrap();
            let clean = !text.contains('\0') && !key.contains('\0');
            prop_assert_eq!(parse(JSON, &body, false).is_ok(), clean);
        }
    }
}
