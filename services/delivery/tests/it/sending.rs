//! What arrives, and in which order.

use recado_testkit::callback::Sink;
use recado_testkit::stub::Fault;
use recado_testkit::twilio::Messages;
use serde_json::{Value, json};

use crate::running::{System, wait_for_count};

#[tokio::test]
async fn a_long_answer_reaches_whatsapp_as_numbered_messages_without_markdown() {
    let system = System::new().await;
    let twilio = Messages::start("AC1", "token");
    system.add_secret("TWILIO", &twilio.credentials()).await;
    let callback = json!({
        "url": twilio.messages_url(),
        "content_type": "application/x-www-form-urlencoded",
        "auth": {"type": "basic", "secret_ref": "TWILIO"},
        "body_template": {"To": "{{phoneNumber}}", "From": "whatsapp:+1", "Body": "{{agent_response}}"},
        "response_transform": {"strip_markdown": true},
    });
    let split = json!({"enabled": true, "max_chunk_size": 100, "inter_chunk_delay_ms": 0});
    let trigger = system.trigger(&callback, &split).await;
    let paragraph = "palavra ".repeat(10);
    let response = format!("**Um** {paragraph}\n\n**Dois** {paragraph}\n\n**Três** {paragraph}");
    let delivery = system.answer(trigger, 1, &response).await;

    let instance = system.start();
    system.wait_until("delivered", delivery).await;
    let sent = twilio.accepted();
    let bodies: Vec<String> = sent.iter().map(|message| message.body.clone()).collect();
    let paragraph = paragraph.trim_end();
    let expected = [("Um", 1), ("Dois", 2), ("Três", 3)];
    assert_eq!(bodies, expected.map(|(word, n)| format!("({n}/3)\n{word} {paragraph}")));
    assert!(sent.iter().all(|message| message.to == "whatsapp:+5511999990000"));
    let keys: Vec<_> = sent.iter().map(|m| m.idempotency_key.clone().unwrap()).collect();
    assert_eq!(keys, [1, 2, 3].map(|n| format!("{delivery}-{n}")));
    assert_eq!(system.chunks(delivery).await, "sent sent sent");
    let query = "SELECT count(*) FROM chunks WHERE provider_id LIKE 'SM%' AND attempt_count = 1";
    assert_eq!(system.count(query).await, 3);
    assert_eq!(system.count("SELECT count(*) FROM attempts WHERE status_code = 201").await, 3);
    instance.stop().await;
}

#[tokio::test]
async fn without_a_template_the_receiver_gets_everything_that_is_built_in() {
    let system = System::new().await;
    let sink = Sink::start();
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    let delivery = system.answer(trigger, 1, "**Olá**").await;
    let instance = system.start();
    system.wait_until("delivered", delivery).await;
    let body = sink.received()[0].json().unwrap();
    assert_eq!(body["agent_response"], "**Olá**");
    assert_eq!((&body["chunk_index"], &body["chunk_count"]), (&json!(1), &json!(1)));
    assert_eq!(body["delivery_id"], delivery.to_string());
    assert_eq!(system.chunks(delivery).await, "sent");
    instance.stop().await;
}

#[tokio::test]
async fn answers_of_a_session_arrive_in_order_while_other_sessions_overtake() {
    let system = System::new().await;
    let sink = Sink::start();
    let retry = json!({"initial_delay_ms": 1_000});
    let trigger = system.trigger(&json!({"url": sink.url(), "retry": retry}), &Value::Null).await;
    let first = system.answer(trigger, 1, "first").await;
    sink.fail_next(1, &Fault::status(503));
    let instance = system.start();
    wait_for_count("the first request", 1, || sink.count()).await;

    let second = system.answer(trigger, 1, "second").await;
    let other = system.answer(trigger, 2, "other").await;
    for delivery in [first, second, other] {
        system.wait_until("delivered", delivery).await;
    }
    let received = sink.received();
    let texts: Vec<Value> =
        received.iter().map(|r| r.json().unwrap()["agent_response"].clone()).collect();
    assert_eq!(texts, ["first", "other", "first", "second"]);
    instance.stop().await;
}
