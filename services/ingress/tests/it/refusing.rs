//! What is not accepted, and that the answer tells no more than it should.

use chrono::TimeDelta;
use recado_testkit::twilio::Inbound;
use recado_testkit::wait_for;
use recado_types::TriggerId;
use recado_types::scope::{Scope, Scopes};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::requests::{
    Answered, TWILIO_SECRET, answered, erp, erp_message, open, signature, whatsapp,
};
use crate::running::{Running, SOON};

fn assert_refused(answer: &Answered, status: u16, code: &str) {
    assert_eq!((answer.status, answer.error().as_str()), (status, code), "{}", answer.body);
    let document = answer.json();
    assert_eq!((&document["success"], &document["status"]), (&json!(false), &json!("error")));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_signature_covers_the_bytes_that_were_sent() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(erp()).await);
    let spaced = r#"{ "companyId": 7, "userId": "u1", "chatInput": "hi" }"#;
    let signed = signature(spaced.as_bytes());
    let answer = sender.post_with_signature(&signed, spaced.to_owned()).await;
    assert_eq!(answer.status, 202);

    let compact: Value = serde_json::from_str(spaced).unwrap();
    let refused = sender.post_with_signature(&signed, compact.to_string()).await;
    assert_refused(&refused, 401, "invalid_signature");
    // Whatever is wrong with it, the answer is the same.
    let short = &signed[..signed.len() - 2];
    for claimed in ["", "sha256=", "nonsense", short, &signed.replace("sha256", "sha512")] {
        let answer = sender.post_with_signature(claimed, spaced.to_owned()).await;
        assert_eq!(answer.essence(), refused.essence(), "{claimed}");
    }
    let missing = sender.post("application/json", spaced).await;
    assert_eq!(missing.essence(), refused.essence());
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_parsed_before_it_is_authentic() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(erp()).await);
    for (content_type, body) in [("application/json", "{"), ("image/png", "\0")] {
        assert_refused(&sender.post(content_type, body).await, 401, "invalid_signature");
    }
    let malformed = sender.post_with_signature(&signature(b"{"), "{".into()).await;
    assert_refused(&malformed, 400, "malformed_body");
    assert_eq!(malformed.json()["details"], json!({"line": 1, "column": 1}));
    running.stop().await;
}

#[tokio::test]
async fn twilio_signs_with_the_auth_token_of_the_channels_secret() {
    let running = Running::start().await;
    running.add_secret("TWILIO_CREDENTIALS", TWILIO_SECRET).await;
    let sender = running.sender(running.trigger(whatsapp()).await);
    let message = Inbound::new("+5511999990000", "Olá");
    assert_eq!(sender.post_twilio(&message).await.status, 200);
    let forged = sender.post_twilio_with("another token", &message).await;
    assert_refused(&forged, 401, "invalid_signature");

    let mut unconfigured = whatsapp();
    unconfigured["channel"]["auth"]["secret_ref"] = json!("NOT_THERE");
    let sender = running.sender(running.trigger(unconfigured).await);
    let answer = sender.post_twilio(&message).await;
    assert_eq!(answer.essence(), forged.essence());
    running.stop().await;
}

#[tokio::test]
async fn an_api_key_is_good_for_its_own_tenant_its_scopes_and_its_time() {
    let running = Running::start().await;
    let mut config = open();
    config["auth"]["type"] = json!("api_key");
    let sender = running.sender(running.trigger(config).await);
    let (id, key) = running.api_key(running.tenant).await;
    let (stranger, _) = running.another_tenant().await;
    let (_, foreign) = running.api_key(stranger).await;

    let body = json!({"a": 1});
    assert_eq!(sender.post_with_key(key.expose(), &body).await.status, 202);
    let refused = sender.post_with_key(foreign.expose(), &body).await;
    assert_refused(&refused, 401, "invalid_api_key");
    let unknown = key.expose().replace("rcd_", "rcd_x");
    for wrong in ["", "rcd_", &unknown[..44], &key.expose().to_lowercase()] {
        let answer = sender.post_with_key(wrong, &body).await;
        assert_eq!(answer.essence(), refused.essence(), "{wrong}");
    }

    let reads = [Scope::Read].into_iter().collect();
    let past = Some(running.now() - TimeDelta::seconds(1));
    let (reader, reading) = running.api_key_for(running.tenant, reads, None).await;
    let (_, expired) = running.api_key_for(running.tenant, Scopes::default(), past).await;
    for useless in [reading, expired] {
        let answer = sender.post_with_key(useless.expose(), &body).await;
        assert_eq!(answer.essence(), refused.essence());
    }
    let used = async || running.last_use(id).await;
    let used = wait_for("the use to be recorded", SOON, used).await.unwrap();
    assert!(used <= running.now() && used.timestamp() % 60 == 0, "{used}");
    assert_eq!(running.last_use(reader).await, None);
    running.stop().await;
}

