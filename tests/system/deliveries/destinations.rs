//! A destination that is dead: others do not notice, and what waits for it arrives when it is back.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use recado_testkit::app::TestApp;
use recado_testkit::callback::Sink;
use recado_testkit::stub::{Fault, Received};
use recado_testkit::wait_for;
use serde_json::{Value, json};

use super::Line;
use crate::support::{SOON, Story, system};

const SESSIONS: usize = 60;
const EACH: usize = 5;
/// What a message takes that has nothing to wait for, on a machine that is busy.
const PROMPT: Duration = Duration::from_secs(8);
/// With how many deliveries at a time a destination starts, and some that may be given out between
/// the fifth failure and the moment when everybody knows of it.
const MAX_ASKED: usize = 16 + 16;

/// Every session's messages, each after the one before it, all sessions at once.
async fn write_all(app: &TestApp, line: &Line) -> anyhow::Result<()> {
    let session = async |who: usize| {
        for n in 0..EACH {
            line.say(app, &format!("s{who}"), &n.to_string()).await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..SESSIONS).map(session)).await.map(drop)
}

/// Who was told what, in order: the requests that were answered.
fn arrived(sink: &Sink) -> Vec<(String, String)> {
    let told = |received: &Received| {
        let body = received.json()?;
        Some((body["to"].as_str()?.to_owned(), body["text"].as_str()?.to_owned()))
    };
    sink.received().iter().filter(|received| received.succeeded()).filter_map(told).collect()
}

impl Line {
    async fn destination(&self) -> anyhow::Result<Value> {
        let path = format!("/api/destinations/{}", self.trigger);
        Ok(self.management.get(&path).await?["data"].take())
    }

    async fn until_state(&self, state: &str) -> anyhow::Result<Value> {
        wait_for(&format!("the destination to be {state}"), SOON, async || {
            let destination = self.destination().await.ok()?;
            (destination["state"] == state).then_some(destination)
        })
        .await
    }

    async fn until_waiting(&self, n: usize) -> anyhow::Result<Value> {
        wait_for(&format!("{n} deliveries that wait"), SOON, async || {
            let destination = self.destination().await.ok()?;
            (destination["deliveries_waiting"] == n).then_some(destination)
        })
        .await
    }
}

#[tokio::test]
async fn a_dead_destination_delays_nobody_and_gets_everything_when_it_is_back() -> Story {
    let app = system().start().await?;
    let (dead, alive, elsewhere) = (Sink::start(), Sink::start(), Sink::start());
    dead.fail_always(Fault::Hang);
    let patient = json!({"max_attempts": 10, "initial_delay_ms": 100, "max_delay_ms": 200});
    let to_dead = Line::open(&app, &json!({"url": dead.url(), "retry": patient})).await?;
    let to_alive = Line::open(&app, &json!({"url": alive.url()})).await?;
    let another = app.another_tenant().await?;
    let to_elsewhere =
        Line::open_for(&another, &json!({"url": elsewhere.url()}), &Value::Null).await?;

    write_all(&app, &to_dead).await?;
    let neighbours = [&to_alive, &to_elsewhere];
    are_prompt(&app, &neighbours).await?;
    to_dead.until_state("open").await?;
    let waiting = to_dead.until_waiting(SESSIONS * EACH).await?;
    are_prompt(&app, &neighbours).await?;

    assert_eq!(waiting["error_code"], "timeout", "{waiting}");
    assert!(waiting["error_message"].as_str().is_some_and(|it| !it.is_empty()), "{waiting}");
    assert!(waiting["failure_count"].as_i64() >= Some(5), "{waiting}");
    let listed = app.management().get("/api/destinations").await?;
    assert_eq!(listed["data"][0]["trigger_id"], to_dead.trigger, "{listed}");
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    let theirs = another.get("/api/destinations").await?;
    assert_eq!(theirs["data"], json!([]), "another tenant's are nobody else's to see");
    assert_eq!(to_dead.n_deliveries("failed").await?, 0, "nothing fails because of it");
    assert!(dead.count() <= MAX_ASKED, "it was asked {} times", dead.count());

    dead.heal();
    // It would be found by itself within seconds; somebody who knows does not wait.
    let probe = format!("/api/destinations/{}/probe", to_dead.trigger);
    app.management().post(&probe, &json!({})).await?;
    wait_for("everything that waited", SOON, async || {
        (arrived(&dead).len() >= SESSIONS * EACH).then_some(())
    })
    .await?;
    to_dead.until_state("closed").await?;
    to_dead.until_waiting(0).await?;
    assert_eq!(to_dead.n_deliveries("failed").await?, 0);
    app.finish().await?;

    let arrived = arrived(&dead);
    assert_eq!(arrived.len(), SESSIONS * EACH, "none twice");
    for who in 0..SESSIONS {
        let who = format!("s{who}");
        let told = arrived.iter().filter(|(to, _)| *to == who).map(|(_, text)| text.as_str());
        assert_eq!(told.collect::<Vec<_>>(), ["0", "1", "2", "3", "4"], "{who}");
    }
    Ok(())
}

async fn are_prompt(app: &TestApp, lines: &[&Line]) -> anyhow::Result<()> {
    for line in lines {
        let took = line.round_trip(app, "bob").await?;
        ensure!(took < PROMPT, "a neighbour waited for {took:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_destination_that_comes_back_is_found_without_anybody_asking() -> Story {
    let app = system().start().await?;
    let sink = Sink::start();
    sink.fail_next(5, &Fault::Cut);
    let retry = json!({"max_attempts": 10, "initial_delay_ms": 100, "max_delay_ms": 200});
    let line = Line::open(&app, &json!({"url": sink.url(), "retry": retry})).await?;
    let execution = line.say(&app, "ana", "hello").await?;
    let open = line.until_state("open").await?;
    assert_eq!(open["error_code"], "connection_failed", "{open}");
    let outcome = line.outcome(&execution).await?;
    assert_eq!(outcome["status"], "delivered", "{outcome}");
    assert_eq!(outcome["attempt_count"], 6, "{outcome}");
    line.until_state("closed").await?;
    assert_eq!(sink.count(), 6);
    Ok(app.finish().await?)
}
