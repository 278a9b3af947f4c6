//! Long pauses: they hold no slot, and end in time.

use std::time::Duration;

use recado_testkit::callback::Sink;
use recado_testkit::stub::Fault;
use serde_json::{Value, json};

use crate::running::{Setup, System, wait_for_count};

#[tokio::test]
async fn a_long_pause_between_chunks_holds_no_slot_and_ends_in_time() {
    let system = System::new().await;
    let (sink, other_sink) = (Sink::start(), Sink::start());
    let split = json!({
        "enabled": true, "max_chunk_size": 100, "chunk_strategy": "length", "numbering": false,
        "inter_chunk_delay_ms": 3_000,
    });
    let trigger = system.trigger(&json!({"url": sink.url()}), &split).await;
    let other_trigger = system.trigger(&json!({"url": other_sink.url()}), &Value::Null).await;
    let delivery = system.answer(trigger, 1, &"x".repeat(300)).await;
    let instance = system.start_with(&Setup { slots: 1, ..Setup::default() });
    wait_for_count("the first chunk", 1, || sink.count()).await;
    let other = system.answer(other_trigger, 2, "other").await;
    system.wait_until("delivered", other).await;
    assert_eq!(sink.count(), 1, "the first one waits between two chunks");

    system.wait_until("delivered", delivery).await;
    let received = sink.received();
    for pair in received.windows(2) {
        let pause = pair[1].at.saturating_sub(pair[0].at);
        assert!(pause >= Duration::from_secs(3), "{pause:?}");
        assert!(pause <= Duration::from_millis(4_500), "{pause:?}");
    }
    assert_eq!(system.chunks(delivery).await, "sent sent sent");
    instance.stop().await;
}

#[tokio::test]
async fn many_long_pauses_fit_into_one_slot() {
    let system = System::new().await;
    let sink = Sink::start();
    let retry = json!({"initial_delay_ms": 3_000});
    let callback = json!({"url": sink.url(), "retry": retry});
    sink.fail_next(20, &Fault::status(503));
    let mut deliveries = Vec::new();
    for session in 1..=20 {
        // Each to a destination of its own, or they would be left alone after five.
        let trigger = system.trigger(&callback, &Value::Null).await;
        deliveries.push(system.answer(trigger, session, "x").await);
    }
    let instance = system.start_with(&Setup { slots: 1, ..Setup::default() });
    wait_for_count("all first requests", 20, || sink.count()).await;
    for delivery in deliveries {
        system.wait_until("delivered", delivery).await;
    }
    assert_eq!(sink.count(), 40);
    instance.stop().await;
}
