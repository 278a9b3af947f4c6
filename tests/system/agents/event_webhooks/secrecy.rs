//! What events and callbacks are signed with is told once, or never, and found nowhere.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_testkit::app::Role;
use recado_testkit::callback::Sink;
use recado_testkit::stub::Fault;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Office, change, is_genuine};
use crate::agents::callback;
use crate::agents::tap::Tap;
use crate::secrecy::n_rows_with;
use crate::support::{Story, sha256, system};

/// The key of a callback's signature, which the tenant chose.
const CALLBACK_SECRET: &str = "canary-callback-Q4mZ7rT1vB8nK3xW6yLd";
/// A key of an endpoint that the tenant chose.
const CHOSEN_KEY: &[u8] = b"canary-endpoint-F2kS9dV5hJ0gN7cP";

#[tokio::test]
async fn what_signs_events_and_callbacks_is_neither_logged_nor_queued_nor_stored_nor_told() -> Story
{
    let office = Office::open(system().env("RECADO_LOG", "info,recado=trace")).await?;
    let (app, path) = (&office.desk.app, office.listener.path());
    let tap = Tap::on(app).await?;
    let management = app.management();
    management.create_secret("CALLBACK_KEY", CALLBACK_SECRET).await?;
    let sink = Sink::start();
    let mut signed = callback(&sink);
    signed["auth"] = json!({"type": "hmac", "secret_ref": "CALLBACK_KEY", "format": "sha256"});
    let mut answers = Vec::new();
    let trigger = format!("/api/triggers/{}", office.trigger);
    let config = json!({"trigger_config": {"execution": {"callback": signed}}});
    answers.push(change(management, Method::PATCH, &trigger, &config).await?);

    // Things go wrong on the way: errors like to quote.
    office.listener.sink.fail_next(1, &Fault::Cut);
    sink.fail_next(1, &Fault::Cut);
    let execution = office.begin("orders").await?;
    answers.push(office.desk.end_of(&office.trigger, &execution).await?);
    office.listener.until_told_of(1).await?;
    let chosen = format!("whsec_{}", BASE64.encode(CHOSEN_KEY));
    let rotated = json!({"secret": chosen, "expires_in_s": 3_600});
    change(management, Method::POST, &format!("{path}/rotate-secret"), &rotated).await?;
    office.told_of("more orders").await?;
    let last = office.listener.sink.received().pop().context("it was told")?;
    assert!(is_genuine(&last, &chosen)?, "{last:?}");
    let called_back = sink.received().pop().context("it was called back")?;
    let signature = sha256(CALLBACK_SECRET, &called_back.text());
    assert_eq!(called_back.header("x-webhook-signature"), Some(signature.as_str()));

    for read in [path.as_str(), "/api/event-endpoints", &trigger, "/api/secrets"] {
        answers.push(management.get(read).await?);
    }
    answers.push(change(management, Method::PATCH, &path, &json!({"name": "renamed"})).await?);
    answers.extend(management.event_deliveries(&office.listener.endpoint).await?);
    let told: String = answers.iter().map(Value::to_string).collect();
    let queued: String = tap.published().await?.into_iter().map(|(_, body)| body).collect();
    for secret in [CALLBACK_SECRET, &chosen, &office.listener.secret] {
        let encoded = secret.strip_prefix("whsec_");
        let key = encoded.map(|it| BASE64.decode(it)).transpose()?;
        let forms = [Some(secret.to_owned()), encoded.map(str::to_owned), key.map(hex::encode)];
        for form in forms.into_iter().flatten() {
            assert!(!told.contains(&form), "the API tells {form}");
            assert!(!queued.contains(&form), "{form} is queued");
            assert_eq!(n_rows_with(app, &form, "").await?, 0, "{form} is stored");
            for role in Role::ALL {
                assert!(!app.whole_log(role, 0)?.contains(&form), "{role} logs {form}");
            }
        }
    }
    assert!(app.whole_log(Role::Ingress, 0)?.contains("DEBUG"), "it was switched on");
    Ok(office.desk.app.finish().await?)
}
