//! A trigger is tried: every step is shown, nothing hidden is, and nothing happens.

use recado_testkit::sql;
use recado_testkit::twilio::Inbound;
use serde_json::{Value, json};

use crate::server::{Answer, Server, new_trigger};

const CREDENTIALS: &str = "AC123:t0p-s3cret-auth-token";
const AUTH_TOKEN: &str = "t0p-s3cret-auth-token";

/// Everything that a webhook would leave behind.
const TRACES: &str = "\
    SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM sessions)
         + (SELECT count(*) FROM executions) + (SELECT count(*) FROM deliveries)
         + (SELECT count(*) FROM lanes)";

fn step<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let steps = answer.data(200)["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap()
}

fn statuses(answer: &Answer) -> Vec<&str> {
    let steps = answer.data(200)["steps"].as_array().unwrap();
    steps.iter().map(|step| step["status"].as_str().unwrap()).collect()
}

impl Server {
    async fn trigger_with(&self, config: Value) -> String {
        let mut trigger = new_trigger(&self.agent().await);
        trigger["trigger_config"] = config;
        self.post("/api/triggers", &trigger).await.id()
    }

    async fn try_out(&self, trigger: &str, sample: &Value) -> Answer {
        self.post(&format!("/api/triggers/{trigger}/test"), sample).await
    }

    async fn secret(&self, name: &str, value: &str) {
        self.post("/api/secrets", &json!({"name": name, "value": value})).await.data(201);
    }

    async fn traces(&self) -> i64 {
        sql::count(self.database.url(), TRACES).await.unwrap()
    }
}

impl Server {
    /// However they come, they are tried as they are, or as they are understood.
    async fn tries_mails(&self) {
        self.secret("MAILBOX", "support:the-mailbox-s3cret").await;
        let imap = json!({"host": "imap.acme.example", "secret_ref": "MAILBOX"});
        for (way, at) in [("http", json!({"provider": "raw"})), ("imap", imap)] {
            let mut trigger = new_trigger(&self.agent().await);
            trigger["trigger_type"] = json!("email");
            trigger["trigger_config"] = json!({
                "email": {"address": "support@acme.example", way: at},
                "auth": {"type": "none"},
                "context_mapping": {"subject": "$.subject"},
            });
            let trigger = self.post("/api/triggers", &trigger).await.id();
            let mail = "From: Ana <ana@client.example>\r\nSubject: Order\r\n\
                Message-ID: <1@client.example>\r\n\r\nWhere is it?\r\n\r\n-- \r\nAna\r\n";
            let answer = self.try_out(&trigger, &json!({ "body": mail })).await;
            assert_eq!(answer.data(200)["would_execute"], true, "{way}: {answer:?}");
            assert_eq!(step(&answer, "extraction")["text"], "Subject: Order\n\nWhere is it?");
            let context = step(&answer, "context");
            assert_eq!(context["hidden"], json!(["_email"]));
            assert_eq!(context["visible"], json!({"subject": "Order"}));
            assert_eq!(step(&answer, "sender_access")["sender"], "ana@client.example");

            let machine = format!("Auto-Submitted: auto-replied\r\n{mail}");
            let answer = self.try_out(&trigger, &json!({ "body": machine })).await;
            assert_eq!(answer.data(200)["would_execute"], false, "{way}: {answer:?}");
            assert_eq!(step(&answer, "channel")["messages"], 0);

            let payload = json!({
                "subject": "Order", "text": "Where is it?", "message_id": "<1@client.example>",
                "from": {"address": "ana@client.example"},
            });
            let answer = self.try_out(&trigger, &json!({ "payload": payload })).await;
            assert_eq!(answer.data(200)["would_execute"], true, "{way}: {answer:?}");
            assert_eq!(step(&answer, "extraction")["text"], "Subject: Order\n\nWhere is it?");
        }
    }
}

