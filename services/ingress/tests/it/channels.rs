//! One request of each channel, from its provider's signature to the queue.

use recado_testkit::providers::{self, Headers};
use recado_testkit::twilio::Inbound;
use recado_types::{MessageId, SessionId, TriggerId};
use serde_json::{Value, json};

use crate::requests::{AUTH_TOKEN, Answered, TWILIO_SECRET, open};
use crate::running::{Running, WEBHOOK_SECRET};

const SECRET: &str = "signing secret of the tests";
/// For those whose secrets are base64.
const BASE64_SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A trigger of this channel, whose sessions are those of `field`.
fn on(channel: &Value, field: &str) -> Value {
    json!({
        "channel": channel,
        "context_mapping": {"from": field},
        "session_strategy": {"mode": "derive", "fields": ["from"]},
        "execution": {"mode": "async"}
    })
}

/// What becomes of a request.
struct Expected<'e> {
    text: &'e str,
    /// What the provider calls the message.
    id: &'e str,
    /// The value that tells the session.
    session: &'e str,
    status: u16,
    body: Option<&'e str>,
}

/// Posts `body` as the provider does and then tampered copies of it; the first one is on the
/// queue and nothing else is.
async fn assert_taken(
    running: Running,
    trigger: TriggerId,
    body: &Value,
    sign: impl Fn(&[u8], i64) -> Headers,
    expected: Expected<'_>,
) {
    let sender = running.sender(trigger);
    let queue = running.requested();
    let (body, now) = (body.to_string(), running.now().timestamp());
    let headers = sign(body.as_bytes(), now);
    let answer = sender.post_json_with(&headers, body.clone()).await;
    assert_eq!(answer.status, expected.status, "{}", answer.body);
    if let Some(expected) = expected.body {
        assert_eq!(answer.body, expected);
    }

    assert_unsigned(&sender.post_json_with(&headers, format!("{body} ")).await);
    assert_unsigned(&sender.post_json_with(&[], body.clone()).await);
    for left_out in 0..headers.len() {
        let mut some = headers.clone();
        let (name, _) = some.remove(left_out);
        // GitHub signs the body only.
        if !name.starts_with("X-GitHub") {
            assert_unsigned(&sender.post_json_with(&some, body.clone()).await);
        }
    }
    let late = sign(body.as_bytes(), now - 310);
    let is_timed = late != headers;
    let answer = sender.post_json_with(&late, body.clone()).await;
    assert_eq!(answer.status, if is_timed { 401 } else { expected.status });

    let published = queue.wait_for(if is_timed { 1 } else { 2 }).await;
    running.stop().await;
    assert_eq!(queue.all().len(), published.len());
    let message = &published[0].messages[0];
    assert_eq!(message.text, expected.text);
    assert_eq!(message.id, MessageId::derived(trigger, expected.id));
    let session = SessionId::derived(message.tenant_id, trigger, &[expected.session]);
    assert_eq!(message.session_id, session);
}

fn assert_unsigned(answer: &Answered) {
    assert_eq!((answer.status, answer.error()), (401, "invalid_signature".into()));
}

#[tokio::test]
async fn slack() {
    let running = Running::start().await;
    running.add_secret("SLACK", SECRET).await;
    let channel = json!({"type": "slack", "signing_secret_ref": "SLACK"});
    let trigger = running.trigger(on(&channel, "$.event.user")).await;
    let event = json!({
        "type": "event_callback", "event_id": "Ev1", "team_id": "T1",
        "event": {"type": "message", "user": "U1", "channel": "C1", "text": "Olá <@U2>"}
    });
    let sign = |body: &[u8], at| providers::slack(body, SECRET, at);
    let expected =
        Expected { text: "Olá <@U2>", id: "Ev1", session: "U1", status: 200, body: Some("") };
    assert_taken(running, trigger, &event, sign, expected).await;
}

#[tokio::test]
async fn slack_is_shown_that_the_address_is_ours_and_its_bots_start_nothing() {
    let running = Running::start().await;
    running.add_secret("SLACK", SECRET).await;
    let channel = json!({"type": "slack", "signing_secret_ref": "SLACK"});
    let sender = running.sender(running.trigger(on(&channel, "$.event.user")).await);
    let queue = running.requested();
    let post = async |body: Value| {
        let body = body.to_string();
        let headers = providers::slack(body.as_bytes(), SECRET, running.now().timestamp());
        sender.post_json_with(&headers, body).await
    };
    let handshake = post(json!({"type": "url_verification", "challenge": "3eZbrw1aB"})).await;
    assert_eq!(handshake.essence(), (200, Some("text/plain"), "3eZbrw1aB"));
    let unsigned = json!({"type": "url_verification", "challenge": "3eZbrw1aB"}).to_string();
    assert_unsigned(&sender.post_json_with(&[], unsigned).await);

    let event =
        |id: &str, event: Value| json!({"type": "event_callback", "event_id": id, "event": event});
    let bot = json!({"type": "message", "user": "U9", "bot_id": "B1", "text": "I am a bot"});
    assert_eq!(post(event("Ev1", bot)).await.essence(), (200, Some("text/plain"), ""));
    let person = json!({"type": "message", "user": "U1", "text": "Olá"});
    assert_eq!(post(event("Ev2", person)).await.status, 200);
    let published = queue.wait_for(1).await;
    assert_eq!(published[0].messages[0].text, "Olá");
    running.stop().await;
    assert_eq!(queue.all().len(), 1);
}

