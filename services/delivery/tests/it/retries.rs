//! Receivers that fail for a while.

use std::time::Duration;

use recado_testkit::callback::Sink;
use recado_testkit::stub::Fault;
use serde_json::{Value, json};

use crate::running::{Setup, System, wait_for_count};

#[tokio::test]
async fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_next(1, &Fault::retry_after(429, 2));
    let callback = json!({"url": sink.url(), "retry": {"initial_delay_ms": 100}});
    let trigger = system.trigger(&callback, &Value::Null).await;
    let delivery = system.answer(trigger, 1, "x").await;
    let instance = system.start();
    system.wait_until("delivered", delivery).await;
    let received = sink.received();
    let gap = received[1].at.saturating_sub(received[0].at);
    assert!(gap >= Duration::from_secs(2) && gap < Duration::from_secs(5), "{gap:?}");
    let codes = "SELECT string_agg(concat_ws(' ', attempt, status_code, error_code), ', ' \
                 ORDER BY attempt) FROM attempts";
    assert_eq!(system.text(codes).await, "1 429 rate_limited, 2 200");
    instance.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_or_hangs_up_is_asked_again_under_the_same_key() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_at(1, Fault::Hang);
    sink.fail_at(2, Fault::Cut);
    let callback = json!({
        "url": sink.url(), "timeout_ms": 1_000, "retry": {"initial_delay_ms": 100},
    });
    let trigger = system.trigger(&callback, &Value::Null).await;
    let delivery = system.answer(trigger, 1, "x").await;
    let instance = system.start();
    system.wait_until("delivered", delivery).await;
    let received = sink.received();
    let keys: Vec<_> = received.iter().map(|r| r.header("idempotency-key").unwrap()).collect();
    assert_eq!(keys, vec![format!("{delivery}-1"); 3]);
    let codes = "SELECT string_agg(coalesce(error_code, 'ok'), ' ' ORDER BY attempt) FROM attempts";
    assert_eq!(system.text(codes).await, "timeout connection_failed ok");
    instance.stop().await;
}

#[tokio::test]
async fn a_long_pause_holds_neither_a_slot_nor_another_session() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_next(1, &Fault::retry_after(503, 6));
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    let parked = system.answer(trigger, 1, "parked").await;
    let instance = system.start_with(&Setup { slots: 1, ..Setup::default() });
    wait_for_count("the first request", 1, || sink.count()).await;

    let other = system.answer(trigger, 2, "other").await;
    system.wait_until("delivered", other).await;
    assert_eq!(sink.count(), 2, "the parked one waits");
    system.wait_until("delivered", parked).await;
    let received = sink.received();
    let gap = received[2].at.saturating_sub(received[0].at);
    assert!(gap >= Duration::from_secs(6), "{gap:?}");
    instance.stop().await;
}

#[tokio::test]
async fn retries_end() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_always(Fault::status(500));
    let retry = json!({"max_attempts": 3, "initial_delay_ms": 100});
    let trigger = system.trigger(&json!({"url": sink.url(), "retry": retry}), &Value::Null).await;
    let delivery = system.answer(trigger, 1, "x").await;
    let instance = system.start();
    system.wait_until("failed", delivery).await;
    assert_eq!((sink.count(), system.error_code(delivery).await.as_str()), (3, "http_500"));
    instance.stop().await;
}
