//! Something dies while senders wait for their answers: they get them, later perhaps, and what
//! they asked is run once.

use std::time::Duration;

use anyhow::ensure;
use recado_testkit::app::{Role, TestApp};
use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use serde_json::{Value, json};

use super::{AWAY, n_executions, wait};
use crate::support::{Answer, Asker, SOON, Story, ended, system, thinker};

/// How long the model takes: somebody waits whenever something dies.
const THINKING: Duration = Duration::from_secs(1);

/// Anybody may ask; each id is one message.
fn config() -> Value {
    json!({
        "auth": {"type": "api_key"},
        "query_extraction": {"mode": "field", "field": "text"},
        "idempotency": {"path": "id"},
        "session_strategy": {"mode": "ephemeral"},
    })
}

async fn connect(app: &TestApp) -> anyhow::Result<(Model, Asker)> {
    connect_as(app, &config()).await
}

async fn connect_as(app: &TestApp, config: &Value) -> anyhow::Result<(Model, Asker)> {
    let model = Model::start();
    model.fail_always(Fault::Delay(THINKING));
    let asker = Asker::connect(app, &thinker(app, &model).await?, config).await?;
    Ok((model, asker))
}

fn question(text: &str) -> Value {
    json!({"text": text, "id": text})
}

/// Asks, lets `happen` what is to happen while the model thinks, and gives the answer.
async fn ask_while(
    app: &mut TestApp,
    (model, asker): &(Model, Asker),
    text: &str,
    happen: impl AsyncFnOnce(&mut TestApp) -> anyhow::Result<()>,
) -> anyhow::Result<Answer> {
    let (request, before) = (asker.request(app, 0)?.json(&question(text)), model.count());
    let answer = async { anyhow::Ok(Answer::of(request.send().await?).await?) };
    let happens = async {
        let is_asked = async || (model.count() > before).then_some(());
        wait_for("a question to the model", SOON, is_asked).await?;
        happen(app).await
    };
    Ok(tokio::try_join!(answer, happens)?.0)
}

