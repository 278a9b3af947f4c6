//! What those hear who listen to events.

use chrono::DateTime;
use recado_testkit::app::{Role, TestApp};
use recado_testkit::callback::Sink;
use recado_testkit::model::Turn;
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::tool::Tool;
use recado_testkit::{sql, wait_for};
use serde_json::{Value, json};

use super::listener::{Heard, Listener, firsts, kinds};
use super::{Desk, change_agent, count, decide, tool_calls, until};
use crate::support::{SOON, Story, system};

/// An agent with a tool that answers, one that does not, and one that waits for approval.
async fn open(app: &TestApp, more: Value) -> anyhow::Result<(Desk, Tool)> {
    let desk = Desk::open_with(app, json!("always"), more, json!({})).await?;
    let tool = Tool::answering([("/find", json!({"found": 3}))]);
    let mut tools = vec![
        app.management().get(&format!("/api/agents/{}", desk.agent)).await?["data"]["tools"][0]
            .clone(),
    ];
    for name in ["find", "lose"] {
        let config = json!({"method": "GET", "url": format!("{}/{name}", tool.url())});
        let id = app.management().create_tool(name, "Looks.", "http", &config).await?;
        tools.push(json!(id));
    }
    change_agent(app, &desk.agent, &json!({"tools": tools})).await?;
    desk.model.respond_with(|chat| match chat.turn() {
        0 => Turn::call("find", &json!({})).and_call("lose", &json!({})),
        1 => Turn { text: "Now I book it.".into(), ..Turn::call("book", &json!({"amount": 5})) },
        _ => Turn::say("Done."),
    });
    Ok((desk, tool))
}

const WHOLE_STORY: [&str; 12] = [
    "user_message",
    "assistant_message",
    "tool_called",
    "tool_called",
    "tool_result",
    "tool_error",
    "assistant_message",
    "tool_approval_requested",
    "tool_approved",
    "tool_called",
    "tool_result",
    "assistant_message",
];

/// Whether a value has the fields of another one, all the way down; labels are anything.
fn assert_same_shape(value: &Value, example: &Value, path: &str) {
    match (value, example) {
        // A tool or an agent: whichever it is, it says so.
        (Value::Object(_), Value::Object(_)) if path.ends_with("[].tool") => {
            assert!(value["type"] == "tool" && value["tool"]["id"].is_string(), "{path}: {value}");
        }
        (Value::Object(_), Value::Object(_)) if path.ends_with("labels") => {}
        (Value::Object(fields), Value::Object(examples)) => {
            let names: Vec<&String> = fields.keys().collect();
            assert_eq!(names, examples.keys().collect::<Vec<_>>(), "{path}");
            for (name, field) in fields {
                assert_same_shape(field, &examples[name], &format!("{path}.{name}"));
            }
        }
        (Value::Array(items), Value::Array(examples)) => {
            for (item, example) in items.iter().zip(examples) {
                assert_same_shape(item, example, &format!("{path}[]"));
            }
        }
        _ => assert_eq!(
            std::mem::discriminant(value),
            std::mem::discriminant(example),
            "{path}: {value}"
        ),
    }
}

