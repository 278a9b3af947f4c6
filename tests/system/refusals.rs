//! What is not let in: the wrong signature, none, one over other bytes; triggers that are off or
//! do not exist.

use hmac::{Hmac, KeyInit, Mac};
use recado_testkit::app::{NewTrigger, TestApp};
use recado_testkit::twilio::Inbound;
use recado_testkit::wait_for;
use serde_json::{Value, json};
use sha2::Sha512;

use crate::support::{ANA, AUTH_TOKEN, Answer, SOON, Story, WhatsApp, echo, sha256, system};

/// Spaces, an order, and an escape that no serialiser would choose.
const BODY: &str = r#"{ "text": "ol\u00e1",  "b": 1.0, "a": [] }"#;

async fn signed_trigger(app: &TestApp) -> anyhow::Result<NewTrigger> {
    let config = json!({
        "auth": {"type": "signature"},
        "query_extraction": {"mode": "field", "field": "text"},
        "execution": {"mode": "async"},
    });
    app.management().create_trigger(&echo(app).await?, "Signed", &config).await
}

fn sha512(secret: &str, body: &str) -> String {
    let mac = Hmac::<Sha512>::new_from_slice(secret.as_bytes()).expect("any length will do");
    format!("sha512={}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
}

async fn post(app: &TestApp, trigger: &str, signature: Option<&str>) -> anyhow::Result<Answer> {
    let request = app.webhook(0, trigger)?.header("Content-Type", "application/json").body(BODY);
    let request = match signature {
        Some(signature) => request.header("X-Webhook-Signature", signature),
        None => request,
    };
    Ok(Answer::of(request.send().await?).await?)
}

#[tokio::test]
async fn only_a_signature_over_the_very_bytes_opens_the_door() -> Story {
    let app = system().start().await?;
    let trigger = signed_trigger(&app).await?;
    let secret = trigger.webhook_secret.as_str();
    for right in [sha256(secret, BODY), sha512(secret, BODY)] {
        assert_eq!(post(&app, &trigger.id, Some(&right)).await?.status, 202);
    }

    let parsed: Value = serde_json::from_str(BODY)?;
    let refusal = post(&app, &trigger.id, None).await?;
    assert_eq!((refusal.status, refusal.error().as_str()), (401, "invalid_signature"));
    for wrong in [
        sha256(secret, &parsed.to_string()),
        sha256("whs_guessed", BODY),
        sha256(secret, BODY).replace("sha256=", "sha512="),
        sha256(secret, BODY).replace("sha256=", ""),
        "sha256=".to_owned(),
    ] {
        assert_eq!(post(&app, &trigger.id, Some(&wrong)).await?, refusal, "{wrong}");
    }
    Ok(app.finish().await?)
}

#[tokio::test]
async fn only_twilio_opens_the_door_of_a_whatsapp_number() -> Story {
    let app = system().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |_| {}).await?;
    let message = Inbound::new(ANA, "olá");
    let trigger = &whatsapp.trigger_id;
    let forged = Answer::of(app.post_twilio(trigger, "another-token", &message).await?).await?;
    assert_eq!((forged.status, forged.error().as_str()), (401, "invalid_signature"));

    let unsigned = app.webhook(0, trigger)?.form(&message.form()).send().await?;
    assert_eq!(Answer::of(unsigned).await?, forged);

    let signed = message.signed(AUTH_TOKEN, "https://hooks.recado.test/elsewhere");
    let mut elsewhere = app.webhook(0, trigger)?.body(signed.body);
    for (name, value) in signed.headers {
        elsewhere = elsewhere.header(name, value);
    }
    assert_eq!(Answer::of(elsewhere.send().await?).await?, forged, "signed for another address");

    assert_eq!(whatsapp.send(&message).await?.status, 200);
    whatsapp.delivered(1).await?;
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["olá"]);
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_is_off_says_so_and_one_that_is_none_is_not_found() -> Story {
    let app = system().start().await?;
    let trigger = signed_trigger(&app).await?;
    let signature = sha256(&trigger.webhook_secret, BODY);
    let path = |action: &str| format!("/api/triggers/{}/{action}", trigger.id);
    let answers = async |status: u16| {
        wait_for(&format!("a {status}"), SOON, async || {
            let answer = post(&app, &trigger.id, Some(&signature)).await.ok()?;
            (answer.status == status).then_some(answer)
        })
        .await
    };
    app.management().post(&path("disable"), &json!({})).await?;
    assert_eq!(answers(400).await?.error(), "trigger_disabled");
    app.management().post(&path("enable"), &json!({})).await?;
    answers(202).await?;

    let unknown = post(&app, "01930000-0000-7000-8000-000000000000", None).await?;
    assert_eq!((unknown.status, unknown.error().as_str()), (404, "trigger_not_found"));
    assert_eq!(post(&app, "no-uuid", None).await?, unknown);

    let delete =
        app.management().request(reqwest::Method::DELETE, &path("")[..path("").len() - 1])?;
    assert!(delete.send().await?.status().is_success());
    assert_eq!(answers(404).await?, unknown, "a deleted one and none look the same");
    Ok(app.finish().await?)
}