fn assert_answers(answer: &Answer, text: &str) -> anyhow::Result<()> {
    ensure!(answer.status == 200 && answer.json()?["agent_response"] == text, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_killed_runner_is_answered_by_its_successor() -> Story {
    let mut app = system().start().await?;
    let asked = connect(&app).await?;
    let happen = async |app: &mut TestApp| {
        app.kill(Role::AgentRunner, 0)?;
        app.restart(Role::AgentRunner, 0).await
    };
    let answer = ask_while(&mut app, &asked, "hello", happen).await?;
    assert_answers(&answer, "hello")?;
    assert_eq!(n_executions(&app).await, 1);
    assert_eq!(asked.0.count(), 2, "the call in doubt was repeated");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn who_waits_while_there_is_no_runner_learns_where_the_answer_will_be() -> Story {
    let mut app = system().start().await?;
    let mut impatient = config();
    impatient["timeout_ms"] = json!(1_000);
    impatient["execution"] = json!({"timeout_ms": 30_000});
    let (model, asker) = connect_as(&app, &impatient).await?;
    app.kill(Role::AgentRunner, 0)?;
    let answer = asker.ask(&app, &question("hello")).await?;
    assert_eq!((answer.status, answer.error().as_str()), (504, "execution_timeout"));

    app.restart(Role::AgentRunner, 0).await?;
    let details = ended(&app, &asker.trigger_id, 1).await?;
    let execution = &details[0]["execution"];
    assert_eq!(answer.json()?["details"]["execution_id"], execution["id"]);
    assert_eq!(execution["status"], "success");
    assert_answers(&asker.ask(&app, &question("hello")).await?, "hello")?;
    assert_eq!((n_executions(&app).await, model.count()), (1, 1));
    Ok(app.finish().await?)
}

/// The runner holds its result until somebody can write it down.
#[tokio::test]
async fn who_waits_while_postgres_is_restarted_is_answered() -> Story {
    // Long enough for a restart on a busy machine: whose lease has run out must ask again.
    let mut app = system().private_servers().env("RECADO_LEASE_MS", "20000").start().await?;
    let asked = connect(&app).await?;
    let happen = async |app: &mut TestApp| {
        app.servers().postgres.kill()?;
        wait(AWAY).await;
        Ok(app.servers().postgres.restart().await?)
    };
    let answer = ask_while(&mut app, &asked, "hello", happen).await?;
    assert_answers(&answer, "hello")?;
    assert_eq!((n_executions(&app).await, asked.0.count()), (1, 1));
    Ok(app.finish().await?)
}

/// The news of the end has no way, and the sender is answered all the same.
#[tokio::test]
async fn who_waits_while_rabbitmq_is_away_is_answered_without_it() -> Story {
    let mut app = system().private_servers().start().await?;
    let asked = connect(&app).await?;
    let happen = async |app: &mut TestApp| Ok(app.servers().rabbitmq.kill()?);
    let answer = ask_while(&mut app, &asked, "hello", happen).await?;
    assert_answers(&answer, "hello")?;

    app.servers().rabbitmq.restart().await?;
    let answer = wait_for("messages to be taken again", SOON, async || {
        asked.1.ask(&app, &question("again")).await.ok().filter(|answer| answer.status != 503)
    });
    assert_answers(&answer.await?, "again")?;
    assert_eq!(n_executions(&app).await, 2);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn who_waits_while_rabbitmq_is_restarted_is_answered() -> Story {
    let mut app = system().private_servers().start().await?;
    let asked = connect(&app).await?;
    let happen = async |app: &mut TestApp| {
        app.servers().rabbitmq.kill()?;
        Ok(app.servers().rabbitmq.restart().await?)
    };
    let answer = ask_while(&mut app, &asked, "hello", happen).await?;
    assert_answers(&answer, "hello")?;
    assert_eq!(n_executions(&app).await, 1);
    Ok(app.finish().await?)
}

/// Without Redis nobody can tell quickly whether an id is new; the answers are the same.
#[tokio::test]
async fn without_redis_a_retry_still_gets_the_first_answer() -> Story {
    let mut app = system().start().await?;
    let (_model, asker) = connect(&app).await?;
    let first = asker.ask(&app, &question("hello")).await?;
    assert_answers(&first, "hello")?;
    app.redis().stop()?;
    let again = asker.ask(&app, &question("hello")).await?;
    assert_eq!(again.json()?["execution_id"], first.json()?["execution_id"]);
    let other = json!({"text": "something else", "id": "hello"});
    assert_eq!(asker.ask(&app, &other).await?.error(), "idempotency_conflict");
    app.redis().cont()?;
    assert_eq!(n_executions(&app).await, 1);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_killed_ingress_leaves_no_queue_and_its_senders_an_answer_to_come_back_for() -> Story {
    let mut app = system().start().await?;
    let (model, asker) = connect(&app).await?;
    let has_queues = async |app: &TestApp, n: usize| {
        let found = async || app.reply_queues().await.ok().filter(|queues| queues.len() == n);
        wait_for(&format!("{n} reply queues"), SOON, found).await
    };
    let before = has_queues(&app, 1).await?;

    let request = asker.request(&app, 0)?.json(&question("hello"));
    let kill = async {
        let is_asked = async || (model.count() == 1).then_some(());
        wait_for("a question to the model", SOON, is_asked).await?;
        app.kill(Role::Ingress, 0)
    };
    let (unanswered, killed) = tokio::join!(request.send(), kill);
    killed?;
    assert!(unanswered.is_err(), "the one who would have told it is dead");
    has_queues(&app, 0).await?;

    app.restart(Role::Ingress, 0).await?;
    assert_ne!(has_queues(&app, 1).await?, before);
    ended(&app, &asker.trigger_id, 1).await?;
    assert_answers(&asker.ask(&app, &question("hello")).await?, "hello")?;
    assert_eq!((n_executions(&app).await, model.count()), (1, 1));
    Ok(app.finish().await?)
}
