//! Models that are busy, slow, or silent for ever.

use std::time::Duration;

use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use serde_json::{Value, json};

use crate::support::{ANA, Story, WhatsApp, answered_at, ended, system, thinker};

fn without_buffer(config: &mut Value) {
    config["execution"]["message_buffer"]["enabled"] = json!(false);
}

#[tokio::test]
async fn a_busy_model_is_asked_again_when_it_says() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    model.fail_next(1, &Fault::retry_after(429, 2));
    model.fail_next(1, &Fault::status(503));
    let whatsapp = WhatsApp::connect(&app, &thinker(&app, &model).await?, without_buffer).await?;
    whatsapp.say(ANA, "are you there?").await?;
    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    assert_eq!(details[0]["execution"]["status"], "success");
    assert_eq!(details[0]["metrics"]["total_calls"], 1, "one call, however often it was sent");

    let (asked, received) = (model.asked(), model.received());
    assert_eq!(asked.len(), 3);
    let refused_at = answered_at(&received[0])?;
    assert!(asked[1].at >= refused_at + Duration::from_secs(2), "Retry-After");
    assert!(asked[0].idempotency_key.is_some());
    assert!(asked.iter().all(|again| again.idempotency_key == asked[0].idempotency_key));
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["are you there?"]);
    Ok(())
}

#[tokio::test]
async fn a_silent_model_ends_in_a_timeout_and_the_session_goes_on() -> Story {
    const TIMEOUT_MS: i64 = 1_500;
    let app = system().start().await?;
    let model = Model::start();
    model.fail_next(1, &Fault::Hang);
    let whatsapp = WhatsApp::connect(&app, &thinker(&app, &model).await?, |config| {
        without_buffer(config);
        config["execution"]["timeout_ms"] = json!(TIMEOUT_MS);
    })
    .await?;
    whatsapp.say(ANA, "are you there?").await?;
    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    let execution = &details[0]["execution"];
    assert_eq!(
        (&execution["status"], &execution["error_code"]),
        (&json!("timeout"), &json!("timeout"))
    );
    let took = execution["execution_time_ms"].as_i64().unwrap_or_default();
    assert!((TIMEOUT_MS..TIMEOUT_MS + 2_000).contains(&took), "{took} ms");
    assert_eq!(details[0]["deliveries"], json!([]), "there is nothing to say");

    whatsapp.say(ANA, "hello?").await?;
    let details = ended(&app, &whatsapp.trigger_id, 2).await?;
    assert_eq!(details[1]["execution"]["status"], "success");
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["hello?"]);
    Ok(())
}

#[tokio::test]
async fn a_model_that_talks_nonsense_fails_its_execution_and_no_other() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    model.fail_next(1, &Fault::malformed_json());
    model.fail_next(1, &Fault::status(401));
    let whatsapp = WhatsApp::connect(&app, &thinker(&app, &model).await?, without_buffer).await?;
    for text in ["one", "two", "three"] {
        whatsapp.say(ANA, text).await?;
    }
    let details = ended(&app, &whatsapp.trigger_id, 3).await?;
    let ends: Vec<(&Value, &Value)> = details
        .iter()
        .map(|detail| (&detail["execution"]["status"], &detail["execution"]["error_code"]))
        .collect();
    let failed = json!("failed");
    assert_eq!(
        ends,
        [
            (&failed, &json!("model_answer_malformed")),
            (&failed, &json!("model_refused")),
            (&json!("success"), &Value::Null),
        ]
    );
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["three"]);
    Ok(())
}
