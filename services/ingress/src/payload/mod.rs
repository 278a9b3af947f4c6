//! From authentic bytes to a value: JSON, a form, or a plain text.
//!
//! JSON nests at most 127 levels (the parser's own limit, which keeps its stack bounded). U+0000
//! is refused here with its path, because the database refuses it: further on, one such message
//! would be poison in a queue.

pub(crate) mod form;
mod media_type;

use serde_json::Value;

use crate::refusal::Refusal;
use media_type::MediaType;

/// Where a text in the payload stops being shown in a path.
const MAX_SHOWN_PATH: usize = 200;

/// Reads `body` as its `Content-Type` says. A text that is not JSON is taken only with
/// `accepts_text`, and is a JSON string then.
pub(crate) fn parse(
    content_type: Option<&str>,
    body: &[u8],
    accepts_text: bool,
) -> Result<Value, Refusal> {
    let payload = match MediaType::of(content_type)? {
        MediaType::Json => json(body)?,
        MediaType::Form => form::to_value(form::pairs(body).map_err(malformed)?),
        MediaType::Text | MediaType::Unknown if looks_like_json(body) => json(body)?,
        MediaType::Text if accepts_text => text(body)?,
        MediaType::Text | MediaType::Unknown => return Err(Refusal::UnsupportedType),
    };
    refuse_nul(&payload)?;
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

fn refuse_nul(payload: &Value) -> Result<(), Refusal> {
    match find_nul(payload) {
        None => Ok(()),
        Some(path) => {
            let path: String = path.chars().take(MAX_SHOWN_PATH).collect();
            let field = if path.is_empty() { "body".to_owned() } else { path };
            Err(Refusal::InvalidInput { field, reason: "contains U+0000".into() })
        }
    }
}

/// The dotted path of the first text or key that holds U+0000.
fn find_nul(value: &Value) -> Option<String> {
    let below = |step: &str, value: &Value| {
        let rest = find_nul(value)?;
        Some(if rest.is_empty() { step.to_owned() } else { format!("{step}.{rest}") })
    };
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| below(&index.to_string(), item))
        }
        Value::Object(object) => object.iter().find_map(|(key, value)| {
            if key.contains('\0') { Some(key.replace('\0', "\u{fffd}")) } else { below(key, value) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const JSON: Option<&str> = Some("application/json");

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
    fn json_nests_127_levels_and_no_more() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n)).into_bytes();
        assert!(parse(JSON, &nested(127), false).is_ok());
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
