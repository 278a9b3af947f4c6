//! What a request looks like, and what none ever does.

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use recado_types::trigger::TriggerConfig;
use serde_json::json;
use sha2::Sha256;
use uuid::Uuid;

use super::*;

/// A callback as it would be configured.
fn callback(config: &Value) -> Callback {
    let config = json!({
        "auth": {"type": "none"},
        "query_extraction": {"mode": "full_body"},
        "session_strategy": {"mode": "ephemeral"},
        "execution": {"mode": "async", "callback": config},
    });
    TriggerConfig::parse(&config).unwrap().execution.callback.unwrap()
}

fn context(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn chunk<'a>(context: &'a Map<String, Value>, text: &'a str) -> Chunk<'a> {
    let id = Uuid::from_u128;
    Chunk {
        context,
        text,
        number: 2,
        count: 3,
        execution_id: ExecutionId(id(1)),
        delivery_id: DeliveryId(id(2)),
        whole_round: 1,
        session_id: SessionId(id(3)),
        trigger_id: TriggerId(id(4)),
    }
}

fn rendered(config: &Value, values: &Value, secret: Option<&str>) -> Result<Outbound, RenderError> {
    render(&callback(config), &chunk(&context(values), "Olá \"mundo\""), secret, now())
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_649_367_553, 0).unwrap()
}

fn header<'r>(request: &'r Outbound, name: &str) -> &'r str {
    request.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn body(request: &Outbound) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

#[test]
fn a_request_to_twilio_looks_as_twilio_wants_it() {
    let config = json!({
        "url": "https://api.twilio.com/2010-04-01/Accounts/{{accountSid}}/Messages.json",
        "content_type": "application/x-www-form-urlencoded",
        "auth": {"type": "basic", "secret_ref": "TWILIO"},
        "body_template": {"To": "{{phoneNumber}}", "From": "whatsapp:+1", "Body": "{{agent_response}}"},
    });
    let values = json!({"accountSid": "AC1", "phoneNumber": "whatsapp:+5511"});
    let request = rendered(&config, &values, Some("AC1:to:ken")).unwrap();
    assert_eq!(request.method, reqwest::Method::POST);
    assert_eq!(
        request.url.as_str(),
        "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"
    );
    assert_eq!(header(&request, "authorization"), "Basic QUMxOnRvOmtlbg==");
    assert_eq!(header(&request, "content-type"), "application/x-www-form-urlencoded");
    let key = "00000000-0000-0000-0000-000000000002-2";
    assert_eq!(header(&request, "idempotency-key"), key);
    let mut fields: Vec<_> = body(&request).split('&').collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["Body=Ol%C3%A1+%22mundo%22", "From=whatsapp%3A%2B1", "To=whatsapp%3A%2B5511"]
    );
}

#[test]
fn without_a_template_the_body_has_every_builtin() {
    let expected = json!({
        "agent_response": "Olá \"mundo\"", "chunk_index": 2, "chunk_count": 3,
        "execution_id": "00000000-0000-0000-0000-000000000001",
        "delivery_id": "00000000-0000-0000-0000-000000000002",
        "session_id": "00000000-0000-0000-0000-000000000003",
        "trigger_id": "00000000-0000-0000-0000-000000000004",
    });
    let request = rendered(&json!({"url": "https://x.y/z", "method": "PUT"}), &json!({}), None);
    let request = request.unwrap();
    assert_eq!(request.method, reqwest::Method::PUT);
    assert_eq!(serde_json::from_str::<Value>(body(&request)).unwrap(), expected);
    assert_eq!(header(&request, "content-type"), "application/json");
}

#[test]
fn values_keep_their_types_in_json_and_are_never_read_as_templates() {
    let config = json!({
        "url": "https://x.y",
        "body_template": {"n": "{{n}}", "list": ["{{v}}", {"deep": "<{{v}}>"}], "i": "{{chunk_index}}"},
    });
    let request = rendered(&config, &json!({"n": 7, "v": "{{token}}\","}), None).unwrap();
    let expected = json!({"n": 7, "list": ["{{token}}\",", {"deep": "<{{token}}\",>"}], "i": 2});
    assert_eq!(serde_json::from_str::<Value>(body(&request)).unwrap(), expected);
}

