//! Providers that are slow, busy, broken or confused, over real connections.

use std::time::{Duration, Instant};

use recado_clock::{Clock, SystemClock};
use recado_http::guard::{Guard, GuardedClient};
use recado_testkit::model::{Model, Turn, Usage};
use recado_testkit::stub::{Fault, Reply as Answer};
use recado_types::provider::ProviderKind;
use serde_json::json;

use super::call::{Caller, Endpoint};
use super::chat::{Ask, Reply, ToolRequest};
use super::error::ModelError;
use super::fixtures::{conversation, definitions, sampling, with};

const KINDS: [ProviderKind; 2] = [ProviderKind::OpenaiCompatible, ProviderKind::Anthropic];

async fn ask_with(
    model: &Model,
    kind: ProviderKind,
    idle: Duration,
    change: impl FnOnce(&mut Ask<'_>),
) -> Result<Reply, ModelError> {
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    let client = GuardedClient::new(Guard::new(loopback)).unwrap();
    let caller = Caller { client, idle };
    let (conversation, tools, sampling) = (conversation(), definitions(), sampling());
    let mut ask = with(&conversation, &tools, &sampling);
    change(&mut ask);
    let base_url = model.base_url();
    let endpoint = Endpoint { kind, base_url: &base_url, key: Some("key"), model: "m" };
    caller.ask(&endpoint, &ask).await
}

async fn ask(model: &Model, kind: ProviderKind) -> Result<Reply, ModelError> {
    ask_with(model, kind, Duration::from_secs(5), |_| ()).await
}

/// Long enough to come in many pieces, with characters of several bytes.
const WORDS: &str = "Olá! Here is what I have found for you: 🙂 nothing at all, çertainly.";

fn speak(model: &Model) {
    model.respond_with(|_| {
        Turn::say(WORDS)
            .and_call("find", &json!({"q": 1, "text": "a \"quoted\" word"}))
            .and_call("find", &json!({}))
    });
}

fn expect_words(reply: &Reply) {
    assert_eq!(reply.text, WORDS);
    let call = |n: usize, arguments: &str| ToolRequest {
        id: format!("call_{n}"),
        name: "find".into(),
        arguments: arguments.into(),
    };
    let found: Vec<ToolRequest> = reply
        .tool_calls
        .iter()
        .zip(0..)
        .map(|(found, n)| ToolRequest { id: format!("call_{n}"), ..found.clone() })
        .collect();
    assert_eq!(found, [call(0, r#"{"q":1,"text":"a \"quoted\" word"}"#), call(1, "{}")]);
    assert_ne!(reply.tool_calls[0].id, reply.tool_calls[1].id);
}

#[tokio::test]
async fn both_apis_are_spoken() {
    for kind in KINDS {
        let model = Model::start();
        model.claim_usage(Usage { prompt_tokens: 850, completion_tokens: 40 });
        speak(&model);
        let reply = ask(&model, kind).await.unwrap();
        expect_words(&reply);
        assert_eq!((reply.input_tokens, reply.output_tokens), (Some(850), Some(40)));
        let asked = &model.asked()[0];
        assert!(asked.chat.stream, "{kind:?}");
        assert_eq!(asked.chat.input(), "thanks");
        assert_eq!(asked.chat.messages[2].tool_calls[0].name, "find");
        assert_eq!(asked.chat.messages[3].tool_call_id.as_deref(), Some("a"));
        let key = asked.authorization.clone().or(asked.api_key.clone()).unwrap();
        assert!(key.ends_with("key"), "{kind:?}");
        assert!(asked.idempotency_key.is_some());
    }
}

#[tokio::test]
async fn an_answer_that_drips_is_the_same_answer() {
    for kind in KINDS {
        let model = Model::start();
        model.respond_with(|_| Turn::say("Olá 🙂").and_call("find", &json!({"q": 1})));
        model.fail_next(1, &Fault::Drip(Duration::from_micros(100)));
        let reply = ask(&model, kind).await.unwrap();
        assert_eq!(
            (reply.text.as_str(), &*reply.tool_calls[0].arguments),
            ("Olá 🙂", r#"{"q":1}"#)
        );
        assert_eq!(model.count(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_whole() {
    for kind in KINDS {
        let model = Model::start();
        speak(&model);
        model.fail_next(1, &Fault::Break(700));
        model.fail_next(1, &Fault::Cut);
        expect_words(&ask(&model, kind).await.unwrap());
        let asked = model.asked();
        assert_eq!(asked.len(), 3, "{kind:?}");
        assert!(asked.iter().all(|again| again.idempotency_key == asked[0].idempotency_key));
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_in_the_middle_is_asked_again() {
    for kind in KINDS {
        let model = Model::start();
        speak(&model);
        model.fail_next(1, &Fault::Stall(700));
        let reply = ask_with(&model, kind, Duration::from_millis(300), |_| ()).await.unwrap();
        expect_words(&reply);
        assert_eq!(model.count(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_provider_that_hangs_costs_no_more_than_the_patience() {
    let model = Model::start();
    for fault in [Fault::Hang, Fault::Drip(Duration::from_millis(50)), Fault::Stall(0)] {
        model.fail_next(1, &fault);
        let begun = Instant::now();
        let kind = ProviderKind::OpenaiCompatible;
        let error = ask_with(&model, kind, Duration::from_secs(5), |ask| {
            ask.patience = Duration::from_millis(400);
        })
        .await
        .unwrap_err();
        assert_eq!(error.code(), "model_unavailable", "{fault:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{fault:?}");
    }
}

#[tokio::test]
async fn a_busy_provider_is_left_alone_as_long_as_it_asks() {
    let model = Model::start();
    model.fail_next(1, &Fault::retry_after(429, 1));
    let date = SystemClock::default().now() + chrono::TimeDelta::seconds(3);
    let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error"}});
    let overloaded = Answer::json(529, &overloaded).with_header("Retry-After", &date);
    model.fail_next(1, &Fault::Answer(overloaded));
    ask(&model, ProviderKind::Anthropic).await.unwrap();
    let asked = model.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[1].at >= asked[0].at + Duration::from_secs(1));
    // Dates have no fractions of a second, and some of the three have passed.
    assert!(asked[2].at >= asked[1].at + Duration::from_secs(1));
}

#[tokio::test]
async fn a_pause_that_is_longer_than_the_patience_is_not_waited_for() {
    let model = Model::start();
    model.fail_next(1, &Fault::retry_after(429, 60));
    let error = ask(&model, ProviderKind::OpenaiCompatible).await.unwrap_err();
    assert_eq!((error.code(), model.count()), ("model_busy", 1));
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_given_up() {
    let model = Model::start();
    model.fail_always(Fault::status(500));
    let error = ask(&model, ProviderKind::OpenaiCompatible).await.unwrap_err();
    let expected = "the provider failed 4 times, at last with status 500";
    assert_eq!((error.to_string().as_str(), model.count()), (expected, 4));
}

#[tokio::test]
async fn a_refusal_is_final_and_says_no_more_than_its_code() {
    let model = Model::start();
    let refusal = json!({"error": {
        "message": "Incorrect API key provided: hunter2", "type": "invalid_request_error",
        "code": "invalid_api_key",
    }});
    model.fail_next(1, &Fault::Answer(Answer::json(401, &refusal)));
    let error = ask(&model, ProviderKind::OpenaiCompatible).await.unwrap_err();
    let expected = "the provider refused the request with status 401 (invalid_api_key)";
    assert_eq!((error.to_string().as_str(), model.count()), (expected, 1));
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_told_apart() {
    let openai = json!({"error": {
        "type": "invalid_request_error", "code": "context_length_exceeded",
    }});
    let anthropic = json!({"type": "error", "error": {
        "type": "invalid_request_error",
        "message": "prompt is too long: 210000 tokens > 200000 maximum",
    }});
    for (kind, refusal) in KINDS.into_iter().zip([openai, anthropic]) {
        let model = Model::start();
        model.fail_next(1, &Fault::Answer(Answer::json(400, &refusal)));
        let error = ask(&model, kind).await.unwrap_err();
        assert!(matches!(error, ModelError::ContextTooLong), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_to_count_is_asked_not_to() {
    let model = Model::start();
    let refusal = json!({"object": "error", "message": {"detail": [
        {"type": "extra_forbidden", "loc": ["body", "stream_options", "include_usage"]},
    ]}});
    model.fail_next(1, &Fault::Answer(Answer::json(422, &refusal)));
    let reply = ask(&model, ProviderKind::OpenaiCompatible).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.input_tokens), ("thanks", None));
    let asked = model.asked();
    assert!(asked[0].chat.stream_options.is_some());
    assert_eq!(asked[1].chat.stream_options, None);
}

#[tokio::test]
async fn nonsense_is_not_asked_for_again() {
    for kind in KINDS {
        let model = Model::start();
        model.fail_next(1, &Fault::malformed_json());
        let error = ask(&model, kind).await.unwrap_err();
        assert_eq!((error.code(), model.count()), ("model_answer_malformed", 1));
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let model = Model::start();
    let whole = json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": WORDS}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    });
    model.fail_next(1, &Fault::Answer(Answer::json(200, &whole)));
    let reply = ask(&model, ProviderKind::OpenaiCompatible).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.output_tokens), (WORDS, Some(2)));
}

#[tokio::test]
async fn a_stream_without_an_end_is_cut() {
    let model = Model::start();
    let endless = Answer::new(200, "text/event-stream", vec![b'd'; 5 << 20]);
    model.fail_next(1, &Fault::Answer(endless));
    let error = ask(&model, ProviderKind::OpenaiCompatible).await.unwrap_err();
    assert_eq!(error.code(), "model_answer_too_large");
}
