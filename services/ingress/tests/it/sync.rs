//! Senders that wait for the agent: what they are told, and when nobody knows.

use std::time::{Duration, Instant};

use recado_store::executions::Outcome;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::requests::{Answered, Sender, named, named_message, open};
use crate::runner::{Runner, execution_of, success};
use crate::running::Running;

const JSON: &str = "application/json";

/// Long enough that nothing in a test runs into it.
const LONG_MS: u32 = 50_000;

/// A trigger whose senders name their messages and wait so long for the answer.
fn waiting(timeout_ms: u32) -> Value {
    let mut config = named();
    config["execution"] = json!({"mode": "sync"});
    config["timeout_ms"] = json!(timeout_ms);
    config
}

async fn post(sender: &Sender, id: &str) -> Answered {
    sender.post(JSON, named_message(id, "Olá")).await
}

#[tokio::test]
async fn without_an_answer_in_time_the_sender_is_told_where_it_will_be() {
    let running = Running::start().await;
    let queue = running.requested();
    // `sync` is what a trigger is that does not say.
    let mut config = open();
    config.as_object_mut().unwrap().remove("execution");
    config["timeout_ms"] = json!(1_000);
    let sender = running.sender(running.trigger(config).await);
    let begun = Instant::now();
    let answer = sender.post("text/plain", "Olá").await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!((answer.status, answer.error()), (504, "execution_timeout".into()));
    let requested = queue.next().await;
    let details = json!({"execution_id": execution_of(&requested)});
    assert_eq!(answer.json()["details"], details);
    assert!(requested.reply_to.is_some());
    running.stop().await;
}

/// What the agent says, and what senders see of it, by format.
#[tokio::test]
async fn the_answer_is_told_in_the_format_that_the_sender_understands() {
    const SAID: &str = "**Olá** & <tchau>\n\nAté logo";
    const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let running = Running::start().await;
    let runner = Runner::of(&running);
    let two = json!({"split_messages": true});
    let twiml =
        format!("{XML}<Response><Message>Olá &amp; &lt;tchau&gt;\n\nAté logo</Message></Response>");
    for (adapter, content_type, body) in [
        (json!({"format": "ebarn"}), JSON, json!([{"message": SAID, "type": "text"}])),
        (json!({"format": "slack"}), JSON, json!({"response_type": "in_channel", "text": SAID})),
        (json!({"format": "teams"}), JSON, json!({"type": "message", "text": SAID})),
        (json!({"format": "twiml"}), "text/xml", json!(twiml)),
        (json!({"format": "raw"}), JSON, json!({})),
        (two, JSON, json!({"messages": ["**Olá** & <tchau>", "Até logo"]})),
    ] {
        let mut config = waiting(LONG_MS);
        config["response_adapter"] = adapter.clone();
        let trigger = running.trigger(config).await;
        let sender = running.sender(trigger);
        let (answer, requested) = tokio::join!(post(&sender, "m1"), runner.run(success(SAID)));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
        let got = if content_type == JSON { answer.json() } else { json!(answer.body) };
        if got.get("execution_id").is_none() {
            assert_eq!(got, body, "{adapter}");
            continue;
        }
        let mut raw = json!({
            "success": true, "trigger_id": trigger, "agent_id": running.agent,
            "session_id": requested.messages[0].session_id,
            "execution_id": execution_of(&requested),
            "agent_response": SAID, "usage": {"total_tokens": 7},
            "latency_ms": got["latency_ms"],
        });
        raw.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        assert!(got["latency_ms"].is_u64());
        assert_eq!(got, raw, "{adapter}");
    }
    running.stop().await;
}

#[tokio::test]
async fn news_that_is_lost_costs_seconds_and_no_answer() {
    let running = Running::start().await;
    let runner = Runner::of(&running);
    let sender = running.sender(running.trigger(waiting(LONG_MS)).await);
    let silent = async {
        let requested = runner.next().await;
        runner.end(&requested, success("Oi")).await
    };
    let begun = Instant::now();
    let (answer, reply_to) = tokio::join!(post(&sender, "m1"), silent);
    assert_eq!((answer.status, &answer.json()["agent_response"]), (200, &json!("Oi")));
    assert_eq!(reply_to.len(), 1, "somebody was to be told, and was not");
    assert!(begun.elapsed() < Duration::from_millis(LONG_MS.into()));
    running.stop().await;
}