#[test]
fn a_payload_cannot_replace_what_is_built_in() {
    let config = json!({"url": "https://x.y", "body_template": {"a": "{{agent_response}}"}});
    let request = rendered(&config, &json!({"agent_response": "forged"}), None).unwrap();
    assert_eq!(body(&request), r#"{"a":"Olá \"mundo\""}"#);
}

#[test]
fn credentials_go_where_they_belong() {
    let with_auth = |auth: Value| json!({"url": "https://x.y/?a=1", "auth": auth});
    let bearer = with_auth(json!({"type": "bearer", "secret_ref": "S"}));
    let request = rendered(&bearer, &json!({}), Some("t0k")).unwrap();
    assert_eq!(header(&request, "authorization"), "Bearer t0k");
    let key = with_auth(json!({"type": "api_key", "secret_ref": "S", "name": "X-Key"}));
    assert_eq!(header(&rendered(&key, &json!({}), Some("k")).unwrap(), "x-key"), "k");
    let query = json!({"type": "api_key", "secret_ref": "S", "name": "key", "in": "query"});
    let request = rendered(&with_auth(query), &json!({}), Some("k&=")).unwrap();
    assert_eq!(request.url.query(), Some("a=1&key=k%26%3D"));
}

#[test]
fn secrets_that_cannot_be_used_are_configuration_errors() {
    for auth in ["basic", "bearer", "api_key"] {
        let config = json!({"url": "https://x.y", "auth": {"type": auth, "secret_ref": "S"}});
        let error = |secret| rendered(&config, &json!({}), secret).unwrap_err();
        assert_eq!(error(None).code(), "secret_missing");
        for secret in ["", "user:pass\n", "a:b\r\nX: y"] {
            let error = error(Some(secret));
            assert_eq!(error.code(), "secret_invalid");
            assert!(error.to_string().contains("`S`") && !error.to_string().contains("pass"));
        }
    }
    let basic = json!({"url": "https://x.y", "auth": {"type": "basic", "secret_ref": "S"}});
    assert_eq!(rendered(&basic, &json!({}), Some("nocolon")).unwrap_err().code(), "secret_invalid");
}

#[test]
fn headers_are_filled_and_cannot_be_broken_out_of() {
    let config =
        json!({"url": "https://x.y", "headers": {"X-User": "u-{{v}}", "User-Agent": "me"}});
    let request = rendered(&config, &json!({"v": "é"}), None).unwrap();
    assert_eq!(request.headers["x-user"].as_bytes(), "u-é".as_bytes());
    assert_eq!(header(&request, "user-agent"), "me");
    let error = rendered(&config, &json!({"v": "a\r\nX-Evil: 1"}), None).unwrap_err();
    assert_eq!(error.code(), "invalid_header");
    assert!(error.to_string().contains("X-User"));
}

#[test]
fn a_value_without_a_source_is_named() {
    let config = json!({"url": "https://x.y", "body_template": {"a": "{{nobody}}"}});
    let error = rendered(&config, &json!({}), None).unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("`nobody`")), ("missing_value", true));
}

#[test]
fn a_value_stays_in_its_segment_of_the_url() {
    let config = json!({"url": "https://x.y/a/{{v}}/b?q={{v}}&z=1"});
    let url = |value: &str| rendered(&config, &json!({"v": value}), None).map(|r| r.url);
    for value in ["../../admin", "a/b", "?x=1", "#f", "a\\b", "%2e%2e", "a b&c=d", "é", "@evil"] {
        let url = url(value).unwrap();
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        assert_eq!((url.host_str(), segments.len()), (Some("x.y"), 3), "{url}");
        let query: Vec<_> = url.query_pairs().collect();
        assert_eq!(query, [("q".into(), value.into()), ("z".into(), "1".into())], "{url}");
    }
    for value in [".", ".."] {
        assert_eq!(url(value).unwrap_err().code(), "invalid_url", "{value}");
    }
    assert_eq!(url(&"x".repeat(9_000)).unwrap_err().code(), "invalid_url");
}

