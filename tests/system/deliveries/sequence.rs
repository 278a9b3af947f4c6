//! Chunk after chunk, none after one that failed, and on where a dead process stopped.

use anyhow::Context;
use recado_testkit::app::{Role, TestApp};
use recado_testkit::model::Model;
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::twilio::Sent;
use recado_testkit::wait_for;
use serde_json::{Value, json};

use super::four_paragraphs;
use crate::support::{ANA, SOON, Story, WhatsApp, chunk_statuses, ended, system, thinker};

fn in_four_chunks(delay_ms: u32) -> impl FnOnce(&mut Value) {
    move |config| {
        config["execution"]["message_buffer"]["enabled"] = json!(false);
        config["execution"]["split_config"] = json!({
            "enabled": true, "numbering": true, "max_chunk_size": 100, "max_chunks": 6,
            "chunk_strategy": "paragraph", "inter_chunk_delay_ms": delay_ms,
        });
    }
}

async fn talkative(app: &TestApp, delay_ms: u32) -> anyhow::Result<(Model, WhatsApp)> {
    let model = Model::start();
    model.answer(&four_paragraphs().join("\n\n"));
    let agent = thinker(app, &model).await?;
    let whatsapp = WhatsApp::connect(app, &agent, in_four_chunks(delay_ms)).await?;
    Ok((model, whatsapp))
}

fn chunks() -> Vec<String> {
    (1..).zip(four_paragraphs()).map(|(n, text)| format!("({n}/4)\n{text}")).collect()
}

#[tokio::test]
async fn after_a_chunk_that_fails_none_is_sent_and_the_next_answer_is() -> Story {
    let app = system().start().await?;
    let (_model, whatsapp) = talkative(&app, 0).await?;
    let outside_the_window = json!({"code": 63_016, "message": "…", "status": 400});
    whatsapp.twilio.fail_at(2, Fault::Answer(Reply::json(400, &outside_the_window)));
    whatsapp.say(ANA, "tell me more").await?;

    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    assert_eq!(details[0]["execution"]["status"], "success", "the agent did its part");
    assert_eq!(details[0]["deliveries"][0]["status"], "failed");
    assert_eq!(details[0]["deliveries"][0]["error_code"], "outside_messaging_window");
    assert_eq!(chunk_statuses(&details[0]), ["sent", "failed", "skipped", "skipped"]);
    assert_eq!(whatsapp.twilio.count(), 2);

    whatsapp.say(ANA, "again").await?;
    let details = ended(&app, &whatsapp.trigger_id, 2).await?;
    assert_eq!(chunk_statuses(&details[1]), ["sent"; 4]);
    app.finish().await?;
    let received = whatsapp.received_by(ANA);
    assert_eq!((&received[..1], &received[1..]), (&chunks()[..1], &chunks()[..]));
    Ok(())
}

#[tokio::test]
async fn a_chunk_that_may_do_better_later_is_tried_again_under_its_key() -> Story {
    let app = system().start().await?;
    let (_model, whatsapp) = talkative(&app, 0).await?;
    whatsapp.twilio.fail_at(2, Fault::status(503));
    whatsapp.twilio.fail_at(3, Fault::retry_after(429, 1));
    whatsapp.say(ANA, "tell me more").await?;
    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    let attempts = &details[0]["deliveries"][0]["chunks"][1]["attempts"];
    let statuses: Vec<&Value> =
        attempts.as_array().context("a list")?.iter().map(|a| &a["status_code"]).collect();
    assert_eq!(statuses, [&json!(503), &json!(429), &json!(201)]);
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), chunks());
    assert_eq!(numbers(&whatsapp.twilio.sent()), [1, 2, 2, 2, 3, 4]);
    Ok(())
}

/// Which chunk each request was about, by its idempotency key.
fn numbers(sent: &[Sent]) -> Vec<u32> {
    let number = |sent: &Sent| sent.idempotency_key.as_ref()?.rsplit('-').next()?.parse().ok();
    sent.iter().filter_map(number).collect()
}

#[tokio::test]
async fn a_killed_delivery_repeats_the_chunk_in_doubt_and_no_other() -> Story {
    let mut app = system().start().await?;
    let (_model, whatsapp) = talkative(&app, 0).await?;
    whatsapp.twilio.fail_at(2, Fault::Hang);
    whatsapp.say(ANA, "tell me more").await?;
    let in_doubt = async || (whatsapp.twilio.count() == 2).then_some(());
    wait_for("the second chunk", SOON, in_doubt).await?;
    app.kill(Role::Delivery, 0)?;
    app.restart(Role::Delivery, 0).await?;

    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    assert_eq!(chunk_statuses(&details[0]), ["sent"; 4]);
    app.finish().await?;
    let sent = whatsapp.twilio.sent();
    assert_eq!(numbers(&sent), [1, 2, 2, 3, 4]);
    assert_eq!(sent[1].idempotency_key, sent[2].idempotency_key);
    assert_eq!(whatsapp.received_by(ANA), chunks());
    Ok(())
}

#[tokio::test]
async fn a_delivery_that_dies_between_two_chunks_is_continued_by_another() -> Story {
    let mut app = system().instances(Role::Delivery, 2).start().await?;
    let (_model, whatsapp) = talkative(&app, 1_000).await?;
    whatsapp.say(ANA, "tell me more").await?;
    whatsapp.delivered(2).await?;
    // Whichever of them it is, the other or its successor goes on.
    app.kill(Role::Delivery, 0)?;
    app.kill(Role::Delivery, 1)?;
    app.restart(Role::Delivery, 1).await?;
    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    assert_eq!(chunk_statuses(&details[0]), ["sent"; 4]);
    app.finish().await?;
    let mut numbers = numbers(&whatsapp.twilio.sent());
    numbers.dedup();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert!(whatsapp.twilio.count() <= 5, "only the second was in doubt");
    Ok(())
}
