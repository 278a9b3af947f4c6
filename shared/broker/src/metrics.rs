//! What is counted, in Prometheus' default registry.
//!
//! Every label has few values: routing keys, queues, and fixed words.

use std::sync::LazyLock;

use prometheus::{
    HistogramVec, IntCounterVec, IntGaugeVec, exponential_buckets, register_histogram_vec,
    register_int_counter_vec, register_int_gauge_vec,
};

const ONCE: &str = "each metric is registered in one place, under a valid name";

/// From the call to the confirm.
pub(crate) static PUBLISH_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    register_histogram_vec!(
        "broker_publish_seconds",
        "Time from the call to the publisher confirm or the error",
        &["routing_key"],
        seconds()
    )
    .expect(ONCE)
});

/// `outcome` is `confirmed` or the kind of error.
pub(crate) static PUBLISHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "broker_published_total",
        "Publications by outcome",
        &["routing_key", "outcome"]
    )
    .expect(ONCE)
});

/// `queue` is `replies` for all reply queues, whose names are as many as processes.
pub(crate) static CONSUMED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "broker_consumed_total",
        "Messages taken from a queue, redeliveries included",
        &["queue"]
    )
    .expect(ONCE)
});

pub(crate) static BATCH_MESSAGES: LazyLock<HistogramVec> = LazyLock::new(|| {
    register_histogram_vec!(
        "broker_batch_messages",
        "Messages given to a handler at once",
        &["queue"],
        exponential_buckets(1.0, 2.0, 10).expect("the arguments are in range")
    )
    .expect(ONCE)
});

pub(crate) static HANDLED_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    register_histogram_vec!(
        "broker_handled_seconds",
        "Time a handler took for a batch",
        &["queue"],
        seconds()
    )
    .expect(ONCE)
});

/// `outcome` is `accepted`, `held` or `isolated`.
pub(crate) static HANDLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "broker_handled_total",
        "Batches given to a handler, by outcome",
        &["queue", "outcome"]
    )
    .expect(ONCE)
});

pub(crate) static RETRIED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "broker_retried_total",
        "Messages parked in a retry queue",
        &["queue"]
    )
    .expect(ONCE)
});

pub(crate) static DEAD_LETTERED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "broker_dead_lettered_total",
        "Messages moved to the dead-letter queue by us, not by the broker's delivery limit",
        &["queue", "reason"]
    )
    .expect(ONCE)
});

/// `link` is `publisher`, `replies` or a queue.
pub(crate) static LINK_UP: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!("broker_link_up", "1 while connected", &["link"]).expect(ONCE)
});

pub(crate) static LINK_BLOCKED: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "broker_link_blocked",
        "1 while the broker takes no messages because it is short of memory or disk",
        &["link"]
    )
    .expect(ONCE)
});

/// From 0.5 ms to 16 s.
fn seconds() -> Vec<f64> {
    exponential_buckets(0.000_5, 2.0, 16).expect("the arguments are in range")
}