#[test]
fn an_empty_value_may_stand_in_the_query_and_not_in_the_path() {
    for value in [json!(""), Value::Null] {
        let url = |url: &str| rendered(&json!({"url": url}), &json!({"v": value}), None);
        assert_eq!(url("https://x.y/a?q={{v}}").unwrap().url.query(), Some("q="));
        for path in ["admin/{{v}}/send", "{{v}}", "a{{v}}?q"] {
            let error = url(&format!("https://x.y/{path}")).unwrap_err();
            assert_eq!((error.code(), error.to_string().contains("`v`")), ("missing_value", true));
        }
    }
}

#[test]
fn a_value_makes_no_dot_segment_together_with_what_stands_beside_it() {
    for (path, value) in [
        ("a/%2e{{v}}", "."),
        ("a/{{v}}%2E", "."),
        ("a/%2{{v}}", "e"),
        ("a/%{{v}}%2e", "2e"),
        ("a/.{{v}}/b", "."),
        ("a/{{v}}/b", "."),
        ("a/{{v}}{{w}}?q", "."),
    ] {
        let config = json!({"url": format!("https://x.y/{path}")});
        let error = rendered(&config, &json!({"v": value, "w": "."}), None).unwrap_err();
        assert_eq!(error.code(), "invalid_url", "{path} with {value}");
    }
}

#[test]
fn a_text_is_sent_as_it_is() {
    let config = json!({"url": "https://x.y", "content_type": "text/plain"});
    let request = rendered(&config, &json!({}), None).unwrap();
    assert_eq!(body(&request), "Olá \"mundo\"");
    assert_eq!(header(&request, "content-type"), "text/plain; charset=utf-8");
    let config = json!({
        "url": "https://x.y", "content_type": "text/plain",
        "body_template": "{{chunk_index}}/{{chunk_count}} {{v}}: {{agent_response}}",
    });
    let request = rendered(&config, &json!({"v": "{{agent_response}}"}), None).unwrap();
    assert_eq!(body(&request), "2/3 {{agent_response}}: Olá \"mundo\"");
}

#[test]
fn values_are_escaped_in_xml() {
    let config = json!({
        "url": "https://x.y", "content_type": "application/xml",
        "body_template": "<message to=\"{{v}}\">{{agent_response}}</message>",
    });
    let request = rendered(&config, &json!({"v": "<a&\u{1}b>"}), None).unwrap();
    let expected = "<message to=\"&lt;a&amp;b&gt;\">Olá &quot;mundo&quot;</message>";
    assert_eq!(body(&request), expected);
    assert_eq!(header(&request, "content-type"), "application/xml; charset=utf-8");
}

/// That the signatures are right is tested where they are made.
#[test]
fn a_signature_covers_what_is_sent() {
    let config = json!({
        "url": "https://x.y", "method": "PATCH",
        "auth": {"type": "hmac", "secret_ref": "S", "format": "standard_webhooks"},
    });
    let request = rendered(&config, &json!({}), Some("whsec_YWJj")).unwrap();
    let id = "00000000-0000-0000-0000-000000000002-2";
    assert_eq!(header(&request, "webhook-id"), id);
    assert_eq!(header(&request, "idempotency-key"), id);
    assert_eq!(header(&request, "webhook-timestamp"), "1649367553");
    let expected = sign::standard_webhooks(id, 1_649_367_553, &request.body, &[b"abc"]);
    assert_eq!(header(&request, "webhook-signature"), expected);

    for (extra, name) in [(None, "x-webhook-signature"), (Some("X-Sig"), "x-sig")] {
        let auth = json!({"type": "hmac", "secret_ref": "S", "format": "sha256", "header": extra});
        let config = json!({"url": "https://x.y", "auth": auth});
        let request = rendered(&config, &json!({}), Some("abc")).unwrap();
        assert_eq!(header(&request, name), sign::sha256(&request.body, b"abc"));
        assert_eq!(request.headers.get("webhook-id"), None);
    }
}

