//! The configurations of seed 000, and every mistake named by its path.

use serde_json::json;

use super::*;
use crate::buffer::BufferPolicy;
use crate::json_path::Subject;

/// The `trigger_config` of seed 000, "Configure the trigger": used in production there.
pub(super) fn whatsapp() -> Value {
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

pub(super) fn problems_of(value: &Value) -> Vec<String> {
    let problems = TriggerConfig::parse(value).expect_err("this configuration is wrong");
    problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.reason)).collect()
}

#[test]
fn the_whatsapp_configuration_of_the_seed_is_accepted_unchanged() {
    let config = TriggerConfig::parse(&whatsapp()).unwrap();
    assert_eq!(config.auth, InboundAuth::Channel);
    assert_eq!(config.response_adapter.format, ResponseFormat::Twiml);
    let buffer = config.execution.buffer.as_ref().unwrap();
    assert_eq!(buffer.policy, BufferPolicy::new(3_000, 8, None));
    let split = config.execution.split.unwrap();
    assert_eq!((split.max_chunks, split.numbering), (6, false));
    let secret_refs = config.secret_refs();
    let secret_refs: Vec<(&str, &str)> =
        secret_refs.iter().map(|(path, name)| (path.as_str(), *name)).collect();
    assert_eq!(
        secret_refs,
        [
            ("trigger_config.channel.auth.secret_ref", "TWILIO_CREDENTIALS"),
            ("trigger_config.execution.callback.auth.secret_ref", "TWILIO_CREDENTIALS"),
        ]
    );

    let payload = json!({"From": "whatsapp:+5511", "WaId": "5511"});
    let mut subject = Subject::new(&payload);
    let found = config.context_mapping.iter().map(|field| {
        let value = field.find(&mut subject).unwrap();
        (field.name.as_str(), value)
    });
    let found: Vec<(&str, Option<Value>)> = found.collect();
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
    assert_eq!(config.sender_access, SenderAccess::default());
    assert_eq!(config.rate_limit, RateLimit::default());
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

/// The `trigger_config` of seed 000, "Create Trigger".
pub(super) fn erp() -> Value {
    json!({
        "auth": { "type": "api_key" },
        "query_extraction": { "mode": "field", "field": "chatInput" },
        "context_mapping": { "userId": "$.userId", "userName": "$.userName" },
        "response_adapter": { "format": "raw", "split_messages": true, "max_messages": 10 },
        "session_strategy": { "mode": "derive", "fields": ["userId", "companyId"] }
    })
}

#[test]
fn the_first_configuration_of_the_seed_is_accepted_unchanged_and_waits() {
    let config = TriggerConfig::parse(&erp()).unwrap();
    assert_eq!((config.execution.mode, config.wait_ms), (Mode::Sync, 30_000));
    assert_eq!(config.auth, InboundAuth::ApiKey);
    let adapter = config.response_adapter;
    assert_eq!((adapter.split_messages, adapter.max_messages), (true, 10));
}

#[test]
fn a_sender_waits_as_long_as_the_top_level_says() {
    let wait_of = |config: Value| {
        let config = TriggerConfig::parse(&config).unwrap();
        (config.wait_ms, config.execution.timeout_ms)
    };
    assert_eq!(wait_of(json!({"timeout_ms": 5_000})), (5_000, 5_000));
    let longer = json!({"timeout_ms": 5_000, "execution": {"timeout_ms": 600_000}});
    assert_eq!(wait_of(longer), (5_000, 600_000));
    assert_eq!(wait_of(json!({"execution": {"timeout_ms": 600_000}})), (300_000, 600_000));
}

#[test]
fn what_only_async_has_is_refused_in_sync() {
    let mut config = whatsapp();
    config["execution"].as_object_mut().unwrap().remove("mode");
    let problems = problems_of(&config);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    for key in ["ack_response", "callback", "message_buffer"] {
        let expected = format!("trigger_config.execution.{key}: needs `mode: \"async\"`");
        assert!(problems.iter().any(|problem| problem.starts_with(&expected)), "{problems:#?}");
    }
    config["execution"]["message_buffer"]["enabled"] = json!(false);
    assert_eq!(problems_of(&config).len(), 2);
}

#[test]
fn nobody_waits_for_a_provider_that_ignores_answers() {
    for kind in ["meta_whatsapp", "github", "stripe"] {
        let channel = match kind {
            "stripe" => json!({"type": kind, "signing_secret_ref": "STRIPE"}),
            _ => json!({"type": kind}),
        };
        let problems = problems_of(&json!({"channel": channel}));
        assert!(problems[0].starts_with("trigger_config.execution.mode: must be"), "{problems:?}");
        let config = json!({"channel": channel, "execution": {"mode": "async"}});
        assert!(TriggerConfig::parse(&config).is_ok(), "{kind}");
    }
}

#[test]
fn a_channel_whose_provider_makes_the_secret_has_to_name_it() {
    for kind in ["slack", "teams", "stripe", "standard_webhooks", "svix"] {
        let with = |channel: Value| json!({"channel": channel, "execution": {"mode": "async"}});
        let problems = problems_of(&with(json!({"type": kind})));
        let expected = "trigger_config.channel.signing_secret_ref: is required";
        assert!(problems[0].starts_with(expected), "{kind}: {problems:?}");
        let config =
            TriggerConfig::parse(&with(json!({"type": kind, "signing_secret_ref": "S"}))).unwrap();
        assert_eq!(config.auth, InboundAuth::Channel);
        assert_eq!(
            config.secret_refs(),
            [("trigger_config.channel.signing_secret_ref".to_owned(), "S")]
        );
    }
    let twilio = json!({"channel": {"type": "twilio_sms", "signing_secret_ref": "S",
                                    "auth": {"type": "basic", "secret_ref": "T"}}});
    assert_eq!(
        problems_of(&twilio),
        ["trigger_config.channel.signing_secret_ref: is not a known field"]
    );
}

#[test]
fn a_format_follows_its_channel() {
    let format_of = |channel: Value| {
        let config = json!({"channel": channel, "execution": {"mode": "async"}});
        TriggerConfig::parse(&config).unwrap().response_adapter.format
    };
    let named = |kind| json!({"type": kind, "signing_secret_ref": "S"});
    assert_eq!(format_of(named("slack")), ResponseFormat::Slack);
    assert_eq!(format_of(named("teams")), ResponseFormat::Teams);
    assert_eq!(format_of(named("svix")), ResponseFormat::Raw);
    assert_eq!(format_of(Value::Null), ResponseFormat::Raw);
}

#[test]
fn every_way_to_find_the_question_is_read() {
    let extraction = |extraction: Value| {
        TriggerConfig::parse(&json!({"query_extraction": extraction})).map(|c| c.query_extraction)
    };
    let field = extraction(json!({"mode": "field", "field": "items[0].text"})).unwrap();
    assert!(matches!(field, QueryExtraction::Field(path) if path.to_string() == "items[0].text"));
    let jmespath = extraction(json!({"mode": "jmespath", "expression": "a[0].b"})).unwrap();
    assert!(matches!(jmespath, QueryExtraction::Jmespath(_)));
    let template = extraction(json!({"mode": "template", "template": "{{a.b}}!"})).unwrap();
    assert!(matches!(template, QueryExtraction::Template(_)));
    assert!(extraction(json!({"mode": "template", "template": "{{items[0].text}}"})).is_ok());
    for broken in ["{{order..id}}", "{{.a}}", "{{user.}}"] {
        let problems = extraction(json!({"mode": "template", "template": broken})).unwrap_err();
        assert_eq!(problems[0].path, "trigger_config.query_extraction.template");
    }
    for (mode, key) in [("field", "field"), ("jmespath", "expression"), ("template", "template")] {
        let problems = extraction(json!({"mode": mode})).unwrap_err();
        assert_eq!(problems[0].path, format!("trigger_config.query_extraction.{key}"));
        assert_eq!(problems[0].reason, format!("is required with mode `{mode}`"));
    }
    for broken in ["a[", "", "a..b"] {
        let problems = extraction(json!({"mode": "jmespath", "expression": broken})).unwrap_err();
        assert_eq!(problems[0].path, "trigger_config.query_extraction.expression");
    }
}

#[test]
fn no_template_asks_for_what_no_model_is_shown() {
    for template in ["{{token}}", "a {{user._id}}", "{{ data.host }}", "{{_x.y}}", "{{userName}}"] {
        let extraction = json!({"query_extraction": {"mode": "template", "template": template}});
        let problems = problems_of(&extraction);
        let path = "trigger_config.query_extraction.template: must not use `{{";
        assert!(problems[0].starts_with(path), "{problems:?}");
    }
}

fn shown(mapping: &Value, payload: &Value) -> Value {
    let config = TriggerConfig::parse(&json!({"context_mapping": mapping})).unwrap();
    shown_body(&config.context_mapping, payload).unwrap().into_owned()
}

#[test]
fn a_whole_body_is_shown_without_what_is_hidden() {
    let payload = json!({
        "text": "hi", "token": "t", "user": {"id": 7, "_k": 1, "host": "h", "name": "Ana"},
        "items": [{"id": 7, "userName": "x"}, {"id": 8}],
    });
    let by_name = json!({
        "text": "hi", "user": {"id": 7, "name": "Ana"}, "items": [{"id": 7}, {"id": 8}],
    });
    assert_eq!(shown(&json!({"id": "$.user.id", "all": "$"}), &payload), by_name);
    let by_place = json!({"text": "hi", "user": {"name": "Ana"}, "items": [{"id": 7}]});
    let mapping = json!({"_id": "$.user.id", "host": "$.items[1]"});
    assert_eq!(shown(&mapping, &payload), by_place);
    let everywhere = json!({"text": "hi", "user": {"name": "Ana"}, "items": [{}, {}]});
    assert_eq!(shown(&json!({"_ids": "$..id"}), &payload), everywhere);
    assert_eq!(shown(&json!({"_all": "$"}), &payload), Value::Null);
    let many: Vec<Value> = (0..1_000).map(|n| json!({"id": n})).collect();
    assert_eq!(shown(&json!({"_ids": "$[*].id"}), &json!(many)), json!(vec![json!({}); 1_000]));
}

#[test]
fn a_new_message_waits_unless_it_supersedes() {
    let policy =
        |session: Value| TriggerConfig::parse(&json!({"session": session})).map(|c| c.session);
    assert_eq!(policy(Value::Null).unwrap().on_new_message, OnNewMessage::Queue);
    assert_eq!(policy(json!({})).unwrap().on_new_message, OnNewMessage::Queue);
    let supersede = json!({"on_new_message": "supersede"});
    assert_eq!(policy(supersede.clone()).unwrap().on_new_message, OnNewMessage::Supersede);
    let saved = SessionPolicy::from_saved(&json!({"session": supersede, "auth": {"type": "none"}}));
    assert_eq!(saved.on_new_message, OnNewMessage::Supersede);
    assert_eq!(SessionPolicy::from_saved(&Value::Null), SessionPolicy::default());
    let problems = policy(json!({"on_new_message": "drop", "x": 1})).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["trigger_config.session.on_new_message", "trigger_config.session.x"]);
}

