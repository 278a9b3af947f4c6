//! Popcorn: what a sender writes in a hurry becomes one execution.

use std::time::{Duration, Instant};

use recado_testkit::callback::Sink;
use recado_testkit::twilio::Inbound;
use serde_json::{Value, json};

use crate::support::{ANA, Answer, SOON, Story, WhatsApp, echo, ended, system, texts};

/// A number whose window stays open for as long as a burst may take to post on a busy machine.
fn window(ms: u32) -> impl FnOnce(&mut Value) {
    move |config| config["execution"]["message_buffer"]["window_ms"] = json!(ms)
}

fn numbered(n: usize) -> Vec<String> {
    (1..=n).map(|n| format!("message {n}")).collect()
}

#[tokio::test]
async fn a_burst_of_three_is_one_execution() -> Story {
    let app = system().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, window(1_500)).await?;
    for text in ["Olá", "preciso de", "ajuda"] {
        whatsapp.say(ANA, text).await?;
    }
    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    assert_eq!(texts(&details[0]), ["Olá", "preciso de", "ajuda"]);
    let execution = &details[0]["execution"];
    assert_eq!(execution["normalized_query"], "Olá\npreciso de\najuda");
    assert_eq!(execution["webhook_context"]["_buffered_messages"], 3);
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["Olá\npreciso de\najuda"]);
    Ok(())
}

#[tokio::test]
async fn a_burst_of_twelve_is_a_full_window_and_the_rest() -> Story {
    let app = system().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, window(2_500)).await?;
    let messages = numbered(12);
    let started = Instant::now();
    for text in &messages {
        whatsapp.say(ANA, text).await?;
    }
    whatsapp.delivered(1).await?;
    let full_window_took = started.elapsed();
    let details = ended(&app, &whatsapp.trigger_id, 2).await?;
    assert_eq!(texts(&details[0]), messages[..8]);
    assert_eq!(texts(&details[1]), messages[8..]);
    let counts = details.iter().map(|d| &d["execution"]["webhook_context"]["_buffered_messages"]);
    assert_eq!(counts.collect::<Vec<_>>(), [&json!(8), &json!(4)]);
    let all_took = started.elapsed();
    assert!(full_window_took + Duration::from_secs(1) < all_took, "a full window does not wait");
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), [messages[..8].join("\n"), messages[8..].join("\n")]);
    Ok(())
}

#[tokio::test]
async fn somebody_who_never_pauses_is_answered_all_the_same() -> Story {
    let app = system().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |config| {
        let buffer = &mut config["execution"]["message_buffer"];
        *buffer = json!({
            "enabled": true, "window_ms": 2_000, "max_messages": 100, "max_wait_ms": 3_000,
        });
    })
    .await?;
    let begun = Instant::now();
    let mut n_written = 0;
    while whatsapp.twilio.accepted().is_empty() {
        n_written += 1;
        whatsapp.say(ANA, &format!("message {n_written}")).await?;
        assert!(begun.elapsed() < SOON, "{n_written} messages and no answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "it waited for more: {:?}", begun.elapsed());

    // What came after that window is the next one.
    n_written += 1;
    whatsapp.say(ANA, &format!("message {n_written}")).await?;
    let details = ended(&app, &whatsapp.trigger_id, 2).await?;
    let all: Vec<&str> = details.iter().flat_map(texts).collect();
    assert_eq!(all, numbered(n_written), "each in one execution, in order");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_retry_of_twilio_neither_extends_the_window_nor_appears_twice() -> Story {
    let app = system().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |config| {
        config["execution"]["message_buffer"]["window_ms"] = json!(2_000);
        // If retries extended the window, nobody would see the end of it.
        config["execution"]["message_buffer"]["max_wait_ms"] = json!(600_000);
    })
    .await?;
    let message = Inbound::new(ANA, "once");
    let first = whatsapp.send(&message).await?;
    let begun = Instant::now();
    let mut n_retries = 0;
    while whatsapp.twilio.accepted().is_empty() {
        assert_eq!(whatsapp.send(&message).await?, first);
        n_retries += 1;
        assert!(begun.elapsed() < SOON, "{n_retries} retries and no answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(n_retries > 3, "the window was open for {n_retries} retries only");
    // Neither does one that comes when all is over.
    assert_eq!(whatsapp.send(&message).await?, first);
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["once"]);
    Ok(())
}

#[tokio::test]
async fn a_retry_of_anybody_gets_the_first_answer_and_no_execution() -> Story {
    let app = system().start().await?;
    let agent = echo(&app).await?;
    let sink = Sink::start();
    let config = json!({
        "auth": {"type": "none"},
        "idempotency": {"header": "X-Event-Id"},
        "query_extraction": {"mode": "field", "field": "text"},
        "execution": {"mode": "async", "callback": {"url": sink.url()}},
    });
    let trigger = app.management().create_trigger(&agent, "Events", &config).await?;
    let post = async |event: &str| {
        let request = app.webhook(0, &trigger.id)?.header("X-Event-Id", event);
        anyhow::Ok(Answer::of(request.json(&json!({"text": event})).send().await?).await?)
    };
    let first = post("e1").await?;
    assert_eq!(first.status, 202);
    for _ in 0..5 {
        assert_eq!(post("e1").await?, first);
    }
    assert_ne!(post("e2").await?.json()?["execution_id"], first.json()?["execution_id"]);
    let details = ended(&app, &trigger.id, 2).await?;
    assert_eq!(details.iter().flat_map(texts).collect::<Vec<_>>(), ["e1", "e2"]);
    assert_eq!(post("e1").await?, first, "after its execution, too");
    app.finish().await?;
    assert_eq!(sink.count(), 2);
    Ok(())
}
