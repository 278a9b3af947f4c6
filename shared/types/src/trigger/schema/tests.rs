//! The schema says what the parser says.

use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;

use super::*;
use crate::trigger::TriggerConfig;
use crate::trigger::generic::tests::{complete, values};
use crate::trigger::tests::{erp, whatsapp};

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::draft202012::new(&config_schema()).expect("it is a schema of draft 2020-12")
});

fn fits(config: &Value) -> bool {
    SCHEMA.is_valid(config)
}

fn parses(config: &Value) -> bool {
    TriggerConfig::parse(config).is_ok()
}

/// Why a configuration does not fit.
fn misfits(config: &Value) -> Vec<String> {
    let errors = SCHEMA.iter_errors(config);
    errors.map(|error| format!("{} {error}", error.instance_path())).collect()
}

/// Every field of triggers that fire by themselves.
fn of_sources() -> Vec<Value> {
    vec![
        json!({"schedule": {"cron": "*/5 * * * *", "time_zone": "America/Sao_Paulo",
                            "jitter_seconds": 3_600, "catch_up": "all", "at": null,
                            "start_at": "2026-01-01T00:00:00", "end_at": "2027-01-01T00:00:00Z",
                            "payload": {"a": ["{{date}}", 1]}},
               "execution": {"mode": "async", "message_buffer": {"enabled": true}},
               "session_strategy": {"mode": "shared"}}),
        json!({"schedule": {"interval_seconds": 31_536_000, "payload": "{{local_scheduled_at}}"}}),
        json!({"schedule": {"at": "2026-12-24T09:00:00-03:00"}, "execution": {"mode": null}}),
        json!({"db_event": {"secret_ref": "ERP", "listen": {"channel": "orders"}, "outbox": null,
                            "filter": "payload.total > `10`"}}),
        json!({"db_event": {"secret_ref": "ERP", "outbox": {"table": "público.saída", "cursor": "n",
               "transaction": "txid", "start": "now", "poll_ms": 100, "batch": 1_000,
               "notify": "saída"}}}),
        json!({"db_event": {"secret_ref": "ERP", "outbox": {"query": "SELECT 1 AS id",
               "settle_ms": 60_000}}}),
        json!({"email": {"address": "support@acme.example"}, "auth": {"type": "api_key"},
               "rate_limit": {"per_minute": 5}, "sender_access": {"mode": "members",
               "match_column": "email"}}),
    ]
}

/// Every field that there is, in as many configurations as it takes.
fn everything() -> Vec<Value> {
    of_sources().into_iter().chain(of_webhooks()).collect()
}