/// The example of the documentation, which follows seed 002.
fn example(kind: &str) -> anyhow::Result<Value> {
    let path = format!("{}/../../docs/events/{kind}.json", env!("CARGO_MANIFEST_DIR"));
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn assert_is_documented(heard: &Heard) -> anyhow::Result<()> {
    let payload = &heard.body["payload"];
    assert_eq!(heard.routing_key, format!("objective_event.{}", heard.kind()));
    assert_eq!(payload["type"], heard.routing_key.as_str());
    assert_eq!(heard.body["event_id"], heard.message_id.as_str());
    assert_eq!(payload["timestamp"], payload["data"]["objectiveEvent"]["metadata"]["createdAt"]);
    assert_same_shape(payload, &example(heard.kind())?, heard.kind());
    Ok(())
}

#[tokio::test]
async fn a_run_is_told_step_by_step_in_the_form_of_the_seed() -> Story {
    let app = system().start().await?;
    let (desk, _tool) = open(&app, json!({"labels": {"team": "books"}})).await?;
    let listener = Listener::start(&app).await?;
    let ana = desk.ask(&app, "Ana", "find and book").await?;
    let waiting = until(&app, &ana.execution, "waiting").await?;
    decide(&app, &ana.execution, tool_calls(&waiting, "id")[2], "approve").await?;
    until(&app, &ana.execution, "success").await?;
    let told = listener.n_heard(&ana.execution, WHOLE_STORY.len()).await?;
    assert_eq!(kinds(&told), WHOLE_STORY);
    assert_eq!(firsts(&told).len(), told.len(), "each has an id of its own");
    for heard in &told {
        assert_is_documented(heard)?;
        assert_eq!(heard.body["payload"]["data"]["agent"]["labels"], json!({"team": "books"}));
    }
    // Not as texts: those have as many digits as it takes.
    let occurred_at = |heard: &Heard| {
        let time = heard.body["occurred_at"].as_str().unwrap_or_default();
        DateTime::parse_from_rfc3339(time).ok()
    };
    assert!(told.iter().all(|heard| occurred_at(heard).is_some()));
    let mut times: Vec<_> = told.iter().map(occurred_at).collect();
    // Of two calls that are made side by side, the second may be answered first.
    times[4..6].sort();
    assert!(times.is_sorted());
    assert_eq!(told[0].what()["content"], "find and book");
    assert_eq!(told[6].what()["content"], "Now I book it.");
    // The calls are named where they are asked for, and from then on by their ids.
    let asked = |n: usize, place: usize| &told[n].what()["toolCalls"][place]["toolCallId"];
    let call = |n: usize| &told[n].what()["toolCallId"];
    assert_eq!([call(2), call(3)], [asked(1, 0), asked(1, 1)]);
    assert_eq!([call(4), call(5)], [asked(1, 0), asked(1, 1)]);
    for n in 7..=10 {
        assert_eq!(call(n), asked(6, 0));
    }
    Ok(app.finish().await?)
}

#[tokio::test]
async fn after_a_crash_events_may_come_again_and_are_the_same() -> Story {
    let mut app = system().start().await?;
    let (desk, tool) = open(&app, json!({})).await?;
    let listener = Listener::start(&app).await?;
    desk.model.respond_with(|chat| match chat.turn() {
        0 => Turn::call("find", &json!({})),
        1 => Turn::call("lose", &json!({})),
        _ => Turn::say("Done."),
    });
    tool.fail_at(2, Fault::Hang);
    let ana = desk.ask(&app, "Ana", "find").await?;
    listener.n_heard(&ana.execution, 6).await?;
    wait_for("the second call", SOON, async || (tool.count() == 2).then_some(())).await?;
    app.kill(Role::AgentRunner, 0)?;
    app.restart(Role::AgentRunner, 0).await?;
    until(&app, &ana.execution, "success").await?;
    let whole = [
        "user_message",
        "assistant_message",
        "tool_called",
        "tool_result",
        "assistant_message",
        "tool_called",
        "tool_error",
        "assistant_message",
    ];
    let told = wait_for("all events", SOON, async || {
        let told = listener.heard_of(&ana.execution).await.ok()?;
        (firsts(&told).len() == whole.len()).then_some(told)
    })
    .await?;
    let first = firsts(&told);
    assert_eq!(kinds(&first), whole);
    for heard in &told {
        let same = first.iter().find(|first| first.message_id == heard.message_id);
        assert_eq!(same.map(|same| &same.body), Some(&heard.body), "the same in every word");
    }
    let mut n_calls: Vec<usize> = tool.calls_by_key().into_values().collect();
    n_calls.sort_unstable();
    assert_eq!(n_calls, [1, 2], "the one that had ended was not made again");
    Ok(app.finish().await?)
}

/// As a runner leaves it that dies after it has written down the end, and before it has told.
#[tokio::test]
async fn what_a_dead_runner_did_not_tell_is_told_by_the_next() -> Story {
    let mut app = system().start().await?;
    let sink = Sink::start();
    let endpoint = json!({"name": "events", "url": sink.url()});
    app.management().make_event_endpoint(&endpoint).await?;
    let (desk, _tool) = open(&app, json!({})).await?;
    let listener = Listener::start(&app).await?;
    desk.model.respond_with(|chat| match chat.turn() {
        0 => Turn::call("find", &json!({})),
        _ => Turn::say("Done."),
    });
    let good = desk.ask(&app, "Ana", "find").await?;
    until(&app, &good.execution, "success").await?;
    desk.model.fail_next(1, &Fault::Answer(Reply::json(401, &json!({"error": "who are you?"}))));
    let bad = desk.ask(&app, "Bob", "find").await?;
    until(&app, &bad.execution, "failed").await?;
    let told =
        [listener.n_heard(&good.execution, 5).await?, listener.n_heard(&bad.execution, 2).await?];
    assert_eq!(kinds(&told[1]), ["user_message", "error"]);
    let due = "SELECT count(*) FROM executions WHERE events_due";
    let none_due = async || (count(&app, due).await.ok()? == 0).then_some(());
    wait_for("all to be known as told", SOON, none_due).await?;

    app.kill(Role::AgentRunner, 0)?;
    let died = "UPDATE executions SET events_due = true,
                       finished_at = finished_at - interval '2 minutes',
                       started_at = started_at - interval '2 minutes'";
    sql::execute(&app.database_url(), died).await?;
    app.restart(Role::AgentRunner, 0).await?;
    for (asked, told) in [&good, &bad].into_iter().zip(&told) {
        let twice = listener.n_heard(&asked.execution, 2 * told.len()).await?;
        let again: Vec<&str> =
            twice[told.len()..].iter().map(|heard| heard.message_id.as_str()).collect();
        let before: Vec<&str> = told.iter().map(|heard| heard.message_id.as_str()).collect();
        assert_eq!(again, before);
        assert!(told[0].body["endpoint"] == json!(true));
    }
    let none_due = async || (count(&app, due).await.ok()? == 0).then_some(());
    wait_for("all to be known as told", SOON, none_due).await?;
    Ok(app.finish().await?)
}