#[tokio::test]
async fn a_webhook_of_twilio_is_shown_step_by_step() {
    let server = Server::start().await;
    server.secret("TWILIO", CREDENTIALS).await;
    let example = include_str!("../../../../docs/examples/whatsapp-twilio.json");
    let example: Value =
        serde_json::from_str(&example.replace("TWILIO_CREDENTIALS", "TWILIO")).unwrap();
    let trigger = server.trigger_with(example["trigger_config"].clone()).await;

    let address = format!("https://recado.example.com/api/triggers/webhook/{trigger}");
    let sent = Inbound::new("+5511999990000", "Olá").profile_name("Ana");
    let signed = sent.signed(AUTH_TOKEN, &address);
    let sample = |token: &str| {
        let headers = sent.signed(token, &address).headers;
        let headers: serde_json::Map<_, _> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        json!({
            "body": signed.body, "headers": headers,
            "agent_response": "**Oi**, Ana.\n\nTudo bem?",
        })
    };
    let answer = server.try_out(&trigger, &sample(AUTH_TOKEN)).await;
    assert_eq!(answer.data(200)["would_execute"], true, "{answer:?}");
    assert_eq!(statuses(&answer), ["passed"; 13], "{answer:?}");
    assert_eq!(step(&answer, "extraction")["text"], "Olá");
    let context = step(&answer, "context");
    assert_eq!(context["hidden"], json!(["_messageSid", "_waId"]));
    assert_eq!(context["visible"]["profileName"], "Ana");
    assert_eq!(step(&answer, "idempotency")["duplicate"], false);
    assert_eq!(step(&answer, "buffer")["window_ms"], 3_000);
    let acknowledgement = step(&answer, "acknowledgement");
    assert_eq!(
        (&acknowledgement["status_code"], &acknowledgement["content_type"]),
        (&json!(200), &json!("text/xml"))
    );
    let section = step(&answer, "prompt")["context_section"].as_str().unwrap();
    assert!(section.contains("profileName: Ana"), "{section}");
    let chunk = &step(&answer, "callback")["chunks"][0];
    assert_eq!(chunk["headers"]["authorization"], "[hidden]");
    let body = chunk["body"].as_str().unwrap();
    assert!(body.contains("Body=Oi%2C+Ana."), "{body}");
    for hidden in [sent.sid(), AUTH_TOKEN] {
        assert!(!answer.text.contains(hidden), "{hidden} in {}", answer.text);
    }

    let forged = server.try_out(&trigger, &sample("another-auth-token")).await;
    assert_eq!(forged.data(200)["would_execute"], false);
    assert_eq!(step(&forged, "auth")["error"], "invalid_signature");
    assert_eq!(step(&forged, "parsing")["status"], "skipped");

    server.post(&format!("/api/triggers/{trigger}/disable"), &json!({})).await.data(200);
    let disabled = server.try_out(&trigger, &sample(AUTH_TOKEN)).await;
    assert_eq!(disabled.data(200)["would_execute"], false);
    assert_eq!(step(&disabled, "trigger")["error"], "trigger_disabled");
    assert_eq!(step(&disabled, "callback")["status"], "passed");
    assert_eq!(server.traces().await, 0);
}

#[tokio::test]
async fn hidden_values_and_secrets_are_not_shown() {
    let server = Server::start().await;
    server.secret("CALLBACK", "the-callbacks-s3cret").await;
    let trigger = server
        .trigger_with(json!({
            "auth": {"type": "none"},
            "query_extraction": {"mode": "full_body"},
            "context_mapping": {"token": "$.t", "host": "$.h", "_id": "$.id", "city": "$.city"},
            "session_strategy": {"mode": "derive", "fields": ["_id"]},
            "sender_access": {
                "mode": "members", "identity_field": "_id", "match_column": "external_id",
                "resolve_user": true,
            },
            "execution": {
                "mode": "async",
                "callback": {
                    "url": "https://erp.example.com/answer?token={{token}}",
                    "headers": {"X-Id": "{{_id}}"},
                    "auth": {"type": "bearer", "secret_ref": "CALLBACK"},
                    "body_template": {"host": "{{host}}", "city": "{{city}}", "text": "{{agent_response}}"},
                },
            },
        }))
        .await;
    let payload = json!({"t": "zq", "h": "wxk", "id": "member-0815", "city": "Rio"});
    let stranger = server.try_out(&trigger, &json!({"payload": payload})).await;
    assert_eq!(step(&stranger, "auth")["status"], "skipped");
    assert_eq!(step(&stranger, "sender_access")["error"], "webhook_sender_denied");
    assert_eq!(step(&stranger, "extraction")["status"], "skipped");

    let member = json!({"name": "Beatriz Nogueira", "external_id": "member-0815"});
    server.post("/api/members", &member).await.data(201);
    let answer = server.try_out(&trigger, &json!({"payload": payload})).await;
    assert_eq!(answer.data(200)["would_execute"], true, "{answer:?}");
    let context = step(&answer, "context");
    assert_eq!(context["hidden"], json!(["_id", "host", "token", "userName"]));
    assert_eq!(context["visible"]["city"], "Rio");
    let chunk = &step(&answer, "callback")["chunks"][0];
    assert_eq!(chunk["url"], "https://erp.example.com/answer?token=[hidden]");
    assert_eq!(chunk["headers"]["x-id"], "[hidden]");
    assert_eq!(chunk["headers"]["authorization"], "[hidden]");
    let body: Value = serde_json::from_str(chunk["body"].as_str().unwrap()).unwrap();
    assert_eq!((&body["host"], &body["city"]), (&json!("[hidden]"), &json!("Rio")));
    for hidden in ["\"zq", "=zq", "wxk", "member-0815", "Beatriz", "the-callbacks-s3cret"] {
        assert!(!answer.text.contains(hidden), "{hidden} in {}", answer.text);
    }
    assert_eq!(server.traces().await, 0);

    // Another tenant's trigger is not there, and a sample has to be one.
    let path = format!("/api/triggers/{trigger}/test");
    let editor = recado_http::auth::Role::Editor;
    let sample = json!({"payload": payload});
    let foreign = server.call_as((server.theirs, editor), "POST", &path, Some(&sample)).await;
    assert_eq!((foreign.status, foreign.code()), (404, "trigger_not_found"));
    assert_eq!(server.post(&path, &json!({"payload": 1, "body": ""})).await.paths(), ["body"]);
}

