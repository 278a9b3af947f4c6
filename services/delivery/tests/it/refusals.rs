//! What cannot be sent ends, says why, and stands in nobody's way.

use recado_testkit::callback::Sink;
use recado_testkit::stub::{Fault, Reply};
use serde_json::{Value, json};

use crate::running::{Setup, System};

#[tokio::test]
async fn after_a_refused_chunk_the_rest_is_skipped_and_the_next_answer_is_sent() {
    let system = System::new().await;
    let sink = Sink::start();
    let body = json!({"code": 63_016, "message": "outside the window", "status": 400});
    sink.fail_at(2, Fault::Answer(Reply::json(400, &body)));
    let split = json!({
        "enabled": true, "max_chunk_size": 100, "chunk_strategy": "length", "numbering": false,
        "inter_chunk_delay_ms": 0,
    });
    let trigger = system.trigger(&json!({"url": sink.url()}), &split).await;
    let refused = system.answer(trigger, 1, &"x".repeat(400)).await;
    let next = system.answer(trigger, 1, "next").await;
    let instance = system.start();
    system.wait_until("delivered", next).await;
    assert_eq!(system.chunks(refused).await, "sent failed skipped skipped");
    assert_eq!(system.error_code(refused).await, "outside_messaging_window");
    assert_eq!(sink.count(), 3);
    instance.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let system = System::new().await;
    let (sink, elsewhere) = (Sink::start(), Sink::start());
    let redirect = Reply::text(301, "").with_header("Location", &elsewhere.url());
    sink.fail_always(Fault::Answer(redirect));
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    let delivery = system.answer(trigger, 1, "x").await;
    let instance = system.start();
    system.wait_until("failed", delivery).await;
    assert_eq!(system.error_code(delivery).await, "redirected");
    assert_eq!((sink.count(), elsewhere.count()), (1, 0));
    instance.stop().await;
}

#[tokio::test]
async fn only_the_tenants_destinations_are_reached() {
    let system = System::new().await;
    let sink = Sink::start();
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    let elsewhere = system.answer(trigger, 1, "x").await;
    system.let_requests_go_to(&["hooks.example.com"]).await;
    let instance = system.start();
    system.wait_until("failed", elsewhere).await;
    assert_eq!(system.error_code(elsewhere).await, "destination_not_allowed");
    let told = format!("SELECT error_message FROM deliveries WHERE id = '{elsewhere}'");
    let refused = sink.url().trim_start_matches("http://").to_owned();
    assert!(system.text(&told).await.starts_with(&format!("{refused}: ")));
    assert_eq!(sink.count(), 0);

    // It is no fault of the destination, which gets what comes as soon as it may.
    system.let_requests_go_to(&[sink.url().trim_start_matches("http://")]).await;
    let here = system.answer(trigger, 2, "y").await;
    system.wait_until("delivered", here).await;
    assert_eq!(sink.count(), 1);
    instance.stop().await;
}

#[tokio::test]
async fn a_private_address_is_not_reached() {
    let system = System::new().await;
    let sink = Sink::start();
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    let delivery = system.answer(trigger, 1, "x").await;
    let instance = system.start_with(&Setup { may_reach_loopback: false, ..Setup::default() });
    system.wait_until("failed", delivery).await;
    assert_eq!(system.error_code(delivery).await, "forbidden_destination");
    assert_eq!(sink.count(), 0);
    instance.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_is_not_sent() {
    let system = System::new().await;
    let sink = Sink::start();
    system.add_secret("BROKEN", "no colon in it").await;
    let basic = |name: &str| json!({"type": "basic", "secret_ref": name});
    let url = sink.url();
    let cases = [
        (json!({"url": url, "auth": basic("MISSING")}), "x", "secret_missing"),
        (json!({"url": url, "auth": basic("BROKEN")}), "x", "secret_invalid"),
        (json!({"url": url, "headers": {"X-A": "{{agent_response}}"}}), "a\nb", "invalid_header"),
        (json!({"url": url}), " \n ", "empty_response"),
        (Value::Null, "x", "no_callback"),
    ];
    let instance = system.start();
    for (callback, response, code) in cases {
        let trigger = system.trigger(&callback, &Value::Null).await;
        // All in one session: each failure hands the lane on.
        let delivery = system.answer(trigger, 1, response).await;
        system.wait_until("failed", delivery).await;
        assert_eq!(system.error_code(delivery).await, code);
    }
    assert_eq!(sink.count(), 0);
    instance.stop().await;
}
