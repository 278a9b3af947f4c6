//! Deliveries that were asked for again: what the API does to their rows is done here by hand.

use recado_testkit::callback::Sink;
use recado_testkit::stub::{Fault, Reply};
use recado_types::DeliveryId;
use serde_json::{Value, json};

use crate::running::System;

impl System {
    /// Asks for `delivery` again, after `statements`.
    async fn redeliver(&self, delivery: DeliveryId, statements: &str) {
        self.execute(&format!(
            "{statements};
             UPDATE deliveries SET status = 'pending', finished_at = NULL, error_code = NULL,
                                   error_message = NULL, requested_at = now()
              WHERE id = '{delivery}';
             UPDATE lanes SET queued = queued + 1, next_run_at = coalesce(next_run_at, now())
              WHERE kind = 'delivery'",
            delivery = delivery.0
        ))
        .await;
    }
}

fn keys(sink: &Sink) -> Vec<String> {
    let key = |n: usize| sink.received()[n].header("idempotency-key").unwrap().to_owned();
    (0..sink.count()).map(key).collect()
}

#[tokio::test]
async fn the_rest_is_sent_under_the_keys_that_it_had() {
    let system = System::new().await;
    let sink = Sink::start();
    sink.fail_at(2, Fault::Answer(Reply::text(400, "")));
    let split = json!({
        "enabled": true, "max_chunk_size": 100, "chunk_strategy": "length", "numbering": false,
        "inter_chunk_delay_ms": 0,
    });
    let trigger = system.trigger(&json!({"url": sink.url()}), &split).await;
    let delivery = system.answer(trigger, 1, &"x".repeat(300)).await;
    let instance = system.start();
    system.wait_until("failed", delivery).await;
    assert_eq!(system.chunks(delivery).await, "sent failed skipped");

    let rest = "UPDATE chunks SET status = 'pending', attempt_count = 0 WHERE status <> 'sent';
                UPDATE deliveries SET round = round + 1";
    system.redeliver(delivery, rest).await;
    system.wait_until("delivered", delivery).await;
    assert_eq!(system.chunks(delivery).await, "sent sent sent");
    let expected = [1, 2, 2, 3].map(|n| format!("{delivery}-{n}"));
    assert_eq!(keys(&sink), expected);
    let attempts = "SELECT string_agg(concat_ws('/', chunk_index, round, attempt), ' ' \
                     ORDER BY chunk_index, round, attempt) FROM attempts";
    assert_eq!(system.text(attempts).await, "0/1/1 1/1/1 1/2/1 2/2/1");
    instance.stop().await;
}

#[tokio::test]
async fn the_whole_is_cut_anew_and_sent_under_new_keys() {
    let system = System::new().await;
    let sink = Sink::start();
    let trigger = system.trigger(&json!({"url": sink.url()}), &Value::Null).await;
    let delivery = system.answer(trigger, 1, "x").await;
    let instance = system.start();
    system.wait_until("delivered", delivery).await;

    let whole = "DELETE FROM chunks;
                 UPDATE deliveries SET round = 2, whole_round = 2, chunk_count = NULL";
    system.redeliver(delivery, whole).await;
    system.wait_until("delivered", delivery).await;
    assert_eq!(keys(&sink), [format!("{delivery}-1"), format!("{delivery}-1-2")]);
    assert_eq!(system.chunks(delivery).await, "sent");
    instance.stop().await;
}