/// What each kind of channel may be sent, and what the agent would be asked.
fn channels() -> [(&'static str, Value, &'static str); 10] {
    let message = json!({"from": "5511", "id": "wamid.1", "type": "text", "text": {"body": "Oi"}});
    let value = json!({"metadata": {"phone_number_id": "1"}, "messages": [message]});
    let changes = json!([{"field": "messages", "value": value}]);
    let meta =
        json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]});
    let slack = json!({
        "type": "event_callback", "event_id": "Ev1",
        "event": {"type": "message", "user": "U1", "text": "oi", "ts": "1.2", "channel": "C1"},
    });
    let teams = json!({"type": "message", "id": "1", "text": "oi", "from": {"id": "29:1"}});
    let twilio = json!({"MessageSid": "SM1", "From": "+5511", "Body": "oi"});
    [
        ("twilio_whatsapp", twilio.clone(), "oi"),
        ("twilio_sms", twilio, "oi"),
        ("meta_whatsapp", meta, "Oi"),
        ("slack", slack, "oi"),
        ("teams", teams, "oi"),
        ("github", json!({"action": "opened"}), "opened"),
        ("stripe", json!({"id": "evt_1", "type": "invoice.paid"}), "invoice.paid"),
        ("standard_webhooks", json!({"a": "b"}), "b"),
        ("svix", json!({"a": "b"}), "b"),
        ("generic", json!({"a": "b"}), "b"),
    ]
}

#[tokio::test]
async fn every_channel_can_be_tried() {
    let server = Server::start().await;
    server.secret("S", CREDENTIALS).await;
    for (kind, payload, text) in channels() {
        let channel = match kind {
            "twilio_whatsapp" | "twilio_sms" => {
                json!({"type": kind, "auth": {"type": "basic", "secret_ref": "S"}})
            }
            "generic" => json!({"type": kind}),
            _ => json!({"type": kind, "signing_secret_ref": "S"}),
        };
        let config = json!({"channel": channel, "execution": {"mode": "async"}});
        let trigger = server.trigger_with(config).await;
        let headers = json!({"X-GitHub-Event": "issues", "webhook-id": "msg_1"});
        let sample = json!({"payload": payload, "headers": headers});
        let answer = server.try_out(&trigger, &sample).await;
        assert_eq!(answer.data(200)["would_execute"], true, "{kind}: {answer:?}");
        assert_eq!(step(&answer, "channel")["channel"], kind);
        let asked = step(&answer, "extraction")["text"].as_str().unwrap();
        assert!(asked.contains(text), "{kind}: {asked}");
    }
    server.tries_mails().await;
    assert_eq!(server.traces().await, 0);
}

#[tokio::test]
async fn an_api_key_is_tried_without_being_used() {
    let server = Server::start().await;
    let trigger = server.trigger(&server.agent().await).await;
    let made = server.post("/api/api-keys", &json!({"name": "ERP"})).await;
    let key = made.data(201)["key"].as_str().unwrap();
    let body = json!({"chatInput": "Olá", "userId": "7"}).to_string();
    let with_key = |key: &str| json!({"body": body, "headers": {"X-Api-Key": key}});
    let answer = server.try_out(&trigger, &with_key(key)).await;
    assert_eq!(answer.data(200)["would_execute"], true, "{answer:?}");
    assert!(!answer.text.contains(key), "{answer:?}");
    let wrong = server.try_out(&trigger, &with_key("rk_live_nobodys")).await;
    assert_eq!(step(&wrong, "auth")["error"], "invalid_api_key");
    let used = "SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL";
    assert_eq!(sql::count(server.database.url(), used).await.unwrap(), 0);
    assert_eq!(server.traces().await, 0);
}
