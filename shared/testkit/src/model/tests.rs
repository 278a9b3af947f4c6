//! The stub speaks both APIs, whole and in pieces, and breaks where it is told to.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};

use super::{Model, Turn};
use crate::http_client;
use crate::stub::Fault;

const PATHS: [&str; 2] = ["chat/completions", "messages"];

async fn post(model: &Model, path: &str, stream: bool) -> Response {
    let chat = json!({
        "model": "m", "max_tokens": 10, "stream": stream,
        "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "hello"}],
    });
    let url = format!("{}/{path}", model.base_url());
    http_client().post(url).header("x-api-key", "key").json(&chat).send().await.unwrap()
}

fn call(model: &Model) {
    model.respond_with(|_| Turn::say("Let me see.").and_call("find", &json!({"q": 1})));
}

/// The data of an event stream.
fn events(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn joined<'e>(events: &'e [Value], pointer: &str) -> String {
    let piece = |event: &'e Value| event.pointer(pointer).and_then(Value::as_str);
    events.iter().filter_map(piece).collect()
}

#[tokio::test]
async fn completions_come_whole_or_in_pieces() {
    let model = Model::start();
    call(&model);
    let whole: Value = post(&model, PATHS[0], false).await.json().await.unwrap();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["content"], "Let me see.");
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], r#"{"q":1}"#);

    let streamed = post(&model, PATHS[0], true).await;
    assert!(streamed.headers()["content-type"].to_str().unwrap().contains("event-stream"));
    let streamed = streamed.text().await.unwrap();
    assert!(streamed.ends_with("data: [DONE]\n\n"));
    let events = events(&streamed);
    assert_eq!(joined(&events, "/choices/0/delta/content"), "Let me see.");
    let arguments = "/choices/0/delta/tool_calls/0/function/arguments";
    assert_eq!(joined(&events, arguments), r#"{"q":1}"#);
    assert_eq!(events.last().unwrap()["usage"]["prompt_tokens"], 12);
}

#[tokio::test]
async fn messages_come_whole_or_in_pieces() {
    let model = Model::start();
    call(&model);
    let whole: Value = post(&model, PATHS[1], false).await.json().await.unwrap();
    assert_eq!(whole["content"][0]["text"], "Let me see.");
    assert_eq!(whole["content"][1]["input"], json!({"q": 1}));
    assert_eq!(whole["stop_reason"], "tool_use");

    let events = events(&post(&model, PATHS[1], true).await.text().await.unwrap());
    assert_eq!(joined(&events, "/delta/text"), "Let me see.");
    assert_eq!(joined(&events, "/delta/partial_json"), r#"{"q":1}"#);
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    assert_eq!(model.asked()[1].api_key.as_deref(), Some("key"));
}

#[tokio::test]
async fn what_tools_said_is_understood_in_both_apis() {
    let model = Model::start();
    model.respond_with(|chat| match chat.results()[..] {
        [] if chat.turn() == 0 => Turn::call("find", &json!({})),
        ref results => Turn::say(results.join(", ")),
    });
    let completions = json!({"model": "m", "messages": [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "find", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "find", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": "two"},
    ]});
    let messages = json!({"model": "m", "max_tokens": 10, "messages": [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "find", "input": {}},
            {"type": "tool_use", "id": "b", "name": "find", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "one"},
            {"type": "tool_result", "tool_use_id": "b", "content": "two"},
        ]},
    ]});
    for (path, body) in PATHS.into_iter().zip([completions, messages]) {
        let url = format!("{}/{path}", model.base_url());
        let answer = http_client().post(url).json(&body).send().await.unwrap();
        assert!(answer.text().await.unwrap().contains("one, two"), "{path}");
    }
    let asked = model.asked();
    assert_eq!(asked[0].chat.messages, asked[1].chat.messages);
}

#[tokio::test]
async fn what_the_real_messages_api_refuses_is_refused() {
    let model = Model::start();
    let url = format!("{}/messages", model.base_url());
    let user = json!({"role": "user", "content": "a"});
    for body in [
        json!({"model": "m", "messages": [user]}),
        json!({"model": "m", "max_tokens": 1, "messages": [user, user]}),
        json!({"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": "a"}]}),
        json!({"model": "m", "max_tokens": 1, "messages": [
            {"role": "user", "content": [{"type": "text", "text": ""}]},
        ]}),
    ] {
        let answer = http_client().post(&url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
    }
}

#[tokio::test]
async fn an_answer_can_drip_break_off_or_stop_in_the_middle() {
    let model = Model::start();
    let right = post(&model, PATHS[0], false).await.text().await.unwrap().len();

    model.fail_next(1, &Fault::Drip(Duration::from_millis(1)));
    let begun = Instant::now();
    assert_eq!(post(&model, PATHS[0], false).await.text().await.unwrap().len(), right);
    assert!(begun.elapsed() >= Duration::from_millis(1) * u32::try_from(right).unwrap());

    model.fail_next(1, &Fault::Break(20));
    let mut broken = post(&model, PATHS[0], false).await;
    assert_eq!(broken.chunk().await.unwrap().unwrap().len(), 20);
    assert!(broken.chunk().await.is_err());

    model.fail_next(1, &Fault::Stall(20));
    let mut stalled = post(&model, PATHS[0], false).await;
    assert_eq!(stalled.chunk().await.unwrap().unwrap().len(), 20);
    let silence = tokio::time::timeout(Duration::from_millis(300), stalled.chunk()).await;
    assert!(silence.is_err());
}
