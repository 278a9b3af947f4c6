//! Stubs behave as what they stand for, misbehave on command, and remember everything.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::time::{Duration, Instant};

use recado_testkit::callback::Sink;
use recado_testkit::model::{Model, Usage};
use recado_testkit::stub::{Fault, Reply};
use recado_testkit::twilio::Messages;
use recado_testkit::{http_client, wait_for};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SOON: Duration = Duration::from_secs(10);

async fn send(twilio: &Messages, password: &str, form: &[(&str, &str)]) -> Response {
    let request = http_client().post(twilio.messages_url()).basic_auth(ACCOUNT, Some(password));
    request.header("Idempotency-Key", "key-1").form(form).send().await.unwrap()
}

async fn code_of(response: Response) -> (u16, Option<u64>) {
    let status = response.status().as_u16();
    (status, response.json::<Value>().await.unwrap()["code"].as_u64())
}

#[tokio::test]
async fn twilio_accepts_a_message_and_remembers_it() {
    let twilio = Messages::start(ACCOUNT, "secret");
    let form = [("To", "whatsapp:+5511999990000"), ("From", "whatsapp:+1415"), ("Body", "olá")];
    let response = send(&twilio, "secret", &form).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let created: Value = response.json().await.unwrap();
    assert!(created["sid"].as_str().unwrap().starts_with("SM"));
    assert_eq!(created["status"], "queued");

    let accepted = twilio.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!((accepted[0].seq, accepted[0].body.as_str()), (1, "olá"));
    assert_eq!(accepted[0].idempotency_key.as_deref(), Some("key-1"));
}

#[tokio::test]
async fn twilio_refuses_as_the_real_one_does() {
    let twilio = Messages::start(ACCOUNT, "secret");
    let long = "x".repeat(1601);
    let full = [("To", "a"), ("From", "b"), ("Body", long.as_str())];
    assert_eq!(code_of(send(&twilio, "secret", &full).await).await, (400, Some(21617)));
    assert_eq!(code_of(send(&twilio, "secret", &full[..2]).await).await, (400, Some(21617)));
    assert_eq!(code_of(send(&twilio, "secret", &full[1..]).await).await, (400, Some(21604)));
    assert_eq!(code_of(send(&twilio, "wrong", &full).await).await, (401, Some(20003)));
    assert!(twilio.accepted().is_empty());
    assert_eq!(twilio.sent().len(), 4);
}

#[tokio::test]
async fn exactly_the_planned_requests_fail() {
    let sink = Sink::start();
    sink.fail_at(2, Fault::status(503));
    sink.fail_at(4, Fault::retry_after(429, 7));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let response = http_client().post(sink.url()).body("x").send().await.unwrap();
        let wait = response.headers().get("retry-after").map(|value| value.to_str().unwrap());
        statuses.push((response.status().as_u16(), wait.map(str::to_owned)));
    }
    let seven = Some("7".to_owned());
    assert_eq!(statuses, [(200, None), (503, None), (200, None), (429, seven), (200, None)]);
    let answered: Vec<u16> =
        sink.received().iter().filter_map(|received| Some(received.answered?.status)).collect();
    assert_eq!(answered, [200, 503, 200, 429, 200]);
}

#[tokio::test]
async fn a_cut_connection_is_an_error_and_stands_in_the_history() {
    let sink = Sink::start();
    sink.fail_next(1, &Fault::Cut);
    assert!(http_client().post(sink.url()).body("first").send().await.is_err());
    assert!(http_client().post(sink.url()).body("second").send().await.is_ok());
    let received = sink.received();
    assert_eq!(received[0].text(), "first");
    assert_eq!(received[0].answered, None);
    assert!(received[1].succeeded());
}

#[tokio::test]
async fn a_hanging_stub_reads_the_request_and_stays_silent() {
    let sink = Sink::start();
    sink.fail_always(Fault::Hang);
    let request = http_client().post(sink.url()).timeout(Duration::from_millis(300)).send();
    assert!(request.await.unwrap_err().is_timeout());
    wait_for("the request", SOON, async || (sink.count() == 1).then_some(())).await.unwrap();

    sink.heal();
    assert!(http_client().post(sink.url()).send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn a_delayed_answer_is_the_right_one_but_late() {
    let sink = Sink::start();
    sink.fail_next(1, &Fault::Delay(Duration::from_millis(300)));
    let started = Instant::now();
    assert!(http_client().post(sink.url()).send().await.unwrap().status().is_success());
    assert!(started.elapsed() >= Duration::from_millis(300));
    let received = &sink.received()[0];
    assert!(received.answered.unwrap().at >= received.at + Duration::from_millis(300));
}

#[tokio::test]
async fn a_stopped_stub_refuses_connections() {
    let sink = Sink::start();
    let url = sink.url();
    drop(sink);
    assert!(http_client().post(url).send().await.unwrap_err().is_connect());
}

async fn ask(model: &Model, text: &str) -> Response {
    let chat = json!({
        "model": "gpt-4.1",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "before"},
            {"role": "assistant", "content": null, "tool_calls": []},
            {"role": "user", "content": text},
        ],
    });
    let url = format!("{}/chat/completions", model.base_url());
    http_client().post(url).bearer_auth("key").json(&chat).send().await.unwrap()
}

async fn answer_of(response: Response) -> String {
    let completion: Value = response.json().await.unwrap();
    completion["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_model_repeats_or_says_what_it_is_told_to() {
    let model = Model::start();
    assert_eq!(answer_of(ask(&model, "ping").await).await, "ping");
    model.answer("pong");
    assert_eq!(answer_of(ask(&model, "ping").await).await, "pong");
    model.answer_with(|chat| chat.input().to_uppercase());
    assert_eq!(answer_of(ask(&model, "ping").await).await, "PING");

    let asked = model.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].chat.input(), "ping");
    assert_eq!(asked[0].chat.system(), "be brief");
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer key"));
    assert!(model.asked_after(2)[0].seq == 3 && asked[2].succeeded);
}

#[tokio::test]
async fn a_model_fails_in_all_the_ways_models_do() {
    let model = Model::start();
    model.claim_usage(Usage { prompt_tokens: 850, completion_tokens: 400 });
    model.fail_next(1, &Fault::retry_after(429, 1));
    model.fail_next(1, &Fault::malformed_json());
    model.fail_next(1, &Fault::Answer(Reply::json(500, &json!({"error": {}}))));

    assert_eq!(ask(&model, "a").await.headers()["retry-after"], "1");
    assert!(ask(&model, "b").await.json::<Value>().await.is_err());
    assert_eq!(ask(&model, "c").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let completion: Value = ask(&model, "d").await.json().await.unwrap();
    assert_eq!(completion["usage"]["total_tokens"], 1250);
}
