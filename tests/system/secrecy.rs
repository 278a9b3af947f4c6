//! Canaries: values that must not be found where they do not belong.

use std::fmt::Write;

use anyhow::ensure;
use recado_testkit::app::{Role, TestApp};
use recado_testkit::model::Model;
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::{http_client, providers, sql};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Answer, Story, WhatsApp, echo, ended, sha256, system, thinker_with_key};

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

const SIGNING_SECRET: &str = "canary-signing-T3fW8zQ1mX6bK9nR2vLc";
const VERIFY_TOKEN: &str = "canary-verify-H5jD0sG7pY4uA1eI8oNx";
const HEADER_SECRET: &str = "canary-header-B6tM2kV9cZ3qF7wJ5rEy";
const STRANGER: &str = "5511912340987";

/// What guards the ways in is known to those who use them, and shown to nobody; nor is who was not
/// let in.
#[tokio::test]
async fn what_guards_the_ways_in_is_neither_logged_nor_stored_nor_told() -> Story {
    let app = system().env("RECADO_LOG", "info,recado=trace").start().await?;
    let agent = echo(&app).await?;
    let mut answers = Vec::new();
    let mut secrets = [SIGNING_SECRET, VERIFY_TOKEN, HEADER_SECRET].map(str::to_owned).to_vec();
    answers.extend(challenge_and_sign(&app, &agent).await?);
    answers.extend(name_the_header(&app, &agent).await?);
    answers.extend(turn_away(&app, &agent).await?);
    answers.extend(rotate_and_use(&app, &agent, &mut secrets).await?);
    secrets.push(STRANGER.to_owned());

    for secret in &secrets {
        for told in &answers {
            assert!(!told.body.contains(secret.as_str()), "{secret}: {told:?}");
        }
        assert_eq!(n_rows_with(&app, secret, "").await?, 0, "{secret} is stored");
        for role in Role::ALL {
            assert!(!app.whole_log(role, 0)?.contains(secret.as_str()), "{role} logs {secret}");
        }
    }
    assert!(app.whole_log(Role::Ingress, 0)?.contains("DEBUG"), "it was switched on");
    Ok(app.finish().await?)
}

/// Meta asks who we are, and brings messages of a stranger: once as it should be, once with
/// secrets where other ones belong.
async fn challenge_and_sign(app: &TestApp, agent: &str) -> anyhow::Result<Vec<Answer>> {
    app.management().create_secret("META_APP_SECRET", SIGNING_SECRET).await?;
    app.management().create_secret("META_VERIFY_TOKEN", VERIFY_TOKEN).await?;
    let config = json!({
        "channel": {
            "type": "meta_whatsapp", "signing_secret_ref": "META_APP_SECRET",
            "verify_token_ref": "META_VERIFY_TOKEN",
        },
        "sender_access": {"mode": "whitelist", "identifiers": ["+5511999990000"]},
        "execution": {"mode": "async"},
    });
    let meta = app.management().create_trigger(agent, "Meta", &config).await?;
    let message = json!({
        "from": STRANGER, "id": "wamid.1", "type": "text", "timestamp": "1760000000",
        "text": {"body": "it is me"},
    });
    let value = json!({
        "contacts": [{"wa_id": STRANGER, "profile": {"name": "Nobody"}}], "messages": [message],
    });
    let change = json!({"field": "messages", "value": value});
    let body = json!({"object": "whatsapp_business_account", "entry": [{"changes": [change]}]});
    let body = body.to_string();

    let mut answers = Vec::new();
    for (token, status) in [(VERIFY_TOKEN, 200), (SIGNING_SECRET, 403)] {
        let url = app.webhook(0, &meta.id)?.build()?.url().clone();
        let asked = http_client().get(url).query(&[
            ("hub.mode", "subscribe"),
            ("hub.verify_token", token),
            ("hub.challenge", "1"),
        ]);
        answers.push(expected(asked, status).await?);
    }
    for (secret, status) in [(SIGNING_SECRET, 200), (VERIFY_TOKEN, 401)] {
        let request = app.webhook(0, &meta.id)?.header("Content-Type", "application/json");
        let signed = providers::meta(body.as_bytes(), secret).into_iter();
        let request = signed.fold(request, |request, (name, value)| request.header(name, value));
        answers.push(expected(request.body(body.clone()), status).await?);
    }
    Ok(answers)
}

