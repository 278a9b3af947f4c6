//! Tenants who wait for the same runner.

use std::time::Duration;

use futures_util::future::try_join_all;
use recado_testkit::app::{Management, TestApp};
use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::{Value, json};

use super::{Desk, count};
use crate::support::{SOON, Story, answered_at, system};

/// A trigger without authentication of an agent that takes 200 ms for an answer.
async fn slow_trigger(management: &Management) -> anyhow::Result<String> {
    let agent = management.create_agent("Slow", "builtin.script", "wait: 200\nsay: done").await?;
    let config = json!({
        "auth": {"type": "none"},
        "query_extraction": {"mode": "field", "field": "question"},
        "session_strategy": {"mode": "derive", "fields": ["user"]},
        "execution": {"mode": "async"},
    });
    Ok(management.create_trigger(&agent, "Slow", &config).await?.id)
}

fn question(user: usize) -> Value {
    json!({"user": format!("user {user}"), "question": "how long?"})
}

async fn post(app: &TestApp, trigger: &str, user: usize) -> anyhow::Result<()> {
    let answer = app.post_webhook(trigger, &question(user)).await?;
    anyhow::ensure!(answer.status().as_u16() == 202, "{answer:?}");
    Ok(())
}

/// Counted, not measured: how many of the others end between admission and end of the one.
#[tokio::test]
async fn one_execution_does_not_wait_for_the_two_hundred_of_somebody_else() -> Story {
    const CROWD: usize = 200;
    /// Two end to make room, two are beside it; and as many once more.
    const MOST: i64 = 8;
    let app = system().env("RECADO_RUNNER_SLOTS", "2").start().await?;
    let crowd = slow_trigger(app.management()).await?;
    let other = app.another_tenant().await?;
    let alone = slow_trigger(&other).await?;
    for users in (0..CROWD).collect::<Vec<_>>().chunks(20) {
        try_join_all(users.iter().map(|user| post(&app, &crowd, *user))).await?;
    }
    let waiting = "SELECT count(*) FROM executions WHERE status = 'queued'";
    wait_for("a crowd", SOON, async || {
        let n_waiting = count(&app, waiting).await.ok()?;
        (n_waiting > 100).then_some(())
    })
    .await?;
    post(&app, &alone, 0).await?;
    let ended = format!(
        "SELECT count(*) FROM executions WHERE trigger_id = '{alone}' AND status = 'success'"
    );
    wait_for("the one", SOON, async || (count(&app, &ended).await.ok()? == 1).then_some(()))
        .await?;
    let overtaken = format!(
        "SELECT count(*) FROM executions crowd, executions alone
          WHERE crowd.trigger_id = '{crowd}' AND alone.trigger_id = '{alone}'
            AND crowd.finished_at BETWEEN alone.created_at AND alone.finished_at"
    );
    let n_overtaken = count(&app, &overtaken).await?;
    assert!(n_overtaken <= MOST, "{n_overtaken} of the crowd ended before");
    assert!(count(&app, waiting).await? > 0, "they still wait");

    // Enough was seen.
    let enough = "UPDATE executions SET cancel_requested_at = now() WHERE finished_at IS NULL";
    recado_testkit::sql::execute(&app.database_url(), enough).await?;
    Ok(app.finish().await?)
}

#[tokio::test]
async fn nobody_has_more_slots_than_a_tenant_may() -> Story {
    let app = system()
        .env("RECADO_RUNNER_SLOTS", "8")
        .env("RECADO_RUNNER_TENANT_SLOTS", "2")
        .start()
        .await?;
    let desk = Desk::open(&app, json!("never")).await?;
    desk.model.fail_always(Fault::Delay(Duration::from_millis(300)));
    for user in 0..6 {
        desk.ask(&app, &format!("user {user}"), "hello").await?;
    }
    wait_for("six answers", SOON, async || {
        let answered = desk.model.received().iter().filter(|asked| asked.succeeded()).count();
        (answered == 6).then_some(())
    })
    .await?;
    assert!(most_at_once(&desk.model)? <= 2);
    Ok(app.finish().await?)
}

/// How many questions a model had before it at a time, at the most.
fn most_at_once(model: &Model) -> anyhow::Result<usize> {
    let received = model.received();
    let spans = received.iter().map(|asked| Ok((asked.at, answered_at(asked)?)));
    let spans: Vec<(Duration, Duration)> = spans.collect::<anyhow::Result<_>>()?;
    let at_once = |at| spans.iter().filter(|(from, to)| *from <= at && at < *to).count();
    Ok(spans.iter().map(|(from, _)| at_once(*from)).max().unwrap_or_default())
}
