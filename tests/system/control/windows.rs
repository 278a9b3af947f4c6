//! Conversations that outgrow what a model can read.

use recado_testkit::app::Role;
use recado_testkit::model::{Chat, Turn};
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::tool::Tool;
use serde_json::{Value, json};

use super::listener::{Listener, firsts, kinds};
use super::{Desk, change_agent, detail, said, until};
use crate::support::{Story, system};

/// Some 400 tokens, which begin with `name`.
fn long(name: &str) -> String {
    format!("{name}: {}", "The contract has a clause about it. ".repeat(50))
}

fn is_summary(chat: &Chat) -> bool {
    chat.system().starts_with("You keep the notes")
}

/// Whether anything that is said, the prompt included, has `text`.
fn mentions(chat: &Chat, text: &str) -> bool {
    chat.messages
        .iter()
        .any(|message| message.content.as_deref().is_some_and(|content| content.contains(text)))
}

fn window(max_tokens: u32, keep_turns: u32) -> Value {
    json!({"context_window": {"max_tokens": max_tokens, "keep_turns": keep_turns}})
}

/// The windows that an execution began.
fn windows(detail: &Value) -> &[Value] {
    detail["context_windows"].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[tokio::test]
async fn old_exchanges_are_told_by_a_summary() -> Story {
    let app = system().start().await?;
    let desk = Desk::open_with(&app, json!("never"), window(1_500, 1), json!({})).await?;
    let listener = Listener::start(&app).await?;
    desk.model.respond_with(|chat| {
        Turn::say(if is_summary(chat) { "NOTES of it".to_owned() } else { "Noted.".to_owned() })
    });
    let mut compacted = None;
    for name in ["first", "second", "third", "fourth"] {
        let asked = desk.ask(&app, "Ana", &long(name)).await?;
        let ended = until(&app, &asked.execution, "success").await?;
        if !windows(&ended).is_empty() && compacted.is_none() {
            compacted = Some(ended);
        }
    }
    let Some(compacted) = compacted else { panic!("four times 400 tokens are more than 1,500") };
    let [begun] = windows(&compacted) else { panic!("one window: {compacted:#}") };
    assert_eq!((&begun["sequence"], &begun["summary"]), (&json!(2), &json!("NOTES of it")));
    assert_eq!(begun["strategies"], json!(["summarize"]));
    let calls = compacted["llm_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let purposes: Vec<&Value> = calls.iter().map(|call| &call["purpose"]).collect();
    assert_eq!(purposes, ["summary", "turn"]);
    assert_eq!(
        (&calls[0]["window_sequence"], &calls[1]["window_sequence"]),
        (&json!(1), &json!(2))
    );

    let asked = desk.model.asked();
    let Some(summary) = asked.iter().position(|asked| is_summary(&asked.chat)) else {
        panic!("nobody made the notes");
    };
    assert!(mentions(&asked[summary].chat, "first: The contract"), "it is told what was said");
    for later in asked[summary + 1..].iter().filter(|asked| !is_summary(&asked.chat)) {
        assert!(later.chat.system().contains("NOTES of it"), "{}", later.chat.system());
        assert!(!mentions(&later.chat, "first: The contract"), "it is in the notes");
    }
    let id = compacted["execution"]["id"].as_str().unwrap_or_default();
    let told = listener.n_heard(id, 3).await?;
    assert_eq!(kinds(&told), ["user_message", "context_window_compacted", "assistant_message"]);
    assert_eq!(told[1].what()["newContextWindow"]["sequence"], 2);
    assert_eq!(told[1].what()["summary"], "NOTES of it");
    let window_of =
        |n: usize| &told[n].body["payload"]["data"]["objectiveEvent"]["contextWindowId"];
    assert_ne!(window_of(0), window_of(2), "what follows is in the next window");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn outputs_of_earlier_calls_are_left_out_first() -> Story {
    let app = system().start().await?;
    let desk = Desk::open_with(&app, json!("never"), window(1_000, 1), json!({})).await?;
    let pages = Tool::answering([("/book", json!({"page": long("page")}))]);
    let config = json!({"method": "POST", "url": format!("{}/book", pages.url())});
    let read = app.management().create_tool("read", "Reads on.", "http", &config).await?;
    change_agent(&app, &desk.agent, &json!({"tools": [read]})).await?;
    desk.model.respond_with(|chat| match chat.turn() {
        0..3 => Turn::call("read", &json!({})),
        _ => Turn::say("I have read it."),
    });
    let ana = desk.ask(&app, "Ana", "read").await?;
    let ended = until(&app, &ana.execution, "success").await?;
    assert_eq!(pages.count(), 3);
    for begun in windows(&ended) {
        assert_eq!(begun["strategies"], json!(["drop_tool_output"]));
    }
    assert!(!windows(&ended).is_empty());
    let last = desk.last_chat()?;
    let outputs = said(&last).into_iter().filter(|(role, _)| *role == "tool");
    let is_there: Vec<bool> = outputs.map(|(_, output)| output.contains("contract")).collect();
    assert_eq!(is_there, [false, false, true], "the newest is what the answer is made of");
    assert!(ended["tool_calls"][0]["tool_output"].as_str().is_some_and(|out| out.len() > 1_000));
    Ok(app.finish().await?)
}

/// The settings of the agent may say more than its model can read.
#[tokio::test]
async fn a_model_that_finds_it_too_long_is_asked_less() -> Story {
    let app = system().start().await?;
    let desk = Desk::open_with(&app, json!("never"), window(32_000, 4), json!({})).await?;
    desk.model.respond_with(|chat| Turn::say(if is_summary(chat) { "NOTES" } else { "Noted." }));
    for name in ["first", "second"] {
        let asked = desk.ask(&app, "Ana", &long(name)).await?;
        until(&app, &asked.execution, "success").await?;
    }
    let code = "context_length_exceeded";
    let too_long = json!({"error": {"code": code, "message": "too long", "type": "invalid"}});
    desk.model.fail_next(1, &Fault::Answer(Reply::json(400, &too_long)));
    let third = desk.ask(&app, "Ana", "third").await?;
    let ended = until(&app, &third.execution, "success").await?;
    assert_eq!(windows(&ended)[0]["strategies"], json!(["summarize"]));
    let asked = desk.model.asked();
    let [.., refused, summary, answered] = asked.as_slice() else { panic!("five questions") };
    assert!(!refused.succeeded && is_summary(&summary.chat));
    assert_eq!(said(&answered.chat), [("user", "third")]);
    assert!(answered.chat.system().contains("NOTES"));
    Ok(app.finish().await?)
}

/// A window that leaves outputs out begins where the one before it did.
#[tokio::test]
async fn what_was_summarised_does_not_come_back() -> Story {
    let app = system().start().await?;
    let desk = Desk::open_with(&app, json!("never"), window(1_200, 0), json!({})).await?;
    let pages = Tool::answering([("/book", json!({"page": long("page")}))]);
    let config = json!({"method": "POST", "url": format!("{}/book", pages.url())});
    let read = app.management().create_tool("read", "Reads on.", "http", &config).await?;
    change_agent(&app, &desk.agent, &json!({"tools": [read]})).await?;
    desk.model.respond_with(|chat| match (is_summary(chat), chat.input()) {
        (true, _) => Turn::say("NOTES"),
        (false, "read") if chat.turn() < 6 => Turn::call("read", &json!({})),
        (false, _) => Turn::say("Noted."),
    });
    for name in ["first", "second", "third"] {
        let asked = desk.ask(&app, "Ana", &long(name)).await?;
        until(&app, &asked.execution, "success").await?;
    }
    let reading = desk.ask(&app, "Ana", "read").await?;
    let ended = until(&app, &reading.execution, "success").await?;
    let dropped = json!(["drop_tool_output"]);
    assert!(windows(&ended).iter().any(|begun| begun["strategies"] == dropped), "{ended:#}");
    let last = desk.ask(&app, "Ana", "last").await?;
    until(&app, &last.execution, "success").await?;
    assert_eq!(detail(&app, &last.execution).await?["execution"]["status"], "success");
    let asked = desk.last_chat()?;
    assert!(asked.system().contains("NOTES"), "{}", asked.system());
    assert!(!mentions(&asked, "first: The contract"), "{:?}", said(&asked));
    Ok(app.finish().await?)
}

/// What was paid for once is in the journal.
#[tokio::test]
async fn a_summary_is_not_made_again_after_a_crash() -> Story {
    let mut app = system().start().await?;
    let desk = Desk::open_with(&app, json!("never"), window(1_500, 1), json!({})).await?;
    let listener = Listener::start(&app).await?;
    desk.model.respond_with(|chat| Turn::say(if is_summary(chat) { "NOTES" } else { "Noted." }));
    for name in ["first", "second"] {
        let asked = desk.ask(&app, "Ana", &long(name)).await?;
        until(&app, &asked.execution, "success").await?;
    }
    // The notes are made, and the answer does not come.
    desk.model.fail_at(4, Fault::Hang);
    let twice_as_long = format!("{}{}", long("third"), long("third"));
    let third = desk.ask(&app, "Ana", &twice_as_long).await?;
    desk.n_asked(4).await?;
    app.kill(Role::AgentRunner, 0)?;
    app.restart(Role::AgentRunner, 0).await?;
    let ended = until(&app, &third.execution, "success").await?;
    assert_eq!(windows(&ended).len(), 1);
    let asked = desk.model.asked();
    let summaries: Vec<bool> = asked.iter().map(|asked| is_summary(&asked.chat)).collect();
    assert_eq!(summaries, [false, false, true, false, false]);
    assert_eq!(asked[3].idempotency_key, asked[4].idempotency_key);
    assert_eq!(asked[3].chat, asked[4].chat, "the same question, word for word");
    let told = listener.n_heard(&third.execution, 5).await?;
    let expected = ["user_message", "context_window_compacted", "assistant_message"];
    assert_eq!(kinds(&firsts(&told)), expected);
    Ok(app.finish().await?)
}