/// A header that has to hold a secret holds it, and then holds it misspelled.
async fn name_the_header(app: &TestApp, agent: &str) -> anyhow::Result<Vec<Answer>> {
    app.management().create_secret("ERP_HEADER", HEADER_SECRET).await?;
    let config = json!({
        "channel": {
            "type": "generic",
            "authentication": {"headers": [{"name": "X-Token", "secret_ref": "ERP_HEADER"}]},
        },
        "query_extraction": {"mode": "field", "field": "text"},
    });
    let guarded = app.management().create_trigger(agent, "Guarded", &config).await?;
    let misspelled = format!("{HEADER_SECRET}x");
    let mut answers = Vec::new();
    for (value, status) in [(HEADER_SECRET, 200), (misspelled.as_str(), 401)] {
        let request = app.webhook(0, &guarded.id)?.header("X-Token", value);
        answers.push(expected(request.json(&json!({"text": "hello"})), status).await?);
    }
    Ok(answers)
}

/// A stranger is looked for among the members, and on a list.
async fn turn_away(app: &TestApp, agent: &str) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for access in [
        json!({"mode": "members", "identity_field": "from"}),
        json!({"mode": "whitelist", "identity_field": "from", "identifiers": ["+5511999990000"]}),
    ] {
        let config = json!({
            "auth": {"type": "none"},
            "query_extraction": {"mode": "field", "field": "text"},
            "context_mapping": {"phone": "$.from"},
            "sender_access": access,
        });
        let closed = app.management().create_trigger(agent, "Closed", &config).await?;
        let message = json!({"text": "it is me", "from": format!("whatsapp:+{STRANGER}")});
        answers.push(expected(app.webhook(0, &closed.id)?.json(&message), 403).await?);
    }
    Ok(answers)
}

/// A trigger's own secret, old and new, as a key of signatures and as the token of an app.
async fn rotate_and_use(
    app: &TestApp,
    agent: &str,
    secrets: &mut Vec<String>,
) -> anyhow::Result<Vec<Answer>> {
    let support = app.management().create_app("Support", "published").await?;
    let trigger = app.management().create_trigger(agent, "Support", &json!({})).await?;
    app.management().put_into_app(&trigger.id, &support).await?;
    let rotated = app.management().rotate_secret(&trigger.id, 3_600).await?;
    let (old, new) = (trigger.webhook_secret.as_str(), rotated.webhook_secret.as_str());
    secrets.extend([old.to_owned(), new.to_owned()]);

    let ingress = app.url(Role::Ingress, 0, "ingress_url")?;
    let simple = |id: &str| id.replace('-', "");
    let channel = format!("app_{}/webhooks/appchan_{}", simple(&support), simple(&trigger.id));
    let mut answers = Vec::new();
    for secret in [old, new] {
        let request = app.webhook(0, &trigger.id)?.header("Content-Type", "application/json");
        let request = request.header("X-Webhook-Signature", sha256(secret, "{}"));
        answers.push(expected(request.body("{}"), 200).await?);
        for (token, status) in [(secret, 202), (&format!("{secret}x"), 401)] {
            let request = http_client().post(format!("{ingress}/v1/apps/{channel}"));
            answers.push(expected(request.bearer_auth(token).body("hello"), status).await?);
        }
        let shown = app.management().request(Method::GET, &format!("/api/triggers/{}", trigger.id));
        answers.push(expected(shown?, 200).await?);
    }
    Ok(answers)
}

/// What was answered, which has this status.
async fn expected(request: RequestBuilder, status: u16) -> anyhow::Result<Answer> {
    let answer = Answer::of(request.send().await?).await?;
    ensure!(answer.status == status, "{answer:?} instead of a {status}");
    Ok(answer)
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
pub(crate) async fn n_rows_with(app: &TestApp, value: &str, except: &str) -> anyhow::Result<i64> {
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