#[test]
fn the_type_of_a_credential_is_one_that_its_channel_has() {
    let with = |kind: &str, auth: &str| {
        let auth = json!({"type": auth, "secret_ref": "CREDENTIAL"});
        json!({"channel": {"type": kind, "auth": auth}, "execution": {"mode": "async"}})
    };
    assert_eq!(
        problems_of(&with("twilio_sms", "bearer")),
        ["trigger_config.channel.auth.type: must be one of: basic"]
    );
    assert!(TriggerConfig::parse(&with("twilio_sms", "basic")).is_ok());
    // As seed 000 sets Meta up: its signatures are checked with the trigger's own secret.
    let meta = TriggerConfig::parse(&with("meta_whatsapp", "bearer")).unwrap();
    assert_eq!(meta.auth, InboundAuth::Channel);
    assert_eq!(meta.channel.unwrap().signing_secret_ref, None);
}

#[test]
fn twiml_gets_the_derived_transform() {
    let mut config = whatsapp();
    config["execution"]["callback"].as_object_mut().unwrap().remove("response_transform");
    let callback = TriggerConfig::parse(&config).unwrap().execution.callback.unwrap();
    assert_eq!(
        callback.transform,
        Transform { strip_markdown: true, to_whatsapp: false, max_length: Some(4_096) }
    );
}

#[test]
fn what_is_no_object_is_said_to_be_none() {
    assert_eq!(problems_of(&json!([])), ["trigger_config: must be an object"]);
}