/// Ingress's rule: `sha256=` and the hex of an HMAC over the raw body, with the bytes of the secret
/// as it is written, `whs_` and `whsec_` included.
#[test]
fn the_plain_signature_is_the_one_that_recado_takes_itself() {
    let auth = json!({"type": "hmac", "secret_ref": "S", "format": "sha256"});
    let config = json!({"url": "https://x.y", "auth": auth});
    for secret in ["plain é", "whs_YWJj", "whsec_YWJj", "whsec_", "whsec_!no base64!"] {
        let request = rendered(&config, &json!({}), Some(secret)).unwrap();
        let claimed = header(&request, "x-webhook-signature").strip_prefix("sha256=").unwrap();
        let code = hex::decode(claimed).unwrap();
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
        assert!(mac.chain_update(&request.body).verify_slice(&code).is_ok(), "{secret}");
    }
}

#[test]
fn a_key_that_cannot_sign_is_told_without_its_value() {
    for format in ["standard_webhooks", "sha256"] {
        let auth = json!({"type": "hmac", "secret_ref": "S", "format": format});
        let config = json!({"url": "https://x.y", "auth": auth});
        let error = |secret| rendered(&config, &json!({}), secret).unwrap_err();
        assert_eq!(error(None).code(), "secret_missing");
        let unfit: &[&str] = match format {
            "sha256" => &["", "pass\n"],
            _ => &["", "whsec_", "whsec_!pass!", "pass\n"],
        };
        for secret in unfit {
            let error = error(Some(secret));
            assert_eq!(error.code(), "secret_invalid");
            assert!(error.to_string().contains("`S`") && !error.to_string().contains("pass"));
        }
    }
}

#[test]
fn a_request_shows_no_secret() {
    for auth in [
        json!({"type": "bearer", "secret_ref": "S"}),
        json!({"type": "api_key", "secret_ref": "S"}),
        json!({"type": "api_key", "secret_ref": "S", "name": "k", "in": "query"}),
        json!({"type": "hmac", "secret_ref": "S", "format": "sha256"}),
    ] {
        let config = json!({"url": "https://x.y", "auth": auth});
        let request = rendered(&config, &json!({}), Some("canary")).unwrap();
        assert!(!format!("{request:?} {:?}", request.headers).contains("canary"), "{auth}");
    }
}

