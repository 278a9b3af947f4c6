//! The configurations of seed 000, and every mistake named by its path.

use serde_json::json;

use super::*;
use crate::buffer::BufferPolicy;

/// The `trigger_config` of seed 000, "Configure the trigger": used in production there.
fn whatsapp() -> Value {
    json!({
        "channel": {
            "type": "twilio_whatsapp",
            "auth": { "type": "basic", "secret_ref": "TWILIO_CREDENTIALS" }
        },
        "execution": {
            "mode": "async",
            "callback": {
                "url": "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json",
                "method": "POST",
                "content_type": "application/x-www-form-urlencoded",
                "auth": { "type": "basic", "secret_ref": "TWILIO_CREDENTIALS" },
                "body_template": {
                    "To": "{{phoneNumber}}",
                    "Body": "{{agent_response}}",
                    "From": "whatsapp:+14155238886"
                },
                "response_transform": { "max_length": 8000, "strip_markdown": true }
            },
            "ack_response": {
                "body": "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>",
                "content_type": "text/xml"
            },
            "split_config": {
                "enabled": true, "numbering": false, "max_chunks": 6,
                "chunk_strategy": "paragraph", "max_chunk_size": 1500,
                "inter_chunk_delay_ms": 800
            },
            "message_buffer": {
                "enabled": true, "window_ms": 3000, "max_messages": 8, "concat_separator": "\n"
            }
        },
        "sender_access": { "mode": "any" },
        "context_mapping": {
            "_waId": "$.WaId",
            "_messageSid": "$.MessageSid",
            "phoneNumber": "$.From",
            "profileName": "$.ProfileName"
        },
        "query_extraction": { "mode": "field", "field": "Body" },
        "response_adapter": { "format": "twiml" },
        "session_strategy": { "mode": "derive", "fields": ["phoneNumber"] }
    })
}

fn problems_of(value: &Value) -> Vec<String> {
    let problems = TriggerConfig::parse(value).expect_err("this configuration is wrong");
    problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.reason)).collect()
}

#[test]
fn the_whatsapp_configuration_of_the_seed_is_accepted_unchanged() {
    let config = TriggerConfig::parse(&whatsapp()).unwrap();
    assert_eq!(config.auth, InboundAuth::Twilio);
    assert_eq!(config.response_adapter.format, ResponseFormat::Twiml);
    let buffer = config.execution.buffer.as_ref().unwrap();
    assert_eq!(buffer.policy, BufferPolicy::new(3_000, 8, None));
    let split = config.execution.split.unwrap();
    assert_eq!((split.max_chunks, split.numbering), (6, false));
    assert_eq!(config.secret_refs(), ["TWILIO_CREDENTIALS", "TWILIO_CREDENTIALS"]);

    let payload = json!({"From": "whatsapp:+5511", "WaId": "5511"});
    let found: Vec<(&str, Option<Value>)> =
        config.context_mapping.iter().map(|f| (f.name.as_str(), f.find(&payload))).collect();
    assert!(found.contains(&("phoneNumber", Some(json!("whatsapp:+5511")))));
    assert!(found.contains(&("profileName", None)));
}

#[test]
fn the_shortest_configuration_is_checked_by_the_native_signature() {
    let config = TriggerConfig::parse(&json!({"execution": {"mode": "async"}})).unwrap();
    assert_eq!(config.auth, InboundAuth::Signature { algorithm: None });
    assert_eq!(config.query_extraction, QueryExtraction::FullBody);
    assert_eq!(config.session_strategy, SessionStrategy::Ephemeral);
    assert_eq!(config.execution.timeout_ms, 30_000);
}

#[test]
fn a_channel_without_a_secret_does_not_open_the_door() {
    let mut config = whatsapp();
    config["channel"].as_object_mut().unwrap().remove("auth");
    let problems = problems_of(&config);
    assert!(problems[0].starts_with("trigger_config.channel.auth: is required"), "{problems:?}");

    config["auth"] = json!({"type": "none"});
    assert_eq!(TriggerConfig::parse(&config).unwrap().auth, InboundAuth::None);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let problems = problems_of(&json!({
        "auth": {"type": "magic"},
        "query_extraction": {"mode": "field"},
        "context_mapping": {"user": "user.id", "ok": "$.ok"},
        "session_strategy": {"mode": "derive", "fields": []},
        "execution": {
            "mode": "async",
            "timeout_ms": 999,
            "callback": {
                "url": "ftp://example.com/",
                "auth": {"type": "basic"},
                "body_template": {"text": "{{agent_reponse}}"},
                "headers": {"Host": "x", "X-A": "a\r\nB: c"}
            },
            "message_buffer": {"enabled": true, "window_ms": 99},
            "split_config": {"enabled": true, "max_chunk_size": 50001}
        },
        "timeout": 3
    }));
    let paths: Vec<&str> =
        problems.iter().map(|problem| problem.split_once(": ").unwrap().0).collect();
    for path in [
        "trigger_config.auth.type",
        "trigger_config.query_extraction.field",
        "trigger_config.context_mapping.user",
        "trigger_config.session_strategy.fields",
        "trigger_config.execution.timeout_ms",
        "trigger_config.execution.callback.url",
        "trigger_config.execution.callback.auth.secret_ref",
        "trigger_config.execution.callback.headers.Host",
        "trigger_config.execution.callback.headers.X-A",
        "trigger_config.execution.message_buffer.window_ms",
        "trigger_config.execution.split_config.max_chunk_size",
        "trigger_config.timeout",
    ] {
        assert!(paths.contains(&path), "{path} is missing from {problems:#?}");
    }
}

#[test]
fn a_placeholder_that_nothing_fills_is_found_when_saving() {
    let mut config = whatsapp();
    config["execution"]["callback"]["body_template"]["To"] = json!("{{phone}}");
    let problems = problems_of(&config);
    assert_eq!(
        problems,
        ["trigger_config.execution.callback.body_template: \
          `{{phone}}` is no field of `context_mapping`"]
    );
}

#[test]
fn a_payload_never_chooses_the_host() {
    for url in ["https://{{host}}/x", "{{url}}", "https://api{{x}}.example.com/", "https://a:{{p}}"]
    {
        let problems = problems_of(&json!({
            "execution": {"mode": "async", "callback": {"url": url}}
        }));
        assert!(problems[0].starts_with("trigger_config.execution.callback.url"), "{problems:?}");
    }
    let in_path = json!({
        "execution": {"mode": "async", "callback": {
            "url": "https://api.twilio.com/2010-04-01/Accounts/{{accountSid}}/Messages.json"
        }}
    });
    assert!(TriggerConfig::parse(&in_path).is_ok());
}

#[test]
fn sync_is_refused_until_it_exists() {
    let problems = problems_of(&json!({"execution": {"mode": "sync"}}));
    assert!(problems.iter().any(|p| p.contains("must be `async`")), "{problems:?}");
    let problems = problems_of(&json!({}));
    assert!(problems.iter().any(|p| p.starts_with("trigger_config.execution.mode")));
}

#[test]
fn twiml_gets_the_derived_transform() {
    let mut config = whatsapp();
    config["execution"]["callback"].as_object_mut().unwrap().remove("response_transform");
    let callback = TriggerConfig::parse(&config).unwrap().execution.callback.unwrap();
    assert_eq!(callback.transform, Transform { strip_markdown: true, max_length: Some(4_096) });
}

#[test]
fn what_is_no_object_is_said_to_be_none() {
    assert_eq!(problems_of(&json!([])), ["trigger_config: must be an object"]);
}
