//! Agents that ask other agents.

use recado_testkit::app::{Role, TestApp};
use recado_testkit::model::Turn;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::{Value, json};

use super::listener::{Listener, kinds};
use super::{
    Desk, cancel, change_agent, change_session, count, decide, detail, let_pass, tool_calls, until,
};
use crate::support::{SOON, Story, system};

/// A desk whose agent asks an expert whatever it is asked, and says what the expert says. The
/// expert asks the same model, and has the tool.
async fn open(app: &TestApp, approval: Value, trigger: Value) -> anyhow::Result<Desk> {
    let desk = Desk::open_with(app, approval, json!({}), trigger).await?;
    let agent = app.management().get(&format!("/api/agents/{}", desk.agent)).await?;
    let expert = json!({
        "name": "Expert", "model": "openai.gpt-4.1", "system_prompt": "You are the expert.",
        "tools": agent["data"]["tools"],
    });
    let expert = app.management().create_agent_with(&expert).await?;
    hand_over(app, &desk.agent, &expert).await?;
    desk.model.respond_with(|chat| {
        let is_expert = chat.system().starts_with("You are the expert.");
        match (is_expert, chat.turn()) {
            (false, 0) => Turn::call("expert", &json!({"input": chat.input()})),
            (false, _) => Turn::say(format!("The expert: {}", chat.results().join(" "))),
            (true, 0) if chat.input() == "book" => Turn::call("book", &json!({"amount": 7})),
            (true, _) => Turn::say(format!("{} is so. {}", chat.input(), chat.results().join(" "))),
        }
    });
    Ok(desk)
}

/// Gives an agent another one as its only tool.
async fn hand_over(app: &TestApp, agent: &str, expert: &str) -> anyhow::Result<()> {
    let tool = json!({"agent_id": expert});
    let tool = app.management().create_tool("expert", "Knows.", "agent", &tool).await?;
    change_agent(app, agent, &json!({"tools": [tool]})).await
}

/// The execution of the sub-agent that an execution has asked.
async fn child_of(app: &TestApp, detail: &Value) -> anyhow::Result<Value> {
    super::detail(app, tool_calls(detail, "child_execution_id")[0]).await
}

#[tokio::test]
async fn an_agent_asks_another_and_takes_no_room_meanwhile() -> Story {
    // With one slot for both of them.
    let app = system().env("RECADO_RUNNER_SLOTS", "1").start().await?;
    let (desk, listener) =
        (open(&app, json!("never"), json!({})).await?, Listener::start(&app).await?);
    let ana = desk.ask(&app, "Ana", "it").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(ended["execution"]["agent_response"], "The expert: it is so.");
    assert_eq!(tool_calls(&ended, "status"), ["success"]);
    assert_eq!(tool_calls(&ended, "tool_output"), ["it is so."]);
    // What the expert used was used for the one who asked: three calls of 12 and 34 tokens.
    assert_eq!(ended["execution"]["tokens_used"], 3 * 46);

    let child = child_of(&app, &ended).await?;
    let execution = &child["execution"];
    assert_eq!(execution["status"], "success");
    assert_eq!(execution["response_channel"], "sub_agent");
    assert_eq!(execution["normalized_query"], "it");
    assert_eq!(execution["parent_execution_id"], ana.execution.as_str());
    assert_eq!(execution["parent_tool_call_id"], ended["tool_calls"][0]["id"]);
    assert_ne!(execution["session_id"], ana.session.as_str(), "a session of its own");
    assert_eq!(execution["webhook_context"], ended["execution"]["webhook_context"]);
    assert_eq!(child["deliveries"], json!([]));
    assert_eq!(child["session"]["agent_name"], "Expert");

    let told = listener.n_heard(&ana.execution, 6).await?;
    let expected = [
        "user_message",
        "assistant_message",
        "tool_called",
        "sub_objective_created",
        "tool_result",
        "assistant_message",
    ];
    assert_eq!(kinds(&told), expected);
    let id = execution["id"].as_str().unwrap_or_default();
    let told = listener.n_heard(id, 2).await?;
    assert_eq!(kinds(&told), ["user_message", "assistant_message"]);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn an_agent_that_fails_is_told_of_and_not_the_end() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!("never"), json!({})).await?;
    let broken = app.management().create_agent("Broken", "builtin.script", "fail: no").await?;
    let tool = json!({"agent_id": broken});
    let tool = app.management().create_tool("broken", "Fails.", "agent", &tool).await?;
    change_agent(&app, &desk.agent, &json!({"tools": [tool]})).await?;
    desk.model.respond_with(|chat| match chat.turn() {
        0 => Turn::call("broken", &json!({"input": "please"})),
        _ => Turn::say(chat.results().join("")),
    });
    let ana = desk.ask(&app, "Ana", "it").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    let response = ended["execution"]["agent_response"].as_str().unwrap_or_default();
    assert!(response.contains("script_failed"), "{response}");
    assert_eq!(tool_calls(&ended, "status"), ["error"]);
    let child = child_of(&app, &ended).await?;
    assert_eq!(child["execution"]["error_code"], "script_failed");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn agents_that_ask_themselves_come_to_an_end() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!("never"), json!({})).await?;
    hand_over_to_itself(&app, &desk).await?;
    let ana = desk.ask(&app, "Ana", "deeper").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    let response = ended["execution"]["agent_response"].as_str().unwrap_or_default();
    assert!(response.contains("deeper than 3"), "{response}");
    assert_eq!(count(&app, "SELECT count(*) FROM executions").await?, 4);
    assert_eq!(count(&app, "SELECT max(depth)::bigint FROM executions").await?, 3);
    Ok(app.finish().await?)
}

