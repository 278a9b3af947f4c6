//! What a message becomes, rule by rule.

use actix_web::http::header::{HeaderName, HeaderValue};
use chrono::DateTime;
use proptest::prelude::*;
use recado_clock::ManualClock;
use serde_json::json;

use super::*;
use crate::channel::Arrival;
use crate::channel::tests::Request;
use crate::trigger::tests::compiled;

fn clock() -> ManualClock {
    ManualClock::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap())
}

fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in entries {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn with_headers(config: &Value, payload: &Value, headers: &HeaderMap) -> Result<Inbound, Refusal> {
    let trigger = compiled(config);
    let request = Request::post("");
    let arrival = trigger.channel.interpret(&request.received(), payload.clone())?;
    let Arrival::Messages(messages) = arrival else { panic!("{arrival:?}") };
    let context = context_of(&trigger.config.context_mapping, &messages[0].payload)?;
    normalise(&trigger, headers, &messages[0], context, &clock())
}

/// The fingerprint of the last message of a request.
fn fingerprint_of(config: &Value, payload: &Value) -> Fingerprint {
    let trigger = compiled(config);
    let request = Request::post("");
    let arrival = trigger.channel.interpret(&request.received(), payload.clone()).unwrap();
    let Arrival::Messages(messages) = arrival else { panic!("{arrival:?}") };
    let (last, headers) = (messages.last().unwrap(), HeaderMap::new());
    let message = normalise(&trigger, &headers, last, Map::new(), &clock()).unwrap();
    message.fingerprint.expect("the provider names it")
}

fn message(config: &Value, payload: &Value) -> Inbound {
    with_headers(config, payload, &HeaderMap::new()).unwrap()
}

/// The field that a refusal names.
fn refused(config: &Value, payload: &Value) -> String {
    match with_headers(config, payload, &HeaderMap::new()) {
        Err(Refusal::InvalidInput { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

fn twilio() -> Value {
    json!({
        "channel": {"type": "twilio_whatsapp",
                    "auth": {"type": "basic", "secret_ref": "TWILIO"}},
        "context_mapping": {"phoneNumber": "$.From", "_messageSid": "$.MessageSid"},
        "session_strategy": {"mode": "derive", "fields": ["phoneNumber"]},
    })
}

#[test]
fn a_whatsapp_message_is_mapped_as_configured() {
    let trigger = compiled(&twilio());
    let message = message(
        &twilio(),
        &json!({"MessageSid": "SM1", "From": "whatsapp:+5511999990000", "Body": "Olá"}),
    );
    assert_eq!(message.text, "Olá");
    assert_eq!(message.id, MessageId::derived(trigger.id, "SM1"));
    let session = SessionId::derived(trigger.tenant_id, trigger.id, &["whatsapp:+5511999990000"]);
    assert_eq!(message.session_id, session);
    let context = json!({"phoneNumber": "whatsapp:+5511999990000", "_messageSid": "SM1"});
    assert_eq!(Value::Object(message.context), context);
    assert_eq!(message.accepted_at, clock().now());
}

#[test]
fn a_picture_without_a_text_is_a_message_and_nothing_at_all_is_not() {
    let picture = json!({"From": "+55", "Body": " ", "NumMedia": "1",
                         "MediaContentType0": "image/jpeg", "MediaUrl0": "https://m/0"});
    assert_eq!(message(&twilio(), &picture).text, "[image/jpeg] https://m/0");
    let nothing = json!({"From": "+55", "Body": "", "NumMedia": "0"});
    assert_eq!(refused(&twilio(), &nothing), "text");
}

#[test]
fn a_field_is_a_text_and_not_empty() {
    let config = json!({"query_extraction": {"mode": "field", "field": "chat.input"}});
    let of = |input: Value| json!({"chat": {"input": input}});
    assert_eq!(message(&config, &of(json!(" hi "))).text, " hi ");
    assert_eq!(message(&config, &of(json!(7))).text, "7");
    for input in [json!(""), json!(" \n\t"), Value::Null, json!({}), json!(["a"])] {
        assert_eq!(refused(&config, &of(input)), "chat.input");
    }
    assert_eq!(refused(&config, &json!({})), "chat.input");
}

#[test]
fn a_whole_body_is_a_text_or_json() {
    let config = json!({"query_extraction": {"mode": "full_body"}});
    assert_eq!(message(&config, &json!("Olá")).text, "Olá");
    assert_eq!(message(&config, &json!({"a": [1]})).text, r#"{"a":[1]}"#);
    assert_eq!(refused(&config, &json!("")), "body");
    assert_eq!(refused(&config, &Value::Null), "body");
}

#[test]
fn what_is_hidden_is_in_no_text() {
    let payload = json!({
        "Body": "hi", "token": "SECRET", "sid": "MAPPED", "user": {"_id": "SECRET", "name": "Ana"},
    });
    let text = |extraction: Value| {
        let mapping = json!({"_sid": "$.sid", "body": "$.Body"});
        let config = json!({"query_extraction": extraction, "context_mapping": mapping});
        message(&config, &payload).text
    };
    assert_eq!(text(json!({"mode": "full_body"})), r#"{"Body":"hi","user":{"name":"Ana"}}"#);
    let named = r#"{"Body":"hi","sid":"MAPPED","user":{"name":"Ana"}}"#;
    assert_eq!(text(json!({"mode": "jmespath", "expression": "@"})), named);
    assert_eq!(text(json!({"mode": "template", "template": "{{user}}"})), r#"{"name":"Ana"}"#);
}

#[test]
fn a_session_never_derives_from_nothing() {
    let config = json!({
        "context_mapping": {"userId": "$.user.id", "company.id": "$.firm"},
        "session_strategy": {"mode": "derive", "fields": ["userId", "company.id", "site.code"]},
    });
    let complete = json!({"user": {"id": 7}, "firm": "F", "site": {"code": true}});
    let trigger = compiled(&config);
    let expected = SessionId::derived(trigger.tenant_id, trigger.id, &["7", "F", "true"]);
    assert_eq!(message(&config, &complete).session_id, expected);

    for (pointer, field) in
        [("/user/id", "userId"), ("/firm", "company.id"), ("/site/code", "site.code")]
    {
        let huge: Value = serde_json::from_str("123456789012345678901234567890").unwrap();
        for bad in [Value::Null, json!(""), json!("  "), json!({}), json!([1]), json!(1.5), huge] {
            let mut payload = complete.clone();
            *payload.pointer_mut(pointer).unwrap() = bad.clone();
            assert_eq!(refused(&config, &payload), field, "{bad}");
        }
    }
    assert_eq!(refused(&config, &json!({})), "userId");
}

#[test]
fn the_context_wins_over_the_payload() {
    let config = json!({
        "context_mapping": {"id": "$.user.id"},
        "session_strategy": {"mode": "derive", "fields": ["id"]},
    });
    let trigger = compiled(&config);
    let session = |value: &str| SessionId::derived(trigger.tenant_id, trigger.id, &[value]);
    let both = json!({"id": "request-1", "user": {"id": "ana"}});
    assert_eq!(message(&config, &both).session_id, session("ana"));
    // What is mapped is not looked for elsewhere: anybody may be able to write the other field.
    assert_eq!(refused(&config, &json!({"id": "ana"})), "id");
}

#[test]
fn an_ephemeral_session_is_the_same_for_a_retry() {
    let config = json!({"idempotency": {"path": "id"}});
    let first = message(&config, &json!({"id": "e1"}));
    let retry = message(&config, &json!({"id": "e1"}));
    let other = message(&config, &json!({"id": "e2"}));
    assert_eq!((first.id, first.session_id), (retry.id, retry.session_id));
    assert_ne!(first.session_id, other.session_id);
}

#[test]
fn the_provider_names_a_message_by_header_then_field_then_channel() {
    let mut config = twilio();
    config["idempotency"] = json!({"header": "X-Event-Id", "path": "EventSid"});
    let trigger = compiled(&config);
    let derived = |id: &str| MessageId::derived(trigger.id, id);
    let payload = json!({"From": "+55", "Body": "a", "MessageSid": "SM1", "EventSid": "EV1"});
    let named = headers(&[("x-event-id", "h1")]);
    assert_eq!(with_headers(&config, &payload, &named).unwrap().id, derived("h1"));
    assert_eq!(message(&config, &payload).id, derived("EV1"));
    let without = json!({"From": "+55", "Body": "a", "MessageSid": "SM1", "EventSid": null});
    assert_eq!(message(&config, &without).id, derived("SM1"));
}

#[test]
fn a_message_of_meta_in_another_batch_has_the_same_fingerprint() {
    let config = json!({"channel": {"type": "meta_whatsapp"}});
    let message = |text: &str| json!({"id": "wamid.1", "from": "5511", "type": "text", "text": {"body": text}});
    let batch = |time: u64, name: &str, messages: &[Value]| {
        let contact = json!({"wa_id": "5511", "profile": {"name": name}});
        let value = json!({"contacts": [contact], "messages": messages});
        json!({"entry": [{"time": time, "changes": [{"field": "messages", "value": value}]}]})
    };
    let other = json!({"id": "wamid.2", "from": "5521", "type": "text", "text": {"body": "Oi"}});
    let first = fingerprint_of(&config, &batch(1, "Ana", &[message("Olá")]));
    let regrouped = batch(2, "Ana", &[other, message("Olá")]);
    let renamed = batch(1, "Ana Souza", &[message("Olá")]);
    assert_eq!(fingerprint_of(&config, &regrouped), first);
    assert_eq!(fingerprint_of(&config, &renamed), first);
    let another = batch(1, "Ana", &[message("Tchau")]);
    assert_ne!(fingerprint_of(&config, &another), first);
}

#[test]
fn a_fallback_try_of_twilio_has_the_same_fingerprint() {
    let mut config = twilio();
    config["session_strategy"] = json!({"mode": "shared"});
    let try_of = |text: &str| json!({"MessageSid": "SM1", "From": "+55", "Body": text});
    let mut fallback = try_of("Olá");
    fallback["ErrorCode"] = json!("11200");
    fallback["ErrorUrl"] = json!("https://recado.example.com/x");
    let first = fingerprint_of(&config, &try_of("Olá"));
    assert_eq!(fingerprint_of(&config, &fallback), first);
    assert_ne!(fingerprint_of(&config, &try_of("Tchau")), first);
}

#[test]
fn a_fingerprint_is_of_what_was_sent_and_not_of_what_the_trigger_makes_of_it() {
    let config = |made: Value| {
        json!({
            "channel": {"type": "generic", "outputTransform": {"objectTransformation": made}},
            "auth": {"type": "none"},
            "idempotency": {"path": "id"},
        })
    };
    let (one, more) = (config(json!({"id": "id"})), config(json!({"id": "id", "text": "text"})));
    let payload = |text: &str| json!({"id": "e1", "text": text});
    let first = fingerprint_of(&one, &payload("Olá"));
    assert_eq!(fingerprint_of(&more, &payload("Olá")), first);
    assert_ne!(fingerprint_of(&one, &payload("Tchau")), first);
}

#[test]
fn a_message_that_nobody_named_gets_a_fresh_id() {
    let config = json!({});
    let (one, other) = (message(&config, &json!("a")), message(&config, &json!("a")));
    assert_ne!(one.id, other.id);
    assert_eq!(one.id.0.get_version_num(), 7);
}

#[test]
fn a_providers_id_has_1_to_256_bytes() {
    let config = json!({"idempotency": {"header": "x-id", "path": "id"}});
    let in_path = |id: String| with_headers(&config, &json!({"id": id}), &HeaderMap::new());
    let in_header = |id: &str| with_headers(&config, &json!({"a": 1}), &headers(&[("x-id", id)]));
    for (length, accepted) in [(0, false), (1, true), (256, true), (257, false)] {
        assert_eq!(in_path("x".repeat(length)).is_ok(), accepted, "{length}");
        assert_eq!(in_header(&"x".repeat(length)).is_ok(), accepted, "{length}");
    }
    assert_eq!(refused(&config, &json!({"id": {}})), "id");
    assert_eq!(refused(&config, &json!({"id": 1e30})), "id");
}

#[test]
fn a_context_is_bounded_however_often_it_maps_the_same() {
    let config = json!({"context_mapping": {"a": "$.text", "b": "$.text"}});
    let payload = |length| json!({"text": "x".repeat(length)});
    let half = context::MAX_CONTEXT / 2 - 8;
    assert!(with_headers(&config, &payload(half), &HeaderMap::new()).is_ok());
    assert_eq!(refused(&config, &payload(half + 1)), "context_mapping.b");
}

#[test]
fn a_context_that_takes_too_many_steps_is_refused_and_not_left_out() {
    let config = json!({"context_mapping": {"a": "$.n", "b": "$..[?count($..*) == 1]"}});
    let payload = json!({"n": 1, "list": vec![vec![json!({"a": 1}); 100]; 100]});
    assert_eq!(refused(&config, &payload), "context_mapping.b");
}

proptest! {
    #[test]
    fn different_senders_never_share_a_session(left in "[ -~]{1,12}", right in "[ -~]{1,12}") {
        prop_assume!(!left.trim().is_empty() && !right.trim().is_empty());
        let config = json!({"session_strategy": {"mode": "derive", "fields": ["from"]}});
        let session = |from: &str| message(&config, &json!({"from": from})).session_id;
        prop_assert_eq!(left == right, session(&left) == session(&right));
    }
}

#[test]
fn what_came_is_kept_of_generic_channels_only() {
    let generic = |more: Value| {
        let mut channel = json!({"type": "generic"});
        channel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"channel": channel, "auth": {"type": "none"}})
    };
    let sent = json!({"user": {"name": "Ana"}});
    let made = generic(json!({"outputTransform": {"jmespath": "user"}}));
    let payload = |transformed| Some(Payload { request: sent.clone(), transformed });
    assert_eq!(message(&made, &sent).payload, payload(Some(json!({"name": "Ana"}))));
    assert_eq!(message(&generic(json!({})), &sent).payload, payload(None));
    assert_eq!(message(&json!({"auth": {"type": "none"}}), &sent).payload, None);
}
