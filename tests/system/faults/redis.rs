//! Redis is killed, frozen and wiped: time is lost, messages are not.

use std::time::Duration;

use recado_testkit::app::{Role, TestApp};
use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::{Value, json};

use super::{AWAY, Trial, wait};
use crate::load::{Load, Order};
use crate::support::{
    ANA, SOON, Story, WhatsApp, answered_at, echo, ended, system, texts, thinker,
};

#[tokio::test]
async fn a_killed_redis_is_done_without() -> Story {
    let trial = Trial::of("kill -9 Redis", system().instances(Role::Buffer, 2)).await;
    let happen = async |app: &mut TestApp, load: &Load<'_>| {
        for _ in 0..2 {
            app.redis().kill()?;
            wait(AWAY).await;
            app.redis().restart().await?;
            load.acknowledges(20).await?;
        }
        Ok(())
    };
    trial.under_load(Order::IsKept, happen).await;
    Ok(())
}

#[tokio::test]
async fn a_frozen_redis_is_done_without() -> Story {
    let trial = Trial::of("SIGSTOP Redis", system().instances(Role::Buffer, 2)).await;
    let happen = async |app: &mut TestApp, load: &Load<'_>| {
        for _ in 0..2 {
            app.redis().stop()?;
            load.acknowledges(60).await?;
            app.redis().cont()?;
            load.acknowledges(20).await?;
        }
        Ok(())
    };
    let summary = trial.under_load(Order::IsKept, happen).await;
    assert_eq!(summary.n_repeated_callbacks, 0, "nobody died");
    Ok(())
}

fn window(ms: u32) -> impl FnOnce(&mut Value) {
    move |config| {
        config["execution"]["message_buffer"]["window_ms"] = json!(ms);
    }
}

#[tokio::test]
async fn a_window_that_redis_forgets_is_one_execution_all_the_same() -> Story {
    let mut app = system().start().await?;
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, window(3_000)).await?;
    whatsapp.say(ANA, "one").await?;
    app.redis().command("FLUSHALL").await?;
    whatsapp.say(ANA, "two").await?;
    app.redis().command("FLUSHALL").await?;
    let details = ended(&app, &whatsapp.trigger_id, 1).await?;
    assert_eq!(texts(&details[0]), ["one", "two"]);
    app.finish().await?;
    assert_eq!(whatsapp.received_by(ANA), ["one\ntwo"]);
    Ok(())
}

/// Seed 000: "if Redis is unavailable, messages execute immediately".
#[tokio::test]
async fn without_redis_messages_execute_at_once_one_by_one_and_buffering_resumes() -> Story {
    let mut app = system().start().await?;
    let model = Model::start();
    model.fail_always(Fault::Delay(Duration::from_millis(300)));
    // Nobody would live to see the end of this window.
    let agent = thinker(&app, &model).await?;
    let whatsapp = WhatsApp::connect(&app, &agent, window(60_000)).await?;
    app.redis().stop()?;
    for text in ["one", "two", "three"] {
        whatsapp.say(ANA, text).await?;
    }
    wait_for("the answers", SOON, async || {
        let answered = whatsapp.received_by(ANA).join("\n");
        (answered == "one\ntwo\nthree").then_some(())
    })
    .await?;
    for pair in model.received().windows(2) {
        assert!(pair[1].at >= answered_at(&pair[0])?, "never two at a time");
    }

    app.redis().cont()?;
    buffers_again(&app).await?;
    let gathering = app.management().create_trigger(&agent, "Chat", &chat()).await?;
    for text in ["four", "five", "six"] {
        let answer = app.post_webhook(&gathering.id, &json!({"text": text, "user": "bob"})).await?;
        assert_eq!(answer.status(), 202);
    }
    let details = ended(&app, &gathering.id, 1).await?;
    assert_eq!(texts(&details[0]), ["four", "five", "six"], "they were gathered again");
    Ok(app.finish().await?)
}

/// Bursts of a second and a half become one execution.
fn chat() -> Value {
    json!({
        "auth": {"type": "none"},
        "query_extraction": {"mode": "field", "field": "text"},
        "session_strategy": {"mode": "derive", "fields": ["user"]},
        "execution": {"mode": "async", "message_buffer": {"enabled": true, "window_ms": 1_500}},
    })
}

/// Waits until buffer says that it uses Redis again.
async fn buffers_again(app: &TestApp) -> anyhow::Result<()> {
    wait_for("Redis to be used again", SOON, async || {
        let log = app.whole_log(Role::Buffer, 0).ok()?;
        log.contains("Redis is available again").then_some(())
    })
    .await
}
