//! Senders who write again while the agent thinks, where newer messages interrupt.

use std::time::Duration;

use recado_testkit::app::{Role, TestApp};
use recado_testkit::stub::Fault;
use serde_json::{Value, json};

use super::{Asked, Desk, cancel, change_session, count, detail, said, until};
use crate::support::{Story, system, texts};

async fn open(app: &TestApp, more: Value) -> anyhow::Result<Desk> {
    let mut trigger = json!({"session": {"on_new_message": "supersede"}});
    super::merge(&mut trigger, more);
    let desk = Desk::open_with(app, json!("never"), json!({}), trigger).await?;
    desk.book_when_told();
    Ok(desk)
}

/// Expects that `first` gave way to `second`.
async fn assert_superseded(app: &TestApp, first: &Asked, second: &Asked) -> anyhow::Result<()> {
    let ended = until(app, &first.execution, "cancelled").await?;
    let execution = &ended["execution"];
    assert_eq!(execution["error_code"], "superseded", "{execution:#}");
    assert_eq!(execution["superseded_by"], second.execution.as_str());
    assert_eq!(texts(&ended), [""; 0], "its messages are in the other one");
    assert_eq!(ended["deliveries"], json!([]));
    Ok(())
}

/// That each message is in one execution, and that of those that count it is one that ended well.
async fn assert_each_is_answered_once(app: &TestApp, n: i64) -> anyhow::Result<()> {
    let query = "SELECT count(*) FROM messages m JOIN executions e ON e.id = m.execution_id
                  WHERE e.status = 'success' AND m.id = ANY (e.message_ids)";
    assert_eq!(count(app, query).await?, n);
    let query = "SELECT coalesce(sum(cardinality(message_ids)), 0)::bigint FROM executions";
    assert_eq!(count(app, query).await?, n, "no message is in two executions");
    Ok(())
}

#[tokio::test]
async fn two_messages_get_one_answer() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!({})).await?;
    desk.model.fail_next(1, &Fault::Hang);
    let first = desk.ask(&app, "Ana", "one").await?;
    desk.n_asked(1).await?;
    let second = desk.ask(&app, "Ana", "two").await?;
    let ended = until(&app, &second.execution, "success").await?;
    assert_superseded(&app, &first, &second).await?;
    assert_eq!(texts(&ended), ["one", "two"]);
    assert_eq!(ended["execution"]["agent_response"], r#"You said "one\ntwo"."#);
    let last = desk.last_chat()?;
    assert_eq!(said(&last), [("user", "one\ntwo")], "each once, and in order");
    assert_eq!(desk.model.count(), 2);
    assert_each_is_answered_once(&app, 2).await?;

    // What was answered is not taken back.
    let third = desk.ask(&app, "Ana", "three").await?;
    until(&app, &third.execution, "success").await?;
    assert_eq!(detail(&app, &second.execution).await?["execution"]["status"], "success");
    Ok(app.finish().await?)
}

/// Once it has done something in the world it has to say so.
#[tokio::test]
async fn a_run_that_has_called_a_tool_is_not_interrupted() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!({})).await?;
    // Longer than it takes to see that somebody has written.
    desk.tool.fail_next(1, &Fault::Delay(Duration::from_millis(1_200)));
    let first = desk.ask(&app, "Ana", "book 5").await?;
    desk.n_called(1).await?;
    let second = desk.ask(&app, "Ana", "two").await?;
    let ended = until(&app, &first.execution, "success").await?;
    assert_eq!(texts(&ended), ["book 5"]);
    assert_eq!(texts(&until(&app, &second.execution, "success").await?), ["two"]);
    assert_eq!(desk.tool.count(), 1);
    assert_each_is_answered_once(&app, 2).await?;
    Ok(app.finish().await?)
}

#[tokio::test]
async fn who_never_stops_writing_is_answered_after_five_interruptions() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!({})).await?;
    desk.model.fail_next(5, &Fault::Hang);
    // Longer than it takes to see that somebody has written.
    desk.model.fail_at(6, Fault::Delay(Duration::from_millis(1_500)));
    let mut asked = Vec::new();
    for n in 1..=7 {
        asked.push(desk.ask(&app, "Ana", &format!("{n}")).await?);
        desk.n_asked(n.min(6)).await?;
    }
    for pair in asked[..6].windows(2) {
        assert_superseded(&app, &pair[0], &pair[1]).await?;
    }
    let sixth = until(&app, &asked[5].execution, "success").await?;
    assert_eq!(texts(&sixth), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(texts(&until(&app, &asked[6].execution, "success").await?), ["7"]);
    assert_each_is_answered_once(&app, 7).await?;
    Ok(app.finish().await?)
}

#[tokio::test]
async fn of_two_who_wait_the_later_one_gets_the_answer_to_both() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!({"execution": {"mode": "sync", "timeout_ms": 60_000}})).await?;
    desk.model.fail_next(1, &Fault::Hang);
    let second = async {
        desk.n_asked(1).await?;
        desk.ask_and_wait(&app, "Ana", "two").await
    };
    let (first, second) = tokio::try_join!(desk.ask_and_wait(&app, "Ana", "one"), second)?;
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!((second.status, second.body.contains("one\\\\ntwo")), (200, true), "{second:?}");
    assert_each_is_answered_once(&app, 2).await?;
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_runner_that_dies_in_between_loses_and_repeats_nothing() -> Story {
    let mut app = system().start().await?;
    let desk = open(&app, json!({})).await?;
    desk.model.fail_next(1, &Fault::Hang);
    let first = desk.ask(&app, "Ana", "one").await?;
    desk.n_asked(1).await?;
    app.kill(Role::AgentRunner, 0)?;
    let second = desk.ask(&app, "Ana", "two").await?;
    // The next run of the first one is under way when the second is admitted, or has to be.
    desk.model.fail_always(Fault::Delay(Duration::from_millis(1_500)));
    app.restart(Role::AgentRunner, 0).await?;
    let ended = until(&app, &second.execution, "success").await?;
    assert_superseded(&app, &first, &second).await?;
    assert_eq!(texts(&ended), ["one", "two"]);
    assert_each_is_answered_once(&app, 2).await?;
    Ok(app.finish().await?)
}

/// Whoever cancels an execution does not want its messages answered with the next ones.
#[tokio::test]
async fn what_is_cancelled_gives_way_to_nobody() -> Story {
    let app = system().start().await?;
    let desk = open(&app, json!({})).await?;
    desk.model.fail_next(1, &Fault::Hang);
    let first = desk.ask(&app, "Ana", "one").await?;
    desk.n_asked(1).await?;
    change_session(&app, &first.session, "suspend").await?;
    until(&app, &first.execution, "waiting").await?;
    let second = desk.ask(&app, "Ana", "two").await?;
    cancel(&app, &first.execution).await?;
    let ended = until(&app, &first.execution, "cancelled").await?;
    assert_eq!(ended["execution"]["error_code"], "cancelled");
    assert_eq!(texts(&ended), ["one"]);
    change_session(&app, &first.session, "resume").await?;
    let ended = until(&app, &second.execution, "success").await?;
    assert_eq!(texts(&ended), ["two"]);
    Ok(app.finish().await?)
}
