//! Calls that wait for a person.

use recado_testkit::app::Role;
use recado_testkit::mcp::McpStub;
use recado_testkit::model::Turn;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use reqwest::Method;
use serde_json::json;

use super::listener::{Listener, firsts, kinds};
use super::{Desk, act, change_agent, decide, detail, let_pass, restart_all, tool_calls, until};
use crate::support::{SOON, Story, system};

#[tokio::test]
async fn a_call_waits_through_everything_and_is_made_once_it_is_approved() -> Story {
    // With one slot: who waits for a person takes none.
    let mut app = system().env("RECADO_RUNNER_SLOTS", "1").start().await?;
    let (desk, listener) = (Desk::open(&app, json!("always")).await?, Listener::start(&app).await?);
    desk.book_when_told();
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    assert_eq!(tool_calls(&waiting, "status"), ["waiting_for_approval"]);
    let listed = app.management().get("/api/tool-calls?status=waiting_for_approval").await?;
    assert_eq!(listed["data"][0]["id"], waiting["tool_calls"][0]["id"]);
    assert_eq!(listed["data"][0]["tool_input"], json!({"amount": 5}));

    let bob = desk.ask(&app, "Bob", "hello").await?;
    until(&app, &bob.execution, "success").await?;
    restart_all(&mut app).await?;
    assert_eq!(desk.tool.count(), 0, "nobody has approved it");

    // By the ids that the event has, as a listener would.
    let asked = listener.n_heard(&ana.execution, 3).await?.remove(2);
    assert_eq!(asked.kind(), "tool_approval_requested");
    let objective = asked.body["payload"]["data"]["objective"]["id"].as_str().unwrap_or_default();
    let call = asked.what()["toolCallId"].as_str().unwrap_or_default();
    let path = format!("/v1/objectives/{objective}/tool_calls/{call}/approve");
    for _ in 0..2 {
        let approved = act(&app, Method::PUT, &path, Some(json!({}))).await?;
        assert_eq!(approved.status, 200, "twice is as good as once: {approved:?}");
        assert_eq!(approved.json()?["status"], "TOOL_CALL_STATUS_APPROVED");
    }
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(ended["execution"]["agent_response"], r#"It says {"booked":true}"#);
    assert_eq!(ended["execution"]["attempt_count"], 1, "waiting is no attempt");
    let calls = desk.tool.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body, Some(json!({"amount": 5})));
    assert!(calls[0].idempotency_key.is_some());
    let told = listener.n_heard(&ana.execution, 7).await?;
    assert_eq!(
        kinds(&told),
        [
            "user_message",
            "assistant_message",
            "tool_approval_requested",
            "tool_approved",
            "tool_called",
            "tool_result",
            "assistant_message",
        ]
    );
    Ok(app.finish().await?)
}