#[tokio::test]
async fn an_execution_that_fails_or_takes_too_long_is_named_in_the_error() {
    let running = Running::start().await;
    let runner = Runner::of(&running);
    let sender = running.sender(running.trigger(waiting(LONG_MS)).await);
    let message = "secrets of the provider".to_owned();
    let failed = Outcome::Failed { code: "provider_error", message };
    let (answer, requested) = tokio::join!(post(&sender, "m1"), runner.run(failed));
    assert_eq!((answer.status, answer.error()), (500, "execution_failed".into()));
    let details = &answer.json()["details"];
    assert_eq!(details["execution_id"], json!(execution_of(&requested)));
    assert_eq!(details["reason"], "provider_error");
    assert!(!answer.body.contains("secrets"), "{}", answer.body);

    let (answer, requested) = tokio::join!(post(&sender, "m2"), runner.run(Outcome::Timeout));
    assert_eq!((answer.status, answer.error()), (504, "execution_timeout".into()));
    assert_eq!(answer.json()["details"], json!({"execution_id": execution_of(&requested)}));
    running.stop().await;
}

#[tokio::test]
async fn a_retry_gets_the_answer_that_is_there() {
    let running = Running::start().await;
    let other = running.another_instance().await;
    let runner = Runner::of(&running);
    let trigger = running.trigger(waiting(LONG_MS)).await;
    let (here, there) = (running.sender(trigger), other.sender(trigger));
    let (first, requested) = tokio::join!(post(&here, "m1"), runner.run(success("Oi")));
    assert_eq!(first.status, 200);

    let tell_again = async {
        let again = runner.next().await;
        assert_ne!(again.reply_to, requested.reply_to, "each instance has a queue of its own");
        let admitted = runner.admit(&again).await;
        assert_eq!((admitted.n_executions, admitted.finished.len()), (0, 1));
        runner.tell(&again, &admitted.finished[0].reply_to).await;
    };
    let (again, ()) = tokio::join!(post(&there, "m1"), tell_again);
    let steady = |answer: &Answered| {
        let mut body = answer.json();
        body["latency_ms"] = Value::Null;
        (answer.status, body)
    };
    assert_eq!(steady(&again), steady(&first));
    other.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn all_who_wait_for_one_execution_are_answered() {
    let running = Running::start().await;
    let other = running.another_instance().await;
    let runner = Runner::of(&running);
    let trigger = running.trigger(waiting(LONG_MS)).await;
    let (here, there) = (running.sender(trigger), other.sender(trigger));
    let work = async {
        let requests = runner.queue.wait_for(3).await;
        for requested in &requests {
            runner.admit(requested).await;
        }
        let reply_to = runner.end(&requests[0], success("Oi")).await;
        assert_eq!(reply_to.len(), 2, "one for each instance");
        for queue in reply_to {
            runner.tell(&requests[0], &queue).await;
        }
    };
    let answers = tokio::join!(post(&here, "m1"), post(&here, "m1"), post(&there, "m1"), work);
    for answer in [&answers.0, &answers.1, &answers.2] {
        assert_eq!((answer.status, &answer.json()["agent_response"]), (200, &json!("Oi")));
    }
    other.stop().await;
    running.stop().await;
}

/// Whoever still waited would hold up the shutdown for ten seconds.
#[tokio::test]
async fn a_client_that_goes_away_leaves_nobody_waiting() {
    let running = Running::start().await;
    let runner = Runner::of(&running);
    let sender = running.sender(running.trigger(waiting(LONG_MS)).await);
    for n in 0..10 {
        let id = format!("m{n}");
        tokio::select! {
            answer = post(&sender, &id) => panic!("nobody answers: {answer:?}"),
            requested = runner.next() => drop(requested),
        }
    }
    // The server goes on.
    let (answer, _) = tokio::join!(post(&sender, "m10"), runner.run(success("Oi")));
    assert_eq!(answer.status, 200);
    let stopped = timeout(Duration::from_secs(9), running.stop()).await;
    stopped.expect("nobody is waited for");
}

#[tokio::test]
async fn who_waits_at_shutdown_is_told_where_the_answer_will_be() {
    let running = Running::start().await;
    let runner = Runner::of(&running);
    let sender = running.sender(running.trigger(waiting(LONG_MS)).await);
    let work = async {
        let requested = runner.next().await;
        running.shut_down();
        requested
    };
    let (answer, requested) = tokio::join!(post(&sender, "m1"), work);
    assert_eq!((answer.status, answer.error()), (504, "execution_timeout".into()));
    assert_eq!(answer.json()["details"], json!({"execution_id": execution_of(&requested)}));
    running.stop().await;
}