async fn hand_over_to_itself(app: &TestApp, desk: &Desk) -> anyhow::Result<()> {
    let script = "call: myself {\"input\": \"$input\"}\n---\nsay: $1";
    let fields = json!({"model": "builtin.script", "system_prompt": script});
    change_agent(app, &desk.agent, &fields).await?;
    let tool = json!({"agent_id": desk.agent});
    let tool = app.management().create_tool("myself", "Me.", "agent", &tool).await?;
    change_agent(app, &desk.agent, &json!({"tools": [tool]})).await
}

/// The time that a sub-agent waits for a person is nobody's.
#[tokio::test]
async fn a_call_of_a_sub_agent_waits_for_approval_like_any_other() -> Story {
    let app = system().start().await?;
    let trigger = json!({"execution": {"timeout_ms": 10_000}});
    let desk = open(&app, json!("always"), trigger).await?;
    let ana = desk.ask(&app, "Ana", "book").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    let id = tool_calls(&waiting, "child_execution_id")[0].to_owned();
    let child = until(&app, &id, "waiting").await?;
    assert_eq!(desk.tool.count(), 0);
    let_pass(&app, "10 minutes").await?;
    decide(&app, &id, tool_calls(&child, "id")[0], "approve").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    let response = ended["execution"]["agent_response"].as_str().unwrap_or_default();
    assert_eq!(response, r#"The expert: book is so. {"booked":true}"#);
    assert_eq!(desk.tool.count(), 1);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_sub_agent_has_the_time_that_is_left() -> Story {
    let app = system().start().await?;
    let trigger = json!({"execution": {"timeout_ms": 1_500}});
    let desk = open(&app, json!("never"), trigger).await?;
    desk.model.fail_at(2, Fault::Hang);
    let ana = desk.ask(&app, "Ana", "it").await?;
    let ended = until(&app, &ana.execution, "timeout").await?;
    let child = child_of(&app, &ended).await?;
    assert_eq!(child["execution"]["status"], "timeout");
    let took = |detail: &Value| detail["execution"]["execution_time_ms"].as_i64();
    assert!(took(&child) <= took(&ended), "{child:#} {ended:#}");
    assert_eq!(desk.model.count(), 2, "nobody is asked what to make of it");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_runner_that_dies_while_a_sub_agent_works_repeats_nothing() -> Story {
    let mut app = system().start().await?;
    let desk = open(&app, json!("never"), json!({})).await?;
    // The expert's second turn, after its call.
    desk.model.fail_at(3, Fault::Hang);
    let ana = desk.ask(&app, "Ana", "book").await?;
    desk.n_asked(3).await?;
    until(&app, &ana.execution, "waiting").await?;
    app.kill(Role::AgentRunner, 0)?;
    app.restart(Role::AgentRunner, 0).await?;
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(desk.tool.count(), 1);
    assert_eq!(count(&app, "SELECT count(*) FROM executions").await?, 2);
    let asked = desk.model.asked();
    assert_eq!(asked.len(), 5, "two turns of each, one of them twice");
    assert_eq!(asked[2].idempotency_key, asked[3].idempotency_key);
    let child = child_of(&app, &ended).await?;
    assert_eq!(child["execution"]["attempt_count"], 2);
    assert_eq!(detail(&app, &ana.execution).await?["execution"]["attempt_count"], 1);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn an_agent_whose_expert_is_cancelled_goes_on_without() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!("never"), json!({})).await?;
    desk.model.fail_at(2, Fault::Hang);
    let ana = desk.ask(&app, "Ana", "it").await?;
    desk.n_asked(2).await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    cancel(&app, tool_calls(&waiting, "child_execution_id")[0]).await?;
    let ended = until(&app, &ana.execution, "success").await?;
    let response = ended["execution"]["agent_response"].as_str().unwrap_or_default();
    assert_eq!(response, "The expert: the agent gave no answer: cancelled");
    Ok(app.finish().await?)
}

/// Who is suspended has nobody work for them.
#[tokio::test]
async fn a_suspended_session_suspends_its_sub_agents() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!("never"), json!({})).await?;
    desk.model.fail_at(2, Fault::Hang);
    let ana = desk.ask(&app, "Ana", "book").await?;
    desk.n_asked(2).await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    let child = tool_calls(&waiting, "child_execution_id")[0];
    change_session(&app, &ana.session, "suspend").await?;
    until(&app, child, "waiting").await?;
    let paused = "SELECT count(*) FROM executions WHERE paused_at IS NOT NULL";
    let both = async || (count(&app, paused).await.ok()? == 2).then_some(());
    wait_for("both to be paused", SOON, both).await?;
    let_pass(&app, "10 minutes").await?;
    assert_eq!(desk.model.count(), 2);
    change_session(&app, &ana.session, "resume").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(desk.tool.count(), 1);
    assert_eq!(child_of(&app, &ended).await?["execution"]["status"], "success");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn an_agent_that_asks_and_asks_does_not_become_a_crowd() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!("never"), json!({})).await?;
    desk.model.respond_with(|chat| {
        let is_expert = chat.system().starts_with("You are the expert.");
        match (is_expert, chat.turn()) {
            (false, 0) => (1..20).fold(Turn::call("expert", &json!({"input": "0"})), |turn, n| {
                turn.and_call("expert", &json!({"input": n.to_string()}))
            }),
            (false, _) => Turn::say(chat.results().join(";")),
            (true, _) => Turn::say("ok"),
        }
    });
    let ana = desk.ask(&app, "Ana", "all of it").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    let statuses = tool_calls(&ended, "status");
    assert_eq!(statuses.iter().filter(|status| **status == "success").count(), 16);
    assert_eq!(statuses.iter().filter(|status| **status == "error").count(), 4);
    Ok(app.finish().await?)
}
