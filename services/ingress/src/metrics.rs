//! What is counted, in Prometheus' default registry. Every label has few values.

use std::sync::LazyLock;

use prometheus::{
    Histogram, HistogramVec, IntCounterVec, IntGauge, exponential_buckets, register_histogram,
    register_histogram_vec, register_int_counter_vec, register_int_gauge,
};

const ONCE: &str = "each metric is registered in one place, under a valid name";

/// `surface` is `native`, `run` or `apps`; `outcome` is `accepted`, `answered` (the sender waited
/// for the agent), `notice` (nothing to do), or the code of the refusal.
pub(crate) static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "ingress_requests_total",
        "Webhooks by outcome",
        &["surface", "outcome"]
    )
    .expect(ONCE)
});

/// `reason` is the code of the refusal.
pub(crate) static LEFT_OUT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "ingress_left_out_total",
        "Messages of batches that could not be taken, by why",
        &["reason"]
    )
    .expect(ONCE)
});

/// As in [`REQUESTS`].
pub(crate) static REQUEST_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    register_histogram_vec!(
        "ingress_request_seconds",
        "Time from the head of a webhook to its answer",
        &["surface", "outcome"],
        seconds()
    )
    .expect(ONCE)
});

pub(crate) static BODY_BYTES: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "ingress_body_bytes",
        "Size of the bodies that were read",
        exponential_buckets(64.0, 4.0, 10).expect("the arguments are in range")
    )
    .expect(ONCE)
});

pub(crate) static PUBLISH_WAIT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "ingress_publish_wait_seconds",
        "Time a message waited for its turn to be published",
        seconds()
    )
    .expect(ONCE)
});

pub(crate) static PUBLISHING: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("ingress_publishing", "Messages that wait for the broker's confirm")
        .expect(ONCE)
});

pub(crate) static WAITING: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("ingress_waiting", "Senders that wait for their agent's answer")
        .expect(ONCE)
});

/// `lookup` is `trigger`, `api_key` or `member`; `outcome` is `known`, `unknown`, `looked_up`, `stale` or
/// `failed`.
pub(crate) static LOOKUPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "ingress_lookups_total",
        "Look-ups of configuration, by where the answer came from",
        &["lookup", "outcome"]
    )
    .expect(ONCE)
});

/// From 0.5 ms to 16 s.
fn seconds() -> Vec<f64> {
    exponential_buckets(0.000_5, 2.0, 16).expect("the arguments are in range")
}
