//! What a request looks like, and what none ever does.

use proptest::prelude::*;
use recado_types::trigger::TriggerConfig;
use serde_json::json;
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
        session_id: SessionId(id(3)),
        trigger_id: TriggerId(id(4)),
    }
}

fn rendered(config: &Value, values: &Value, secret: Option<&str>) -> Result<Outbound, RenderError> {
    render(&callback(config), &chunk(&context(values), "Olá \"mundo\""), secret)
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
    for value in ["../../admin", "a/b", "?x=1", "#f", "a\\b", "%2e%2e", "a b&c=d", "é", "@evil", ""]
    {
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

proptest! {
    #[test]
    fn no_value_leads_elsewhere(value in "[./%\\\\?#@:2e\\PC]{0,12}", prefix in "[.]{0,1}") {
        let config = json!({"url": format!("https://x.y/a/{prefix}{{{{v}}}}/b")});
        match rendered(&config, &json!({"v": value}), None) {
            Err(error) => prop_assert_eq!(error.code(), "invalid_url"),
            Ok(request) => {
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
}