/// The first line, the headers in order, the body.
fn shown(config: &Value, secret: &str) -> String {
    let values = json!({"from": "whatsapp:+5511999998888", "user": "5511999998888"});
    let request = rendered(config, &values, Some(secret)).unwrap();
    let mut headers: Vec<_> = request.headers.iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in headers {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    format!("{text}\n{}", body(&request))
}

/// What goes over the wire, whole. `docs/triggers.md` has the same examples. Fields are in the order
/// of the alphabet, which they have whether or not maps keep theirs.
#[test]
fn requests_look_as_documented() {
    let twilio = json!({
        "url": "https://api.twilio.com/2010-04-01/Accounts/AC123/Messages.json",
        "content_type": "application/x-www-form-urlencoded",
        "auth": {"type": "basic", "secret_ref": "TWILIO"},
        "body_template":
            {"Body": "{{agent_response}}", "From": "whatsapp:+14155238886", "To": "{{from}}"},
    });
    insta::assert_snapshot!("twilio", shown(&twilio, "AC123:token"));
    let meta = json!({
        "url": "https://graph.facebook.com/v23.0/106540352242922/messages",
        "auth": {"type": "bearer", "secret_ref": "META_TOKEN"},
        "body_template": {
            "messaging_product": "whatsapp", "recipient_type": "individual",
            "text": {"body": "{{agent_response}}", "preview_url": false},
            "to": "{{user}}", "type": "text",
        },
    });
    insta::assert_snapshot!("meta", shown(&meta, "EAAG"));
    let signed = json!({
        "url": "https://hooks.example.com/recado?user={{user}}",
        "auth": {"type": "hmac", "secret_ref": "HOOK_KEY", "format": "standard_webhooks"},
        "body_template": {"part": "{{chunk_index}}", "text": "{{agent_response}}"},
    });
    insta::assert_snapshot!("signed", shown(&signed, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"));
    let xml = json!({
        "url": "https://sms.example.com/send",
        "method": "PUT",
        "content_type": "application/xml",
        "auth": {"type": "hmac", "secret_ref": "HOOK_KEY", "format": "sha256"},
        "body_template": "<sms to=\"{{user}}\">{{agent_response}}</sms>",
    });
    insta::assert_snapshot!("xml", shown(&xml, "plain key"));
}

proptest! {
    #[test]
    fn no_value_leads_elsewhere(
        value in "[./%\\\\?#@:2e\\PC]{0,12}|[.2eE]{0,2}", before in "[.%2eE ]{0,3}",
        after in "[.%2eE ]{0,3}",
    ) {
        let config = json!({"url": format!("https://x.y/a/{before}{{{{v}}}}{after}/b")});
        match rendered(&config, &json!({"v": value}), None) {
            Err(error) => {
                let expected = if value.is_empty() { "missing_value" } else { "invalid_url" };
                prop_assert_eq!(error.code(), expected);
            }
            Ok(request) => {
                prop_assert!(!value.is_empty());
                let segments: Vec<&str> = request.url.path_segments().unwrap().collect();
                prop_assert_eq!((segments[0], segments.len(), segments[2]), ("a", 3, "b"));
                prop_assert_eq!(request.url.host_str(), Some("x.y"));
            }
        }
    }

    #[test]
    fn a_form_gives_back_what_was_put_in(value in "\\PC{0,40}") {
        let config = json!({
            "url": "https://x.y", "content_type": "application/x-www-form-urlencoded",
            "body_template": {"a": "{{v}}", "b": "1"},
        });
        let request = rendered(&config, &json!({"v": value}), None).unwrap();
        let fields: Vec<(String, String)> =
            url::form_urlencoded::parse(&request.body).into_owned().collect();
        prop_assert_eq!(fields, [("a".to_owned(), value), ("b".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn no_value_breaks_out_of_json(value in "[\"\\\\{}\\[\\],:\\PC]{0,40}") {
        let template = json!({"a": "<{{v}}>", "b": ["{{v}}"]});
        let config = json!({"url": "https://x.y", "body_template": template});
        let request = rendered(&config, &json!({"v": value}), None).unwrap();
        let read: Value = serde_json::from_slice(&request.body).unwrap();
        prop_assert_eq!(read, json!({"a": format!("<{value}>"), "b": [value]}));
    }

    #[test]
    fn a_text_is_its_template_and_its_values(value in "[{}a\\PC\r\n]{0,40}") {
        let config = json!({
            "url": "https://x.y", "content_type": "text/plain", "body_template": "<{{v}}|{{v}}>",
        });
        let request = rendered(&config, &json!({"v": value}), None).unwrap();
        prop_assert_eq!(body(&request), format!("<{value}|{value}>"));
    }

    #[test]
    fn no_value_makes_markup_in_xml(value in "[<>&\"'/=! \r\n\\PC]{0,40}") {
        let config = json!({
            "url": "https://x.y", "content_type": "application/xml",
            "body_template": "<m a='{{v}}'>{{v}}</m>",
        });
        let request = rendered(&config, &json!({"v": value}), None).unwrap();
        let inner = body(&request).strip_prefix("<m a='").unwrap().strip_suffix("</m>").unwrap();
        let (attribute, text) = inner.split_once("'>").unwrap();
        prop_assert_eq!(attribute, text);
        prop_assert!(!text.contains(['<', '>', '\'', '"', '\r', '\n']));
    }

    #[test]
    fn a_value_is_one_header_or_none(value in "[a\r\n:\t\0\\PC]{0,20}") {
        let config = json!({"url": "https://x.y", "headers": {"X-V": "<{{v}}>"}});
        match rendered(&config, &json!({"v": value}), None) {
            Err(error) => prop_assert_eq!(error.code(), "invalid_header"),
            Ok(request) => {
                let expected = format!("<{value}>");
                prop_assert_eq!(request.headers["x-v"].as_bytes(), expected.as_bytes());
                prop_assert_eq!(request.headers.len(), 3);
            }
        }
    }
}
