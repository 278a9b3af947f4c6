//! Canaries: values that must not be found where they do not belong.

use std::fmt::Write;

use recado_testkit::app::{Role, TestApp};
use recado_testkit::model::Model;
use recado_testkit::sql;
use recado_testkit::stub::{Fault, Reply};
use serde_json::{Value, json};

use crate::support::{Answer, Story, WhatsApp, ended, system, thinker_with_key};

const MODEL_KEY: &str = "sk-canary-r4v9Qk2mT7xB1nZc8LwE5yHd";
const TWILIO_TOKEN: &str = "canary1b7e4f9a2c6d8035e1f7a9b4c2d60";
const CONTEXT_TOKEN: &str = "canary-tok-J8s2Vq6pR3uX9aNf4GhK7eYc";
const CONTEXT_HOST: &str = "canary-host-w5Tz1Mb8.erp.example.com";
const HIDDEN: &str = "canary-hidden-P2oD6iC9lS4rV7kQ3tU8";
const TEXT: &str = "canary-text-how-much-is-the-contract";
const SENDER: &str = "+5511987650123";

/// What no log may show.
const NOT_LOGGED: [&str; 7] =
    [MODEL_KEY, TWILIO_TOKEN, CONTEXT_TOKEN, CONTEXT_HOST, HIDDEN, TEXT, SENDER.split_at(1).1];

#[tokio::test]
async fn no_secret_is_logged_stored_asked_or_told() -> Story {
    // Everything that our own code logs: who looks for a fault may switch it on.
    let app = system().env("RECADO_LOG", "info,recado=trace").start().await?;
    let model = Model::start();
    let agent = thinker_with_key(&app, &model, MODEL_KEY).await?;
    let whatsapp = WhatsApp::connect_with_token(&app, &agent, TWILIO_TOKEN, |config| {
        config["execution"]["message_buffer"]["enabled"] = json!(false);
    })
    .await?;
    // Things go wrong on the way: errors like to quote.
    model.fail_next(1, &Fault::Answer(Reply::json(500, &quoting(MODEL_KEY))));
    whatsapp.twilio.fail_next(1, &Fault::Cut);
    whatsapp.say(SENDER, TEXT).await?;
    ended(&app, &whatsapp.trigger_id, 1).await?;
    model.fail_next(1, &Fault::Answer(Reply::json(401, &quoting(MODEL_KEY))));
    whatsapp.say(SENDER, TEXT).await?;
    let details = ended(&app, &whatsapp.trigger_id, 2).await?;
    assert_eq!(details[1]["execution"]["error_code"], "model_refused");
    let shown = serde_json::to_string(&details)?;
    assert!(!shown.contains(MODEL_KEY) && !shown.contains(TWILIO_TOKEN));

    let detail = erp(&app, &agent).await?;
    let shown = detail.to_string();
    assert!(!shown.contains(CONTEXT_TOKEN) && !shown.contains(CONTEXT_HOST), "{shown}");

    for asked in model.received() {
        for secret in [MODEL_KEY, TWILIO_TOKEN, CONTEXT_TOKEN, CONTEXT_HOST, HIDDEN] {
            assert!(!asked.text().contains(secret), "{secret}: {}", asked.text());
        }
    }
    for secret in [MODEL_KEY, TWILIO_TOKEN] {
        assert_eq!(n_rows_with(&app, secret, "").await?, 0, "{secret} is stored");
    }
    // What came with a message is kept with the message, and nowhere else.
    for value in [CONTEXT_TOKEN, CONTEXT_HOST, HIDDEN] {
        assert_eq!(n_rows_with(&app, value, "messages").await?, 0, "{value} is stored");
    }
    assert!(app.whole_log(Role::Ingress, 0)?.contains("DEBUG"), "it was switched on");
    for role in Role::ALL {
        let log = app.whole_log(role, 0)?;
        for value in NOT_LOGGED {
            assert!(!log.contains(value), "{role} logs {value}");
        }
    }
    Ok(app.finish().await?)
}

/// As `OpenAI` does.
fn quoting(key: &str) -> Value {
    json!({"error": {"message": format!("Incorrect API key provided: {key}")}})
}

/// A message with credentials in its context, after some that cannot be read. The execution.
async fn erp(app: &TestApp, agent: &str) -> anyhow::Result<Value> {
    let config = json!({
        "auth": {"type": "none"},
        "query_extraction": {"mode": "field", "field": "text"},
        "context_mapping": {"token": "$.token", "host": "$.host", "_x": "$.x", "city": "$.city"},
        "session_strategy": {"mode": "derive", "fields": ["city"]},
        "execution": {"mode": "async"},
    });
    let trigger = app.management().create_trigger(agent, "ERP", &config).await?;
    let payload = json!({
        "text": TEXT, "token": CONTEXT_TOKEN, "host": CONTEXT_HOST, "x": HIDDEN,
        "city": "Goiânia",
    });
    for broken in [
        payload.to_string().replace('}', ""),
        payload.to_string().replace("\"city\"", "\"town\""),
        payload.to_string().replace("\"text\"", "\"test\""),
    ] {
        let request = app.webhook(0, &trigger.id)?.header("Content-Type", "application/json");
        let answer = Answer::of(request.body(broken).send().await?).await?;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(!answer.body.contains("canary"), "{answer:?}");
    }
    let answer = Answer::of(app.post_webhook(&trigger.id, &payload).await?).await?;
    assert_eq!(answer.status, 202, "{answer:?}");
    Ok(ended(app, &trigger.id, 1).await?.remove(0))
}

/// How many rows hold `value`, as text or as bytes, in all tables but `except`.
async fn n_rows_with(app: &TestApp, value: &str, except: &str) -> anyhow::Result<i64> {
    let mut bytes = String::new();
    for byte in value.bytes() {
        write!(bytes, "{byte:02x}")?;
    }
    let query = format!(
        "SELECT coalesce(sum((xpath('/row/n/text()', query_to_xml(format(
             'SELECT count(*) AS n FROM %I t WHERE t::text LIKE ''%%{value}%%'' \
                                                OR t::text LIKE ''%%{bytes}%%''', tablename),
             false, true, '')))[1]::text::bigint), 0)::bigint
           FROM pg_tables WHERE schemaname = 'public' AND tablename <> '{except}'"
    );
    Ok(sql::count(&app.database_url(), &query).await?)
}
