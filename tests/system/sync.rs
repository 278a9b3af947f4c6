//! Senders who wait: the answer to a webhook is what the agent says.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use recado_testkit::app::Role;
use recado_testkit::model::Model;
use recado_testkit::stub::Fault;
use recado_testkit::wait_for;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{
    Answer, Asker, SOON, Story, answered_at, echo, ended, system, texts, thinker,
};

/// What "Create Trigger" of seed 000 has in `trigger_config`, unchanged.
fn seed_000() -> Value {
    let printed = r#"{
        "auth": { "type": "api_key" },
        "query_extraction": { "mode": "field", "field": "chatInput" },
        "context_mapping": {
            "userId": "$.userId",
            "userName": "$.userName"
        },
        "response_adapter": { "format": "raw", "split_messages": true, "max_messages": 10 },
        "session_strategy": { "mode": "derive", "fields": ["userId", "companyId"] }
    }"#;
    serde_json::from_str(printed).expect("the seed prints JSON")
}

/// The same, with other fields beside it or in place of its own.
fn seed_000_with(changes: &Value) -> Value {
    let mut config = seed_000();
    for (name, value) in changes.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    config
}

fn question(text: &str, user: &str) -> Value {
    json!({"chatInput": text, "userId": user, "companyId": 7, "userName": "Ana"})
}

async fn send(request: RequestBuilder) -> anyhow::Result<Answer> {
    Ok(Answer::of(request.send().await?).await?)
}

async fn n_asked(model: &Model, n: usize) -> anyhow::Result<()> {
    let asked = async || (model.count() >= n).then_some(());
    wait_for(&format!("{n} questions to the model"), SOON, asked).await
}

#[tokio::test]
async fn the_first_trigger_of_seed_000_answers_as_the_seed_says() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    let agent = thinker(&app, &model).await?;
    let erp = Asker::connect(&app, &agent, &seed_000()).await?;
    let answer = erp.ask(&app, &question("Found 5:\n\n1. A\n2. B", "123")).await?;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/json"));

    let told = answer.json()?;
    let id = told["execution_id"].as_str().context("the execution can be looked up")?;
    let detail = app.management().execution(&erp.trigger_id, id).await?;
    let execution = &detail["execution"];
    assert_eq!((&execution["status"], &execution["tokens_used"]), (&json!("success"), &json!(46)));
    assert_eq!(texts(&detail), ["Found 5:\n\n1. A\n2. B"]);
    assert_eq!(detail["deliveries"], json!([]), "the answer has arrived already");
    let latency = told["latency_ms"].as_u64().context("it took a moment")?;
    assert!(latency >= execution["execution_time_ms"].as_u64().unwrap_or_default(), "{told}");
    let expected = json!({
        "success": true,
        "trigger_id": erp.trigger_id,
        "agent_id": agent,
        "agent_response": "Found 5:\n\n1. A\n2. B",
        "messages": ["Found 5:", "1. A\n2. B"],
        "execution_id": execution["id"],
        "session_id": execution["session_id"],
        "usage": {"total_tokens": 46},
        "latency_ms": latency,
    });
    assert_eq!(told, expected);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn each_format_is_what_its_product_takes() -> Story {
    const TEXT: &str = "R&D found <5>\n\nMore?";
    const TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
        <Response><Message>R&amp;D found &lt;5&gt;\n\nMore?</Message></Response>";
    let app = system().start().await?;
    let agent = echo(&app).await?;
    let ask = async |format: &str| {
        let adapter = json!({"format": format, "split_messages": true});
        let config = seed_000_with(&json!({ "response_adapter": adapter }));
        let erp = Asker::connect(&app, &agent, &config).await?;
        erp.ask(&app, &question(TEXT, "123")).await
    };
    for (format, expected) in [
        (
            "ebarn",
            json!([
                {"message": "R&D found <5>", "type": "text"}, {"message": "More?", "type": "text"},
            ]),
        ),
        ("slack", json!({"response_type": "in_channel", "text": TEXT})),
        ("teams", json!({"type": "message", "text": TEXT})),
    ] {
        let answer = ask(format).await?;
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/json"));
        assert_eq!(answer.json()?, expected, "{format}");
    }
    let answer = ask("twiml").await?;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "text/xml"));
    assert_eq!(answer.body, TWIML);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn twenty_who_wait_at_a_time_each_get_their_own_answer() -> Story {
    let app = system().instances(Role::Ingress, 2).instances(Role::AgentRunner, 2).start().await?;
    let erp = Asker::connect(&app, &echo(&app).await?, &seed_000()).await?;
    let all = try_join_all((0..20).map(async |n| {
        let text = format!("I am number {n}");
        let asked = erp.request(&app, n % 2)?.json(&question(&text, &n.to_string()));
        let told = send(asked).await?.json()?;
        anyhow::ensure!(told["agent_response"] == text.as_str(), "{text} was told {told}");
        Ok(told)
    }));
    let told = all.await?;
    let mut sessions: Vec<_> = told.iter().filter_map(|told| told["session_id"].as_str()).collect();
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions.len(), 20);
    Ok(app.finish().await?)
}

