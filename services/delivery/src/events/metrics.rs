//! What Prometheus is told of events.

use std::sync::LazyLock;

use prometheus::{
    Histogram, IntCounter, IntCounterVec, register_histogram, register_int_counter,
    register_int_counter_vec,
};

/// Up to the longest that an attempt may take.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// Attempts by what followed from them: `delivered`, `retry`, `failed`, `gone`.
pub(super) static ATTEMPTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Attempts to send an event by what followed from them";
    register_int_counter_vec!("event_delivery_attempts_total", help, &["outcome"])
        .expect("the name is valid and used once")
});

/// How long attempts took.
pub(super) static ATTEMPT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "How long attempts to send an event took, from the first packet to the last byte";
    register_histogram!("event_delivery_attempt_seconds", help, SECONDS.to_vec())
        .expect("the name is valid and used once")
});

/// Endpoints that were disabled because they answered 410 or took nothing for 5 days.
pub(super) static DISABLED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Event endpoints that were disabled because of what they answered";
    register_int_counter!("event_endpoints_disabled_total", help)
        .expect("the name is valid and used once")
});