#[tokio::test]
async fn a_stranger_cannot_tell_which_triggers_there_are() {
    let running = Running::start().await;
    let deleted = running.trigger(open()).await;
    running.delete(deleted).await;
    let unknown = running.sender(TriggerId(Uuid::from_u128(1))).post("text/plain", "a").await;
    assert_refused(&unknown, 404, "trigger_not_found");
    let answer = running.sender(deleted).post("text/plain", "a").await;
    assert_eq!(answer.essence(), unknown.essence());

    let client = recado_testkit::http_client();
    let simple = deleted.0.simple().to_string();
    for malformed in ["1", "%00", "not-a-uuid", &simple, &format!("{{{deleted}}}")] {
        let url = format!("{}/api/triggers/webhook/{malformed}", running.url);
        let answer = answered(client.post(url).body("a")).await;
        assert_eq!(answer.essence(), unknown.essence(), "{malformed}");
    }
    let nowhere = answered(client.post(format!("{}/api/nowhere", running.url))).await;
    assert_refused(&nowhere, 404, "not_found");
    running.stop().await;
}

/// The address has a GET, for providers that challenge; this trigger has none.
#[tokio::test]
async fn a_trigger_takes_posts_only() {
    let running = Running::start().await;
    let trigger = running.trigger(open()).await;
    let client = recado_testkit::http_client();
    let url = format!("{}/api/triggers/webhook/{trigger}", running.url);
    for (method, allowed) in [
        (Method::GET, "POST"),
        (Method::PUT, "GET, POST"),
        (Method::PATCH, "GET, POST"),
        (Method::DELETE, "GET, POST"),
        (Method::OPTIONS, "GET, POST"),
    ] {
        let answer = answered(client.request(method.clone(), &url)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method}");
        assert_eq!(answer.error(), "method_not_allowed");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_would_be_poison_further_on_is_refused() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(erp()).await);
    let mut message = erp_message("hi");
    message["note"] = json!({"lines": ["a", "b\0"]});
    let nul = sender.post_signed(&message).await;
    assert_refused(&nul, 400, "invalid_input");
    assert_eq!(nul.json()["details"]["fields"][0]["path"], "note.lines.1");

    for (field, value) in
        [("chatInput", json!(" ")), ("userId", json!(null)), ("companyId", json!({}))]
    {
        let mut message = erp_message("hi");
        message[field] = value;
        let answer = sender.post_signed(&message).await;
        assert_refused(&answer, 400, "invalid_input");
        assert_eq!(answer.json()["details"]["fields"][0]["path"], field);
    }
    running.stop().await;
}

#[tokio::test]
async fn types_and_encodings_that_are_not_read_are_refused() {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(open()).await);
    for content_type in ["multipart/form-data; boundary=x", "application/xml", "image/png"] {
        let answer = sender.post(content_type, "a").await;
        assert_refused(&answer, 415, "unsupported_media_type");
    }
    let zipped = sender.request().header("content-encoding", "gzip").body("{}");
    assert_refused(&answered(zipped).await, 415, "unsupported_media_type");
    let invalid = sender.post("application/x-www-form-urlencoded", "a=%ff").await;
    assert_refused(&invalid, 400, "malformed_body");
    running.stop().await;
}