/// The sender waits for a second, the agent may take its time.
#[tokio::test]
async fn who_waits_in_vain_learns_where_the_answer_will_be() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    model.fail_always(Fault::Delay(Duration::from_millis(2_500)));
    let agent = thinker(&app, &model).await?;
    let config = seed_000_with(&json!({"timeout_ms": 1_000, "execution": {"timeout_ms": 30_000}}));
    let erp = Asker::connect(&app, &agent, &config).await?;
    let answer = erp.ask(&app, &question("are you there?", "123")).await?;
    assert_eq!((answer.status, answer.error().as_str()), (504, "execution_timeout"));
    assert_eq!(model.received()[0].answered, None, "nobody waited for the model");

    let details = ended(&app, &erp.trigger_id, 1).await?;
    let execution = &details[0]["execution"];
    assert_eq!(answer.json()?["details"]["execution_id"], execution["id"]);
    assert_eq!(execution["status"], "success");
    assert_eq!(execution["agent_response"], "are you there?");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn who_asks_an_agent_that_fails_learns_which_execution_it_was() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    model.fail_next(1, &Fault::status(401));
    let erp = Asker::connect(&app, &thinker(&app, &model).await?, &seed_000()).await?;
    let answer = erp.ask(&app, &question("hello?", "123")).await?;
    assert_eq!((answer.status, answer.error().as_str()), (500, "execution_failed"));
    let details = ended(&app, &erp.trigger_id, 1).await?;
    let execution = &details[0]["execution"];
    assert_eq!(answer.json()?["details"]["execution_id"], execution["id"]);
    assert_eq!(execution["error_code"], "model_refused");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_whether_it_is_there_already_or_not() -> Story {
    let app = system().instances(Role::Ingress, 2).start().await?;
    let model = Model::start();
    model.answer_with(|chat| format!("You said {:?}.", chat.input()));
    model.fail_always(Fault::Delay(Duration::from_millis(500)));
    let config = seed_000_with(&json!({"idempotency": {"header": "X-Event-Id"}}));
    let erp = Asker::connect(&app, &thinker(&app, &model).await?, &config).await?;
    let ask = async |ingress: usize, text: &str| {
        let request = erp.request(&app, ingress)?.header("X-Event-Id", "e1");
        send(request.json(&question(text, "123"))).await
    };

    let (first, second) = tokio::try_join!(ask(0, "once"), ask(1, "once"))?;
    assert_eq!(first.json()?["agent_response"], "You said \"once\".");
    assert_eq!(essence(&first)?, essence(&second)?);
    assert_eq!(essence(&ask(1, "once").await?)?, essence(&first)?, "after the end, too");
    let other = ask(0, "twice").await?;
    assert_eq!((other.status, other.error().as_str()), (409, "idempotency_conflict"));

    assert_eq!(model.count(), 1);
    assert_eq!(app.management().executions(&erp.trigger_id).await?.len(), 1);
    Ok(app.finish().await?)
}

/// What is not about one request, but about its message.
fn essence(answer: &Answer) -> anyhow::Result<(u16, Value)> {
    let mut told = answer.json()?;
    told.as_object_mut().context("it is an object")?.remove("latency_ms");
    Ok((answer.status, told))
}

#[tokio::test]
async fn two_who_wait_in_one_session_are_answered_in_turn() -> Story {
    let app = system().instances(Role::AgentRunner, 2).start().await?;
    let model = Model::start();
    model.answer_with(|chat| format!("You said {:?}.", chat.input()));
    model.fail_at(1, Fault::Delay(Duration::from_millis(800)));
    let erp = Asker::connect(&app, &thinker(&app, &model).await?, &seed_000()).await?;
    let second = async {
        n_asked(&model, 1).await?;
        erp.ask(&app, &question("second", "123")).await
    };
    let first = question("first", "123");
    let (first, second) = tokio::try_join!(erp.ask(&app, &first), second)?;
    assert_eq!(first.json()?["agent_response"], "You said \"first\".");
    assert_eq!(second.json()?["agent_response"], "You said \"second\".");
    assert_eq!(first.json()?["session_id"], second.json()?["session_id"]);

    let asked = model.asked();
    assert!(asked[1].at >= answered_at(&model.received()[0])?, "never two at a time");
    let said = asked[1].chat.messages.iter().filter_map(|message| message.content.as_deref());
    let said: Vec<&str> = said.skip(1).collect();
    assert_eq!(said, ["first", "You said \"first\".", "second"]);
    Ok(app.finish().await?)
}

#[tokio::test]
async fn who_hangs_up_misses_the_answer_and_nothing_else() -> Story {
    let app = system().start().await?;
    let model = Model::start();
    model.fail_next(1, &Fault::Delay(Duration::from_millis(800)));
    let erp = Asker::connect(&app, &thinker(&app, &model).await?, &seed_000()).await?;
    let impatient = erp.request(&app, 0)?.json(&question("quick!", "123"));
    tokio::select! {
        answer = send(impatient) => panic!("it was too quick: {answer:?}"),
        asked = n_asked(&model, 1) => asked?,
    }
    let details = ended(&app, &erp.trigger_id, 1).await?;
    assert_eq!(details[0]["execution"]["agent_response"], "quick!");
    let answer = erp.ask(&app, &question("slowly", "123")).await?;
    assert_eq!(answer.json()?["agent_response"], "slowly");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn an_ingress_that_is_told_to_stop_lets_those_who_wait_have_their_answers() -> Story {
    let mut app = system().start().await?;
    let model = Model::start();
    model.fail_always(Fault::Delay(Duration::from_secs(1)));
    let erp = Asker::connect(&app, &thinker(&app, &model).await?, &seed_000()).await?;
    let request = erp.request(&app, 0)?.json(&question("one more thing", "123"));
    let stop = async {
        n_asked(&model, 1).await?;
        app.terminate(Role::Ingress, 0).await
    };
    let (answer, exit) = tokio::try_join!(send(request), stop)?;
    assert_eq!(exit.code, Some(0));
    assert_eq!(answer.json()?["agent_response"], "one more thing");
    app.restart(Role::Ingress, 0).await?;
    Ok(app.finish().await?)
}