#[tokio::test]
async fn the_model_is_told_why_a_call_was_denied() -> Story {
    let app = system().start().await?;
    let (desk, listener) = (Desk::open(&app, json!("always")).await?, Listener::start(&app).await?);
    desk.book_when_told();
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    let call = tool_calls(&waiting, "id")[0];
    let path = format!("/api/executions/{}/tool-calls/{call}", ana.execution);
    let memo = json!({"memo": "Not before the audit."});
    let denied = act(&app, Method::PUT, &format!("{path}/deny"), Some(memo.clone())).await?;
    assert_eq!((denied.status, &denied.json()?["data"]["memo"]), (200, &memo["memo"]));
    let ended = until(&app, &ana.execution, "success").await?;
    let response = ended["execution"]["agent_response"].as_str().unwrap_or_default();
    assert!(response.contains("Not before the audit."), "{response}");
    assert_eq!(tool_calls(&ended, "status"), ["denied"]);
    assert_eq!(tool_calls(&ended, "decided_by"), ["test"]);
    assert_eq!(desk.tool.count(), 0);

    let late = act(&app, Method::PUT, &format!("{path}/approve"), None).await?;
    assert_eq!((late.status, late.error().as_str()), (409, "tool_call_decided"));
    let told = listener.n_heard(&ana.execution, 5).await?;
    let expected = [
        "user_message",
        "assistant_message",
        "tool_approval_requested",
        "tool_denied",
        "assistant_message",
    ];
    assert_eq!(kinds(&told), expected);
    assert_eq!(told[3].what()["memo"], memo["memo"]);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn an_approval_that_does_not_come_in_time_is_a_denial() -> Story {
    let app = system().start().await?;
    let agent = json!({"approval": {"expires_after_ms": 1_000}});
    let desk = Desk::open_with(&app, json!("always"), agent, json!({})).await?;
    desk.book_when_told();
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    let ended = wait_for("the end without anybody", SOON, async || {
        let detail = detail(&app, &ana.execution).await.ok()?;
        (detail["execution"]["status"] == "success").then_some(detail)
    })
    .await?;
    let response = ended["execution"]["agent_response"].as_str().unwrap_or_default();
    assert!(response.contains("the approval expired"), "{response}");
    assert_eq!(tool_calls(&ended, "decided_by"), ["expiry"]);
    assert_eq!(desk.tool.count(), 0);
    let call = tool_calls(&ended, "id")[0];
    let path = format!("/api/executions/{}/tool-calls/{call}/approve", ana.execution);
    let late = act(&app, Method::PUT, &path, None).await?;
    assert_eq!((late.status, late.error().as_str()), (409, "approval_expired"));
    Ok(app.finish().await?)
}

#[tokio::test]
async fn only_calls_that_the_rule_means_wait() -> Story {
    let app = system().start().await?;
    let desk = Desk::open(&app, json!({"when": "amount > `100`"})).await?;
    desk.model.respond_with(|chat| match chat.turn() {
        0 => Turn::call("book", &json!({"amount": 500})).and_call("book", &json!({"amount": 5})),
        _ => Turn::say(chat.results().join(", ")),
    });
    let ana = desk.ask(&app, "Ana", "both").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    assert_eq!(tool_calls(&waiting, "status"), ["waiting_for_approval", "success"]);
    let amounts = || desk.tool.calls().into_iter().filter_map(|call| call.body).collect::<Vec<_>>();
    assert_eq!(amounts(), [json!({"amount": 5})]);
    assert_eq!(desk.model.count(), 1, "the turn is not over");
    decide(&app, &ana.execution, tool_calls(&waiting, "id")[0], "approve").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(amounts(), [json!({"amount": 5}), json!({"amount": 500})]);
    assert_eq!(tool_calls(&ended, "status"), ["success", "success"]);
    Ok(app.finish().await?)
}

/// A person may think for days; the agent has its seconds for itself.
#[tokio::test]
async fn what_waits_for_a_person_loses_no_time() -> Story {
    let app = system().start().await?;
    let trigger = json!({"execution": {"timeout_ms": 10_000}});
    let desk = Desk::open_with(&app, json!("always"), json!({}), trigger).await?;
    desk.book_when_told();
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    let_pass(&app, "10 minutes").await?;
    decide(&app, &ana.execution, tool_calls(&waiting, "id")[0], "approve").await?;
    until(&app, &ana.execution, "success").await?;
    assert_eq!(desk.tool.count(), 1);
    Ok(app.finish().await?)
}

/// What was decided first need not wait for what is decided later.
#[tokio::test]
async fn of_several_calls_each_is_decided_by_itself() -> Story {
    let app = system().start().await?;
    let (desk, listener) = (Desk::open(&app, json!("always")).await?, Listener::start(&app).await?);
    desk.model.respond_with(|chat| match chat.turn() {
        0 => (1..=3).fold(Turn::default(), |turn, n| turn.and_call("book", &json!({"amount": n}))),
        _ => Turn::say(chat.results().join(" | ")),
    });
    let ana = desk.ask(&app, "Ana", "three").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    let calls = tool_calls(&waiting, "id");
    decide(&app, &ana.execution, calls[2], "approve").await?;
    desk.n_called(1).await?;
    decide(&app, &ana.execution, calls[0], "deny").await?;
    decide(&app, &ana.execution, calls[1], "approve").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(tool_calls(&ended, "status"), ["denied", "success", "success"]);
    let amounts: Vec<_> = desk.tool.calls().into_iter().filter_map(|call| call.body).collect();
    assert_eq!(amounts, [json!({"amount": 3}), json!({"amount": 2})]);
    assert_eq!((desk.model.count(), ended["execution"]["attempt_count"].as_i64()), (2, Some(1)));
    let response = ended["execution"]["agent_response"].as_str().unwrap_or_default();
    let told: Vec<&str> = response.split(" | ").collect();
    assert_eq!(told[1..], [r#"{"booked":true}"#; 2], "in the order in which they were asked for");

    // A decision may be told twice: who takes a turn up tells all that were made in it.
    let told = wait_for("all events", SOON, async || {
        let told = firsts(&listener.heard_of(&ana.execution).await.ok()?);
        (told.last()?.kind() == "assistant_message" && told.len() == 13).then_some(told)
    })
    .await?;
    let of_call = |call: usize| -> Vec<String> {
        let id = &told[2 + call].what()["toolCallId"];
        let of_it = told.iter().filter(|heard| heard.what()["toolCallId"] == *id);
        of_it.map(|heard| heard.kind().to_owned()).collect()
    };
    assert_eq!(of_call(0), ["tool_approval_requested", "tool_denied"]);
    let made = ["tool_approval_requested", "tool_approved", "tool_called", "tool_result"];
    assert_eq!([of_call(1), of_call(2)], [made, made]);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn what_was_approved_is_the_tool_as_it_was() -> Story {
    let app = system().start().await?;
    let desk = Desk::open(&app, json!("always")).await?;
    desk.book_when_told();
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    let agent = app.management().get(&format!("/api/agents/{}", desk.agent)).await?;
    let tool = agent["data"]["tools"][0]["tool"].as_str().unwrap_or_default();
    let tool = format!("/api/tools/{tool}");
    let mut config = app.management().get(&tool).await?["data"]["config"].clone();
    config["url"] = json!(format!("{}/elsewhere", desk.tool.url()));
    app.management().patch(&tool, &json!({"config": config})).await?;
    decide(&app, &ana.execution, tool_calls(&waiting, "id")[0], "approve").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(tool_calls(&ended, "status"), ["error"]);
    let response = ended["execution"]["agent_response"].as_str().unwrap_or_default();
    assert!(response.contains("its tool was changed since"), "{response}");
    assert_eq!(desk.tool.count(), 0);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn an_approved_call_waits_until_its_server_is_back() -> Story {
    let mut app = system().start().await?;
    let server = McpStub::listing(json!([{"name": "look", "inputSchema": {"type": "object"}}]));
    let desk = Desk::open(&app, json!("never")).await?;
    let config = json!({"transport": "streamable_http", "url": server.url()});
    let files = app.management().create_tool("files", "Files.", "mcp", &config).await?;
    let tools = json!({"tools": [{"tool": files, "approval": "always"}]});
    change_agent(&app, &desk.agent, &tools).await?;
    desk.model.respond_with(|chat| match chat.turn() {
        0 => Turn::call("files__look", &json!({})),
        _ => Turn::say(chat.results().join(", ")),
    });
    let ana = desk.ask(&app, "Ana", "look").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    server.fail_always(Fault::Cut);
    // The new one has no connection to it.
    app.restart(Role::AgentRunner, 0).await?;
    let n_requests = server.count();
    decide(&app, &ana.execution, tool_calls(&waiting, "id")[0], "approve").await?;
    wait_for("the server to be asked for", SOON, async || {
        (server.count() > n_requests).then_some(())
    })
    .await?;
    server.heal();
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(tool_calls(&ended, "status"), ["success"]);
    assert_eq!(server.asked("tools/call").len(), 1);
    Ok(app.finish().await?)
}
