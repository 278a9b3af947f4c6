//! Bodies: any bytes under any content type are refused, or become a value that keeps every limit.
//!
//! Input: the content type, whether text is taken, and three limits, a byte each; then the body.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use recado_fuzz::{depth, fields, holds_nul};
use recado_intake::fuzzing::{BodyLimits, form_fields, parse_body};
use serde_json::Value;

const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    content_type: u8,
    accepts_text: bool,
    depth: u8,
    fields: u8,
    form_fields: u8,
    body: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let body = input.body;
    let first_line = body.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let content_types = [
        Some("application/json"),
        Some(FORM),
        Some("text/plain; charset=utf-8"),
        None,
        Some("application/cloudevents+json;v=1"),
        str::from_utf8(first_line).ok(),
    ];
    let content_type = content_types[usize::from(input.content_type) % content_types.len()];
    let limits = BodyLimits {
        depth: input.depth.into(),
        fields: input.fields.into(),
        form_fields: input.form_fields.into(),
    };
    let parsed = parse_body(content_type, body, input.accepts_text, limits);
    assert_eq!(parsed, parse_body(content_type, body, input.accepts_text, limits));
    match &parsed {
        Ok(payload) => keeps_the_limits(payload, limits),
        Err(reason) => assert!(!reason.is_empty() && !reason.contains('\0')),
    }
    if let Ok(payload) = &parsed {
        is_what_was_sent(payload, content_type, body);
        let most = BodyLimits { depth: 127, fields: usize::MAX, form_fields: usize::MAX };
        assert_eq!(parse_body(content_type, body, true, most).as_ref(), Ok(payload));
    }
    a_form_is_read_back(body);
});

fn keeps_the_limits(payload: &Value, limits: BodyLimits) {
    assert!(!holds_nul(payload));
    assert!(depth(payload) <= limits.depth.min(127));
    assert!(fields(payload) <= limits.fields);
}

fn is_what_was_sent(payload: &Value, content_type: Option<&str>, body: &[u8]) {
    let is_form = content_type.is_some_and(|text| {
        text.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM))
    });
    if is_form {
        let sent = form_fields(body, usize::MAX).expect("it was read as a form");
        let is_there = |(name, value): &(String, String)| match &payload[name.as_str()] {
            Value::Array(values) => values.contains(&Value::from(value.as_str())),
            only => only == value.as_str(),
        };
        assert!(sent.iter().all(is_there));
    } else if let Value::String(text) = payload {
        let is_json = serde_json::from_slice::<Value>(body).is_ok_and(|json| json == *payload);
        assert!(is_json || text.as_bytes() == body);
    } else {
        assert_eq!(serde_json::from_slice::<Value>(body).as_ref().ok(), Some(payload));
    }
}

/// What is read from a form, written as a form, is read again; with one field less, it is refused.
fn a_form_is_read_back(body: &[u8]) {
    let Some(pairs) = form_fields(body, usize::MAX) else { return };
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let written = pairs.iter().map(|(name, value)| [escaped(name), escaped(value)].join("="));
    let written = written.collect::<Vec<_>>().join("&");
    assert_eq!(form_fields(written.as_bytes(), pairs.len()).as_ref(), Some(&pairs));
    if let Some(less) = pairs.len().checked_sub(1) {
        assert_eq!(form_fields(body, less), None);
    }
}
