//! Executions that are told to end.

use recado_testkit::app::TestApp;
use recado_testkit::model::Turn;
use recado_testkit::stub::Fault;
use reqwest::Method;
use serde_json::{Value, json};

use super::listener::{Listener, kinds};
use super::{Desk, act, cancel, count, tool_calls, until};
use crate::support::{Story, system};

/// How long an execution took to end after somebody wanted it to, at the most; by the same clock.
async fn slowest_end_ms(app: &TestApp) -> anyhow::Result<i64> {
    let query = "SELECT max(extract(epoch FROM finished_at - cancel_requested_at) * 1000)::bigint
                   FROM executions WHERE cancel_requested_at IS NOT NULL";
    count(app, query).await
}

fn assert_cancelled(detail: &Value) {
    let execution = &detail["execution"];
    assert_eq!(execution["status"], "cancelled", "{execution:#}");
    assert_eq!(execution["error_code"], "cancelled");
    assert!(!execution["cancel_requested_at"].is_null());
    assert_eq!(detail["deliveries"], json!([]));
}

#[tokio::test]
async fn what_runs_and_what_is_queued_behind_it_end_within_moments() -> Story {
    let app = system().start().await?;
    let (desk, listener) = (Desk::open(&app, json!("never")).await?, Listener::start(&app).await?);
    desk.model.fail_always(Fault::Hang);
    let running = desk.ask(&app, "Ana", "one").await?;
    desk.n_asked(1).await?;
    let queued = desk.ask(&app, "Ana", "two").await?;
    until(&app, &queued.execution, "queued").await?;
    for asked in [&queued, &running] {
        cancel(&app, &asked.execution).await?;
    }
    for asked in [&running, &queued] {
        assert_cancelled(&until(&app, &asked.execution, "cancelled").await?);
    }
    assert!(slowest_end_ms(&app).await? < 2_000);
    assert_eq!(desk.model.count(), 1, "what was queued has never run");
    let told = listener.n_heard(&running.execution, 2).await?;
    assert_eq!(kinds(&told), ["user_message", "error"]);
    assert_eq!(told[1].what()["type"], "cancelled");

    // Twice is as good as once; the session goes on, and remembers nothing of it.
    cancel(&app, &running.execution).await?;
    desk.model.heal();
    let next = desk.ask(&app, "Ana", "three").await?;
    until(&app, &next.execution, "success").await?;
    let last = desk.last_chat()?;
    assert_eq!(super::said(&last), [("user", "three")]);
    let path = format!("/api/executions/{}/cancel", next.execution);
    let late = act(&app, Method::POST, &path, None).await?;
    assert_eq!((late.status, late.error().as_str()), (409, "execution_ended"));
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_tool_that_hangs_is_no_reason_to_wait() -> Story {
    let app = system().start().await?;
    let desk = Desk::open(&app, json!("never")).await?;
    desk.book_when_told();
    desk.tool.fail_always(Fault::Hang);
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    desk.n_called(1).await?;
    cancel(&app, &ana.execution).await?;
    assert_cancelled(&until(&app, &ana.execution, "cancelled").await?);
    assert!(slowest_end_ms(&app).await? < 2_000);
    assert_eq!((desk.model.count(), desk.tool.count()), (1, 1));
    Ok(app.finish().await?)
}

#[tokio::test]
async fn what_waits_for_a_person_ends_and_asks_nobody_any_more() -> Story {
    let app = system().start().await?;
    let desk = Desk::open(&app, json!("always")).await?;
    desk.book_when_told();
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    cancel(&app, &ana.execution).await?;
    assert_cancelled(&until(&app, &ana.execution, "cancelled").await?);
    assert!(slowest_end_ms(&app).await? < 2_000);
    let listed = app.management().get("/api/tool-calls").await?;
    assert_eq!(listed["data"], json!([]));
    let call = tool_calls(&waiting, "id")[0];
    let path = format!("/api/executions/{}/tool-calls/{call}/approve", ana.execution);
    let late = act(&app, Method::PUT, &path, None).await?;
    assert_eq!((late.status, late.error().as_str()), (409, "execution_ended"));
    assert_eq!(desk.tool.count(), 0);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn who_waits_for_the_answer_is_told_that_there_is_none() -> Story {
    let app = system().start().await?;
    let trigger = json!({"execution": {"mode": "sync", "timeout_ms": 60_000}});
    let desk = Desk::open_with(&app, json!("never"), json!({}), trigger).await?;
    desk.model.fail_always(Fault::Hang);
    let cancelled = async {
        desk.n_asked(1).await?;
        let listed = app.management().executions(&desk.asker.trigger_id).await?;
        cancel(&app, listed[0]["id"].as_str().unwrap_or_default()).await
    };
    let asked = desk.ask_and_wait(&app, "Ana", "hello?");
    let (answer, ()) = tokio::try_join!(asked, cancelled)?;
    assert_eq!((answer.status, answer.error().as_str()), (500, "execution_failed"), "{answer:?}");
    assert_eq!(answer.json()?["details"]["reason"], "cancelled", "{answer:?}");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn sub_agents_end_with_the_one_they_work_for() -> Story {
    let app = system().start().await?;
    let desk = Desk::open(&app, json!("never")).await?;
    let expert = app.management().create_agent("Expert", "openai.gpt-4.1", "You know.").await?;
    let tool = json!({"agent_id": expert});
    let tool = app.management().create_tool("expert", "Knows.", "agent", &tool).await?;
    super::change_agent(&app, &desk.agent, &json!({"tools": [tool]})).await?;
    desk.model.respond_with(|_| Turn::call("expert", &json!({"input": "What is it?"})));
    desk.model.fail_at(2, Fault::Hang);
    let ana = desk.ask(&app, "Ana", "ask the expert").await?;
    desk.n_asked(2).await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    let child = tool_calls(&waiting, "child_execution_id")[0].to_owned();
    cancel(&app, &ana.execution).await?;
    assert_cancelled(&until(&app, &ana.execution, "cancelled").await?);
    assert_cancelled(&until(&app, &child, "cancelled").await?);
    assert!(slowest_end_ms(&app).await? < 2_000);
    assert_eq!(desk.model.count(), 2, "nobody goes on");
    Ok(app.finish().await?)
}