fn of_webhooks() -> Vec<Value> {
    let mut generic = complete();
    generic["type"] = json!("generic");
    generic["auth"] = json!({"type": "bearer", "secret_ref": "NOTE"});
    let asynchronous = |more: Value| {
        let mut config = json!({"auth": {"type": "none"}, "execution": {"mode": "async"}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let callback = |callback: Value| {
        let mut it = json!({"url": "https://example.com/{{id}}"});
        it.as_object_mut().unwrap().extend(callback.as_object().unwrap().clone());
        asynchronous(json!({"execution": {"mode": "async", "callback": it}}))
    };
    let extraction = |extraction: Value| json!({"query_extraction": extraction});
    let access = |access: Value| json!({"sender_access": access});
    let credential = |kind: &str| callback(json!({"auth": {"type": kind, "secret_ref": "S"}}));
    vec![
        json!({}),
        whatsapp(),
        erp(),
        json!({
            "auth": {"type": "signature", "algorithm": "sha512"},
            "query_extraction": {"mode": "full_body"},
            "context_mapping": {"_a.b-c": "$.x", "ação": "$..y"},
            "session_strategy": {"mode": "derive", "fields": ["a", "b[0].c"]},
            "session": {"on_new_message": "supersede"},
            "response_adapter": {"format": "ebarn", "split_messages": true, "max_messages": 50},
            "idempotency": {"header": "X-Id", "path": "id"},
            "sender_access": {"mode": "any", "identity_field": "from", "identifiers": null},
            "rate_limit": {"per_minute": 1, "per_sender_per_minute": 1_000_000},
            "timeout_ms": 300_000,
            "execution": {"mode": "sync", "timeout_ms": 600_000, "ack_response": null,
                          "message_buffer": {"enabled": false, "window_ms": 100},
                          "split_config": {"enabled": true}},
        }),
        json!({"channel": null, "auth": null, "execution": null, "context_mapping": null}),
        json!({"execution": {"message_buffer": {"enabled": null}, "callback": null}}),
        extraction(json!({"mode": "jmespath", "expression": "a[0].b"})),
        extraction(json!({"mode": "template", "template": "{{a.b}}!"})),
        access(json!({"mode": "members", "identity_field": "f", "match_column": "email",
                      "resolve_user": true})),
        access(json!({"mode": "whitelist", "identity_field": "f", "identifiers": ["+5511"],
                      "match_column": null})),
        asynchronous(json!({"channel": {"type": "twilio_sms", "auth": {"secret_ref": "T"}}})),
        asynchronous(json!({"channel": {"type": "meta_whatsapp", "signing_secret_ref": "S",
            "verify_token_ref": "V", "auth": {"type": "bearer", "secret_ref": "T"}}})),
        asynchronous(json!({"channel": {"type": "github", "signing_secret_ref": null}})),
        asynchronous(json!({"channel": {"type": "svix", "signing_secret_ref": "S"}})),
        asynchronous(json!({"channel": generic})),
        asynchronous(json!({"channel": {"type": "generic", "outputTransform":
            {"jmespath": "a", "objectTransformation": {"b": "c"}}, "signatureVerification": null}})),
        asynchronous(json!({"session_strategy": {"mode": "shared"}})),
        asynchronous(json!({"execution": {
            "mode": "async",
            "ack_response": {"body": {"a": [1]}, "content_type": "text/xml"},
            "message_buffer": {"enabled": true, "window_ms": 60_000, "max_messages": 100,
                               "max_wait_ms": 600_000, "concat_separator": ""},
            "split_config": {"enabled": false, "max_chunk_size": 50_000, "max_chunks": 50,
                             "chunk_strategy": "length", "numbering": false,
                             "inter_chunk_delay_ms": 10_000},
        }})),
        callback(json!({
            "method": "PATCH", "content_type": null,
            "body_template": {"a": ["{{agent_response}}", 1, null, {"b": true}]},
            "headers": {"X-A": "{{session_id}}"}, "success_status": [204, "4xx"],
            "response_transform": {"strip_markdown": true, "to_whatsapp": false, "max_length": 1},
            "retry": {"max_attempts": 10, "initial_delay_ms": 100, "max_delay_ms": 3_600_000},
            "timeout_ms": 60_000,
        })),
        callback(json!({"content_type": "application/x-www-form-urlencoded",
                        "body_template": {"a": "b", "n": 1}})),
        callback(json!({"content_type": "text/plain"})),
        callback(json!({"content_type": "text/plain", "body_template": "> {{agent_response}}"})),
        callback(json!({"content_type": "application/xml", "body_template": "<a/>"})),
        callback(json!({"response_transform": {"to_whatsapp": true, "strip_markdown": null}})),
        callback(json!({"auth": {"type": "none"}})),
        credential("basic"),
        credential("bearer"),
        callback(
            json!({"auth": {"type": "api_key", "secret_ref": "S", "name": "k", "in": "query"}}),
        ),
        callback(
            json!({"auth": {"type": "hmac", "secret_ref": "S", "format": "standard_webhooks"}}),
        ),
        callback(json!({"auth": {"type": "hmac", "secret_ref": "S", "format": "sha256",
                                 "header": "X-Sig"}})),
    ]
}

#[test]
fn what_is_right_fits() {
    for config in everything() {
        assert!(parses(&config), "{config}: {:?}", TriggerConfig::parse(&config));
        assert!(fits(&config), "{config}: {:#?}", misfits(&config));
    }
}

#[test]
fn the_documented_configurations_fit() {
    let pages = [
        include_str!("../../../../../docs/triggers.md"),
        include_str!("../../../../../docs/generic-channel.md"),
        include_str!("../../../../../docs/channels.md"),
        include_str!("../../../../../docs/db-event.md"),
    ];
    let blocks = pages.iter().flat_map(|page| page.split("```json\n").skip(1));
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let examples = blocks.map(|block| serde_json::from_str::<Value>(block).unwrap());
    let body = include_str!("../../../../../docs/examples/whatsapp-twilio.json");
    let body: Value = serde_json::from_str(body).unwrap();
    let mut n_configurations = 0;
    for example in examples.chain([body]) {
        let config = match (&example["trigger_config"], example.get("url")) {
            (config @ Value::Object(_), _) => config.clone(),
            (_, Some(_)) => json!({"execution": {"mode": "async", "callback": example}}),
            _ => example,
        };
        if parses(&config) {
            n_configurations += 1;
            assert!(fits(&config), "{config}: {:#?}", misfits(&config));
        }
    }
    assert!(n_configurations >= 12, "{n_configurations}");
}

/// A configuration with something else in one place.
fn changed(config: &Value, pointer: &str, value: Value) -> Value {
    let mut config = config.clone();
    if let Some(place) = config.pointer_mut(pointer) {
        *place = value;
        return config;
    }
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"))[key] = value;
    config
}

fn does_not_fit(config: &Value, pointer: &str, value: Value) {
    let config = changed(config, pointer, value);
    assert!(!parses(&config), "{pointer}: {config}");
    assert!(!fits(&config), "{pointer}: {config}");
}

#[test]
fn what_is_wrong_of_a_source_does_not_fit() {
    let daily = json!({"schedule": {"cron": "0 9 * * *"}});
    let wrong = [
        (&daily, "/schedule".to_owned(), json!({})),
        (&daily, "/schedule/at".to_owned(), json!("2026-12-24T09:00:00")),
        (&daily, "/schedule/interval_seconds".to_owned(), json!(0)),
        (&daily, "/schedule/catch_up".to_owned(), json!("some")),
        (&daily, "/schedule/typo".to_owned(), json!(1)),
        (&daily, "/auth".to_owned(), json!({"type": "none"})),
        (&daily, "/execution".to_owned(), json!({"mode": "sync"})),
    ];
    for (config, pointer, value) in wrong {
        does_not_fit(config, &pointer, value);
    }
}

#[test]
fn what_is_wrong_does_not_fit() {
    let mut generic = complete();
    generic["type"] = json!("generic");
    let described = json!({"channel": generic, "execution": {"mode": "async"}});
    let whatsapp = whatsapp();
    let callback = "/execution/callback";
    let signature = "/channel/signatureVerification";
    let wrong = [
        (&whatsapp, "/schedule".to_owned(), json!({"cron": "0 9 * * *"})),
        (&whatsapp, "/typo".to_owned(), json!(1)),
        (&whatsapp, "/channel/type".to_owned(), json!("metta")),
        (&whatsapp, "/channel/auth/type".to_owned(), json!("bearer")),
        (&whatsapp, "/channel/auth/secret_ref".to_owned(), Value::Null),
        (&whatsapp, "/channel/signing_secret_ref".to_owned(), json!("S")),
        (&whatsapp, "/auth".to_owned(), json!({"type": "magic"})),
        (&whatsapp, "/auth".to_owned(), json!({"type": "api_key", "algorithm": "sha256"})),
        (&whatsapp, "/query_extraction/mode".to_owned(), json!("jmespath")),
        (&whatsapp, "/query_extraction/field".to_owned(), json!("")),
        (&whatsapp, "/context_mapping/a b".to_owned(), json!("$.a")),
        (&whatsapp, "/context_mapping/ab".to_owned(), json!("a")),
        (&whatsapp, "/session_strategy/fields".to_owned(), json!([])),
        (&whatsapp, "/session_strategy/mode".to_owned(), json!("shared")),
        (&whatsapp, "/session".to_owned(), json!({"on_new_message": "drop"})),
        (&whatsapp, "/response_adapter/max_messages".to_owned(), json!(51)),
        (&whatsapp, "/sender_access/identifiers".to_owned(), json!(["a"])),
        (&whatsapp, "/sender_access".to_owned(), json!({"mode": "whitelist"})),
        (&whatsapp, "/sender_access".to_owned(), json!({})),
        (&whatsapp, "/rate_limit".to_owned(), json!({"per_minute": 0})),
        (&whatsapp, "/timeout_ms".to_owned(), json!(300_001)),
        (&whatsapp, "/idempotency".to_owned(), json!({"header": "a b"})),
        (&whatsapp, "/execution/mode".to_owned(), json!("sync")),
        (&whatsapp, "/execution/mode".to_owned(), Value::Null),
        (&whatsapp, "/execution/timeout_ms".to_owned(), json!(999)),
        (&whatsapp, "/execution/ack_response/content_type".to_owned(), json!("xml")),
        (&whatsapp, "/execution/message_buffer/window_ms".to_owned(), json!(99)),
        (&whatsapp, "/execution/split_config/chunk_strategy".to_owned(), json!("word")),
        (&whatsapp, format!("{callback}/url"), Value::Null),
        (&whatsapp, format!("{callback}/url"), json!("ftp://example.com")),
        (&whatsapp, format!("{callback}/method"), json!("GET")),
        (&whatsapp, format!("{callback}/auth"), json!({"type": "basic"})),
        (&whatsapp, format!("{callback}/auth"), json!({"type": "hmac", "secret_ref": "S"})),
        (&whatsapp, format!("{callback}/body_template"), json!("text")),
        (&whatsapp, format!("{callback}/body_template/a"), json!(["list"])),
        (&whatsapp, format!("{callback}/body_template/{{{{a}}}}"), json!("b")),
        (&whatsapp, format!("{callback}/content_type"), json!("text/plain")),
        (&whatsapp, format!("{callback}/content_type"), json!("application/xml")),
        (&whatsapp, format!("{callback}/headers"), json!({"a b": "c"})),
        (&whatsapp, format!("{callback}/headers"), json!({"X-A": "a\r\nB: c"})),
        (&whatsapp, format!("{callback}/headers"), json!({"X-A": null})),
        (&whatsapp, format!("{callback}/success_status"), json!([302])),
        (&whatsapp, format!("{callback}/response_transform/to_whatsapp"), json!(true)),
        (&whatsapp, format!("{callback}/retry"), json!({"max_attempts": 11})),
        (&whatsapp, format!("{callback}/typo"), json!(1)),
        (&described, "/channel/signing_secret_ref".to_owned(), json!("S")),
        (&described, "/channel/signatureVerification".to_owned(), Value::Null),
        (&described, "/channel/signingSecretCredentialReferenceId".to_owned(), Value::Null),
        (&described, "/channel/authentication/headers".to_owned(), json!([])),
        (&described, "/channel/authentication/headers/0/value".to_owned(), json!("s3cret")),
        (&described, "/channel/inputSchema".to_owned(), json!(true)),
        (&described, "/channel/outputTransform".to_owned(), json!({})),
        (&described, "/channel/outputTransform".to_owned(), json!({"objectTransformation": {}})),
        (&described, "/channel/messageTemplate".to_owned(), json!(" \n")),
        (&described, format!("{signature}/algorithm"), json!("sha3")),
        (&described, format!("{signature}/encoding"), Value::Null),
        (&described, format!("{signature}/signature/source"), json!("cookie")),
        (&described, format!("{signature}/signature/key"), json!("not a name")),
        (&described, format!("{signature}/signature/prefix"), json!("")),
        (&described, format!("{signature}/signedComponents"), json!([])),
        (
            &described,
            format!("{signature}/signedComponents"),
            json!([{"source": "body", "required": false}, {"source": "literal", "value": "x"}]),
        ),
        (&described, format!("{signature}/signedComponents/0/value"), json!("x")),
        (&described, format!("{signature}/signedComponents/2/regex"), json!("(a)")),
        (&described, format!("{signature}/signedComponents/3/key"), json!("x")),
        (&described, format!("{signature}/componentJoin/strategy"), json!("hash")),
        (&described, format!("{signature}/componentJoin/separator"), json!(".".repeat(65))),
        (&described, format!("{signature}/validation/typo"), json!(true)),
    ];
    for (config, pointer, value) in wrong {
        does_not_fit(config, &pointer, value);
    }
    for wrong in [json!(null), json!([]), json!("{}")] {
        assert!(!parses(&wrong) && !fits(&wrong), "{wrong}");
    }
}

#[test]
fn what_is_wrong_with_a_database_does_not_fit() {
    let orders = json!({"db_event": {"secret_ref": "S", "outbox": {"table": "orders"}}});
    let outbox = "/db_event/outbox";
    let wrong = [
        ("/db_event/secret_ref".to_owned(), Value::Null),
        ("/db_event/listen".to_owned(), json!({"channel": "orders"})),
        (outbox.to_owned(), Value::Null),
        (format!("{outbox}/table"), json!("a b")),
        (format!("{outbox}/table"), Value::Null),
        (format!("{outbox}/query"), json!("SELECT 1")),
        (format!("{outbox}/cursor"), json!("a\"")),
        (format!("{outbox}/settle_ms"), json!(60_001)),
        (format!("{outbox}/batch"), json!(0)),
    ];
    for (pointer, value) in wrong {
        let config = changed(&orders, &pointer, value);
        assert!(!parses(&config), "{pointer}: {config}");
        assert!(!fits(&config), "{pointer}: {config}");
    }
}

/// The places in a configuration.
fn places(config: &Value, at: &str, all: &mut Vec<String>) {
    match config {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                places(value, &format!("{at}/{name}"), all);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
    all.push(at.to_owned());
}

/// What a field may be set to by somebody who does not know it.
fn anything() -> impl Strategy<Value = Value> {
    let words = ["sync", "async", "none", "header", "body", "full_body", "shared", "text/plain"];
    let numbers = [0, 1, 50, 64, 99, 100, 101, 1_000, 5_000, 60_000, 600_000, 1_000_001];
    prop_oneof![
        values(),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        prop::sample::select(numbers.to_vec()).prop_map(Value::from),
        "[ -~é]{0,70}".prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_accepted_fits(
        config in prop::sample::select(everything()),
        place in any::<prop::sample::Index>(),
        value in anything(),
    ) {
        let mut all = Vec::new();
        places(&config, "", &mut all);
        let mut config = config;
        *config.pointer_mut(&all[place.index(all.len())]).unwrap() = value;
        if parses(&config) {
            prop_assert!(fits(&config), "{}: {:#?}", config, misfits(&config));
        }
    }
}