#[tokio::test]
async fn teams() {
    let running = Running::start().await;
    running.add_secret("TEAMS", BASE64_SECRET).await;
    let channel = json!({"type": "teams", "signing_secret_ref": "TEAMS"});
    let trigger = running.trigger(on(&channel, "$.from.aadObjectId")).await;
    let activity = json!({
        "type": "message", "id": "1485983408511", "text": "<at>Recado</at> Olá &amp; tchau",
        "from": {"id": "29:1", "aadObjectId": "u-1", "name": "Ana"}
    });
    let sign = |body: &[u8], _at| providers::teams(body, BASE64_SECRET);
    let expected = Expected {
        text: "Olá & tchau",
        id: "1485983408511",
        session: "u-1",
        status: 200,
        body: Some(r#"{"type":"message","text":""}"#),
    };
    assert_taken(running, trigger, &activity, sign, expected).await;
}

#[tokio::test]
async fn github() {
    let running = Running::start().await;
    let mut config = on(&json!({"type": "github"}), "$.sender.login");
    config["query_extraction"] =
        json!({"mode": "template", "template": "{{action}} by {{sender.login}}"});
    let trigger = running.trigger(config).await;
    let event = json!({"action": "opened", "sender": {"login": "octocat"}});
    let sign = |body: &[u8], _at| providers::github(body, WEBHOOK_SECRET, "issues", "72d3162e");
    let expected = Expected {
        text: "opened by octocat",
        id: "72d3162e",
        session: "octocat",
        status: 202,
        body: None,
    };
    assert_taken(running, trigger, &event, sign, expected).await;
}

fn stripe_event(pending: u32) -> Value {
    json!({
        "id": "evt_1", "type": "invoice.paid", "pending_webhooks": pending,
        "data": {"object": {"customer": "cus_1"}}
    })
}

fn on_stripe() -> Value {
    let channel = json!({"type": "stripe", "signing_secret_ref": "STRIPE"});
    let mut config = on(&channel, "$.data.object.customer");
    config["query_extraction"] = json!({"mode": "field", "field": "type"});
    config
}

#[tokio::test]
async fn stripe() {
    let running = Running::start().await;
    running.add_secret("STRIPE", "whsec_old\nwhsec_new").await;
    let trigger = running.trigger(on_stripe()).await;
    let sign = |body: &[u8], at| providers::stripe(body, "whsec_new", at);
    let expected =
        Expected { text: "invoice.paid", id: "evt_1", session: "cus_1", status: 202, body: None };
    assert_taken(running, trigger, &stripe_event(2), sign, expected).await;
}

#[tokio::test]
async fn a_retry_of_stripe_is_the_same_message_although_it_counts_down() {
    let running = Running::start().await;
    running.add_secret("STRIPE", "whsec_1").await;
    let sender = running.sender(running.trigger(on_stripe()).await);
    let post = async |event: Value| {
        let body = event.to_string();
        let headers = providers::stripe(body.as_bytes(), "whsec_1", running.now().timestamp());
        sender.post_json_with(&headers, body).await
    };
    let first = post(stripe_event(2)).await;
    assert_eq!(first.status, 202);
    assert_eq!(post(stripe_event(1)).await.essence(), first.essence());
    let mut another = stripe_event(1);
    another["type"] = json!("invoice.voided");
    assert_eq!(post(another).await.status, 409);
    running.stop().await;
}

#[tokio::test]
async fn standard_webhooks_and_svix_under_the_names_of_both() {
    type Sign = fn(&str, i64, &[u8], &str) -> Headers;
    let secret = format!("whsec_{BASE64_SECRET}");
    for (kind, sign) in [
        ("standard_webhooks", providers::standard_webhooks as Sign),
        ("standard_webhooks", providers::svix),
        ("svix", providers::svix),
    ] {
        let running = Running::start().await;
        running.add_secret("SIGNING", &secret).await;
        let channel = json!({"type": kind, "signing_secret_ref": "SIGNING"});
        let mut config = on(&channel, "$.user");
        config["query_extraction"] = json!({"mode": "field", "field": "text"});
        let trigger = running.trigger(config).await;
        let sign = |body: &[u8], at| sign("msg_1", at, body, &secret);
        let body = json!({"user": "u1", "text": "Olá"});
        let expected =
            Expected { text: "Olá", id: "msg_1", session: "u1", status: 202, body: None };
        assert_taken(running, trigger, &body, sign, expected).await;
    }
}

#[tokio::test]
async fn twilio_sms() {
    let running = Running::start().await;
    running.add_secret("TWILIO", TWILIO_SECRET).await;
    let auth = json!({"type": "basic", "secret_ref": "TWILIO"});
    let channel = json!({"type": "twilio_sms", "auth": auth});
    let trigger = running.trigger(on(&channel, "$.From")).await;
    let sender = running.sender(trigger);
    let queue = running.requested();
    let message = Inbound::new("+5511999990000", "Olá").message_sid("SM1");
    let answer = sender.post_twilio_with(AUTH_TOKEN, &message).await;
    let empty = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>";
    assert_eq!(answer.essence(), (200, Some("text/xml"), empty));
    assert_unsigned(&sender.post_twilio_with("another", &message).await);
    let published = queue.wait_for(1).await[0].messages.remove(0);
    assert_eq!(
        (published.text.as_str(), published.id),
        ("Olá", MessageId::derived(trigger, "SM1"))
    );
    running.stop().await;
    assert_eq!(queue.all().len(), 1);
}

#[tokio::test]
async fn generic_with_a_signature_and_a_secret_header() {
    let running = Running::start().await;
    running.add_secret("SIGNING", SECRET).await;
    running.add_secret("TOKEN", "token").await;
    let channel = json!({
        "type": "generic",
        "signingSecretCredentialReferenceId": "SIGNING",
        "signatureVerification": {
            "algorithm": "sha256", "encoding": "hex",
            "signature": {"source": "header", "key": "X-Slack-Signature", "prefix": "v0="},
            "signedComponents": [
                {"source": "literal", "value": "v0"},
                {"source": "header", "key": "X-Slack-Request-Timestamp"},
                {"source": "body"}
            ],
            "componentJoin": {"strategy": "concatenate", "separator": ":"}
        },
        "authentication": {"headers": [{"name": "X-Token", "secret_ref": "TOKEN"}]},
        "inputSchema": {"type": "object", "required": ["order"]},
        "outputTransform": {"objectTransformation": {"id": "order.id", "from": "order.by"}},
        "messageTemplate": "Order {{id}} by {{from}}"
    });
    let mut config = on(&channel, "$.from");
    config["idempotency"] = json!({"path": "id"});
    let trigger = running.trigger(config).await;
    let sender = running.sender(trigger);
    let queue = running.requested();
    let order = json!({"order": {"id": "o-7", "by": "Ana"}}).to_string();
    let sign = |body: &str| {
        let mut headers = providers::slack(body.as_bytes(), SECRET, 1);
        headers.push(("X-Token", "token".into()));
        headers
    };
    assert_eq!(sender.post_json_with(&sign(&order), order.clone()).await.status, 202);
    for left_out in 0..3 {
        let mut headers = sign(&order);
        headers.remove(left_out);
        assert_unsigned(&sender.post_json_with(&headers, order.clone()).await);
        headers = sign(&order);
        headers[left_out].1.push('0');
        assert_unsigned(&sender.post_json_with(&headers, order.clone()).await);
    }
    assert_unsigned(&sender.post_json_with(&sign(&order), format!("{order} ")).await);
    let refused = sender.post_json_with(&[], order.clone()).await;
    let message = "the signature or the secret in a header is missing or wrong";
    assert!(refused.body.contains(message), "whatever it was: {refused:?}");
    let unfit = sender.post_json_with(&sign("{}"), "{}").await;
    assert_eq!((unfit.status, unfit.error()), (400, "invalid_input".into()));

    let message = queue.wait_for(1).await[0].messages.remove(0);
    assert_eq!(message.text, "Order o-7 by Ana");
    assert_eq!(message.id, MessageId::derived(trigger, "o-7"));
    assert_eq!(message.session_id, SessionId::derived(running.tenant, trigger, &["Ana"]));
    running.stop().await;
    assert_eq!(queue.all().len(), 1);
}

#[tokio::test]
async fn only_triggers_with_a_challenge_have_a_get() {
    let running = Running::start().await;
    let plain = running.sender(running.trigger(open()).await);
    let answer = plain.get("hub.mode=subscribe").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(answer.error(), "method_not_allowed");
    let deleted = running.trigger(open()).await;
    running.delete(deleted).await;
    for unknown in [deleted, running.fresh_id()] {
        let answer = running.sender(unknown).get("hub.mode=subscribe").await;
        assert_eq!((answer.status, answer.error()), (404, "trigger_not_found".into()));
    }
    running.stop().await;
}
