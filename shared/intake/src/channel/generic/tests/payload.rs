//! What becomes of a payload.

use proptest::prelude::*;

use super::*;

fn refused(channel: &dyn Channel, payload: Value) -> (String, String) {
    match channel.interpret(&Request::post("").received(), payload) {
        Err(Refusal::InvalidInput { field, reason }) => (field, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payload_is_checked_transformed_and_told() {
    let channel = channel(
        json!({
            "inputSchema": {"properties": {"user": {"required": ["name"]}}, "required": ["user"]},
            "outputTransform":
                {"objectTransformation": {"who": "user.name", "first": "items[0]", "none": "x"}},
            "messageTemplate": "{{ who }} wrote {{first.text}}{{none}}{{user.name}}!",
        }),
        SECRET,
    );
    let body = r#"{"user": {"name": "Ana"}, "items": [{"text": "hi {{who}}"}]}"#;
    let message = messages(&*channel, &Request::post(body)).swap_remove(0);
    assert_eq!(message.says, Says::Text("Ana wrote hi {{who}}!".into()));
    let transformed = json!({"who": "Ana", "first": {"text": "hi {{who}}"}, "none": null});
    assert_eq!(message.payload, transformed);
    assert_eq!(*message.as_sent(), serde_json::from_str::<Value>(body).unwrap());
    assert_eq!((message.provider_id, message.sender), (None, None));

    let (field, reason) = refused(&*channel, json!({"user": {}}));
    assert_eq!(field, "user");
    assert!(reason.contains("inputSchema") && reason.contains("name"), "{reason}");
    assert_eq!(refused(&*channel, json!({})).0, "body");
}

#[test]
fn what_cannot_be_transformed_is_refused_with_the_reason() {
    let channel = channel(json!({"outputTransform": {"jmespath": "abs(name)"}}), SECRET);
    let (field, reason) = refused(&*channel, json!({"name": "Ana"}));
    assert_eq!(field, "outputTransform");
    assert!(reason.contains("jmespath") && reason.contains("abs"), "{reason}");
}

#[test]
fn a_template_has_an_end() {
    let template = "{{text}}".repeat(1_000);
    let channel = channel(json!({ "messageTemplate": template }), SECRET);
    let (field, _) = refused(&*channel, json!({"text": "x".repeat(10_000)}));
    assert_eq!(field, "messageTemplate");
}

proptest! {
    #[test]
    fn interpreting_never_panics(text in "[{}\\[\\]\":,a-c0-9 ]{0,60}") {
        let described = json!({
            "inputSchema": {"properties": {"a": {"type": ["integer", "array"]}}},
            "outputTransform": {"jmespath": "{a: a, b: a[0], c: length(to_array(b))}"},
            "messageTemplate": "{{a}} {{b.c}} {{c}}",
        });
        let payload = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let _ = channel(described, SECRET).interpret(&Request::post("").received(), payload);
    }
}
