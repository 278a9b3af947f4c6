//! What Prometheus is told. How many deliveries are being sent is told by the loop of the lanes.

use std::sync::LazyLock;

use prometheus::{
    Histogram, IntCounter, IntCounterVec, register_histogram, register_int_counter,
    register_int_counter_vec,
};

/// Up to the longest `timeout_ms` of a callback.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Requests by what followed from them: `sent`, `retry`, `gave_up`.
pub(crate) static ATTEMPTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Callback requests by what followed from them";
    register_int_counter_vec!("delivery_attempts_total", help, &["outcome"])
        .expect("the name is valid and used once")
});

/// How long requests took.
pub(crate) static ATTEMPT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "How long callback requests took, from the first packet to the last byte";
    register_histogram!("delivery_attempt_seconds", help, SECONDS.to_vec())
        .expect("the name is valid and used once")
});

/// Chunks that their channel took.
pub(crate) static CHUNKS_SENT: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("delivery_chunks_sent_total", "Chunks that their channel took")
        .expect("the name is valid and used once")
});

/// Deliveries that ended, by status: `delivered`, `failed`.
pub(crate) static FINISHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("delivery_finished_total", "Deliveries that ended", &["status"])
        .expect("the name is valid and used once")
});
