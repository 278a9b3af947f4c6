//! Expressions: JMESPath, JSONPath, field paths, templates and identities, from any text over any
//! JSON. What parses gives the same result each time, within its limits and within the stack that it
//! is promised to need.
//!
//! Input: a line with the expression, in whichever language it is one; then the JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use recado_fuzz::{contains, json, on_a_stack_of};
use recado_types::field_path::FieldPath;
use recado_types::identity::{any_key, email_key, phone_key, text_key};
use recado_types::jmespath::{self, Expression};
use recado_types::json_path::{self, JsonPath, Subject};
use recado_types::template::{JsonTemplate, PayloadTemplate, Template, TooLarge};
use serde_json::Value;

/// What `jmespath` and `json_path` promise to fit.
const PROMISED_STACK: usize = 1 << 20;
/// A limit that a rendered template meets now and then.
const MAX_RENDERED: usize = 1_000;

fuzz_target!(|data: &[u8]| {
    let line_end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (line, rest) = data.split_at(line_end);
    let Ok(text) = str::from_utf8(line) else { return };
    let payload = json::from_bytes(rest.strip_prefix(b"\n").unwrap_or_default());
    on_a_stack_of(PROMISED_STACK, data, || {
        check_jmespath(text, &payload);
        check_json_path(text, &payload);
        check_field_path(text, &payload);
        check_template(text, &payload);
        check_json_template(&payload);
        check_identity(text);
    });
});

fn check_jmespath(text: &str, payload: &Value) {
    let Ok(expression) = text.parse::<Expression>() else { return };
    assert!(text.len() <= jmespath::MAX_EXPRESSION);
    assert_eq!(expression.to_string().parse(), Ok(expression.clone()));
    let result = expression.evaluate(payload);
    assert_eq!(result, expression.evaluate(payload));
    if let Ok(result) = result {
        assert!(result.to_string().len() <= jmespath::MAX_RESULT);
    }
}

fn check_json_path(text: &str, payload: &Value) {
    let Ok(path) = text.parse::<JsonPath>() else { return };
    assert!(text.len() <= json_path::MAX_PATH);
    assert_eq!(path.to_string().parse(), Ok(path.clone()));
    let Ok(found) = path.find_all(&mut Subject::new(payload), json_path::MAX_MATCHES) else {
        return;
    };
    assert!(found.len() <= json_path::MAX_MATCHES);
    let first = path.find_all(&mut Subject::new(payload), 2).expect("it asks for less");
    assert_eq!(first, found[..found.len().min(2)]);
    assert!(found.iter().take(2).all(|value| contains(payload, value)));
    let value = path.find(&mut Subject::new(payload)).expect("it has as many steps again");
    match (value, found.as_slice()) {
        (None, []) => {}
        (Some(value), [only]) => assert_eq!(value, *only),
        (value, several) => assert_eq!(value, Some(Value::from(several))),
    }
}

fn check_field_path(text: &str, payload: &Value) {
    let Ok(path) = text.parse::<FieldPath>() else { return };
    assert_eq!(path.to_string(), text);
    if let Some(found) = path.find(payload) {
        assert!(contains(payload, found));
    }
}

fn check_template(text: &str, payload: &Value) {
    if let Ok(template) = text.parse::<Template>() {
        assert!(text.starts_with(template.literal_prefix()));
    }
    let Ok(template) = text.parse::<PayloadTemplate>() else { return };
    match template.render_within(payload, MAX_RENDERED) {
        Ok(rendered) => {
            assert!(rendered.len() <= MAX_RENDERED);
            assert_eq!(template.render_within(payload, rendered.len()), Ok(rendered));
        }
        Err(refused) => assert_eq!(refused, TooLarge(MAX_RENDERED)),
    }
}

fn check_json_template(payload: &Value) {
    let Ok(template) = JsonTemplate::parse(payload) else { return };
    // The values of an object by their names; a name that it does not have is missing.
    let values = payload.as_object().cloned().unwrap_or_default();
    let rendered = template.render(&values);
    assert_eq!(rendered, template.render(&values));
    if template.placeholders().is_empty() {
        assert_eq!(rendered.as_ref(), Ok(payload));
    }
}

fn check_identity(text: &str) {
    for key in [phone_key, email_key, text_key, any_key] {
        if let Some(once) = key(text) {
            assert_eq!(key(&once), Some(once));
        }
    }
}
