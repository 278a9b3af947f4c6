//! Sessions that are stopped, go on, and are left to a person.

use std::time::Duration;

use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::json;

use super::listener::{Listener, kinds};
use super::{Desk, change_session, detail, said, until};
use crate::support::{SOON, Story, system};

#[tokio::test]
async fn nothing_is_asked_while_a_session_is_suspended_and_all_of_it_afterwards() -> Story {
    let app = system().start().await?;
    let desk = Desk::open(&app, json!("never")).await?;
    desk.book_when_told();
    desk.model.fail_next(1, &Fault::Hang);
    let mut asked = vec![desk.ask(&app, "Ana", "one").await?];
    desk.n_asked(1).await?;
    change_session(&app, &asked[0].session, "suspend").await?;
    until(&app, &asked[0].execution, "waiting").await?;
    for question in ["two", "three"] {
        asked.push(desk.ask(&app, "Ana", question).await?);
    }
    // Whoever came after them has been answered, and they have not been asked about.
    let bob = desk.ask(&app, "Bob", "me").await?;
    until(&app, &bob.execution, "success").await?;
    let path = format!("/api/sessions/{}", asked[0].session);
    let session = app.management().get(&path).await?;
    assert_eq!(session["data"]["status"], "suspended");
    assert_eq!(session["data"]["unfinished_execution_count"], 3);
    assert_eq!(desk.model.count(), 2, "Ana's first question, and Bob's");

    change_session(&app, &asked[0].session, "resume").await?;
    for asked in &asked {
        let ended = until(&app, &asked.execution, "success").await?;
        assert_eq!(ended["execution"]["attempt_count"], 1, "to be suspended is no attempt");
    }
    let last = desk.last_chat()?;
    let expected = [
        ("user", "one"),
        ("assistant", "You said \"one\"."),
        ("user", "two"),
        ("assistant", "You said \"two\"."),
        ("user", "three"),
    ];
    assert_eq!(said(&last), expected);
    Ok(app.finish().await?)
}

/// Were it dropped, it would have to be made once more.
#[tokio::test]
async fn a_call_that_is_under_way_comes_to_its_end() -> Story {
    let app = system().start().await?;
    let (desk, listener) = (Desk::open(&app, json!("never")).await?, Listener::start(&app).await?);
    desk.book_when_told();
    // Longer than it takes to see that the session is suspended.
    desk.tool.fail_next(1, &Fault::Delay(Duration::from_millis(1_200)));
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    desk.n_called(1).await?;
    change_session(&app, &ana.session, "suspend").await?;
    until(&app, &ana.execution, "waiting").await?;
    assert_eq!(desk.model.count(), 1, "the model was not asked what to make of it");
    change_session(&app, &ana.session, "resume").await?;
    until(&app, &ana.execution, "success").await?;
    assert_eq!((desk.tool.count(), desk.model.count()), (1, 2));
    let told = listener.n_heard(&ana.execution, 5).await?;
    let expected =
        ["user_message", "assistant_message", "tool_called", "tool_result", "assistant_message"];
    assert_eq!(kinds(&told), expected);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn what_is_left_to_a_person_is_remembered_by_the_agent() -> Story {
    let app = system().start().await?;
    let trigger = json!({"execution": {"mode": "sync", "timeout_ms": 60_000}});
    let desk = Desk::open_with(&app, json!("never"), json!({}), trigger).await?;
    desk.book_when_told();
    desk.model.fail_next(1, &Fault::Hang);
    let handed_off = async {
        desk.n_asked(1).await?;
        let listed = app.management().executions(&desk.asker.trigger_id).await?;
        let session = listed[0]["session_id"].as_str().unwrap_or_default().to_owned();
        change_session(&app, &session, "handoff").await?;
        Ok(session)
    };
    let asked = desk.ask_and_wait(&app, "Ana", "I want a person");
    let (answer, session) = tokio::try_join!(asked, handed_off)?;
    assert_eq!(answer.status, 202, "nothing went wrong: {answer:?}");
    let answer = desk.ask_and_wait(&app, "Ana", "are you a person?").await?;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(desk.model.count(), 1, "the agent has nothing to say");
    let id = answer.json()?["execution_id"].as_str().unwrap_or_default().to_owned();
    let ended = detail(&app, &id).await?;
    assert_eq!(ended["execution"]["status"], "cancelled");
    assert_eq!(ended["execution"]["error_code"], "session_handed_off");

    change_session(&app, &session, "resume").await?;
    let answer = desk.ask_and_wait(&app, "Ana", "thanks").await?;
    assert_eq!(answer.status, 200);
    let last = desk.last_chat()?;
    let expected = [("user", "I want a person"), ("user", "are you a person?"), ("user", "thanks")];
    assert_eq!(said(&last), expected);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_person_who_takes_over_is_not_asked_for_approvals() -> Story {
    let app = system().start().await?;
    let desk = Desk::open(&app, json!("always")).await?;
    desk.book_when_told();
    let ana = desk.ask(&app, "Ana", "book 5").await?;
    until(&app, &ana.execution, "waiting").await?;
    change_session(&app, &ana.session, "handoff").await?;
    let ended = until(&app, &ana.execution, "cancelled").await?;
    assert_eq!(ended["execution"]["error_code"], "session_handed_off");
    let listed = async || {
        let listed = app.management().get("/api/tool-calls").await.ok()?;
        (listed["data"] == json!([])).then_some(())
    };
    wait_for("an empty list of approvals", SOON, listed).await?;
    assert_eq!(desk.tool.count(), 0);
    Ok(app.finish().await?)
}
