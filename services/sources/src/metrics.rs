//! What Prometheus is told.

use std::sync::LazyLock;

use prometheus::{
    Histogram, IntCounterVec, exponential_buckets, register_histogram, register_int_counter_vec,
};

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register_int_counter_vec!(name, help, labels).expect("the name is valid and used once")
}

/// Messages that the broker has confirmed, by kind of source.
pub(crate) static PUBLISHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("sources_published_total", "Messages that came of sources", &["kind"])
});

/// What did not become a message, by kind and by why: what a webhook would have been refused for.
pub(crate) static LEFT_OUT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Happenings that did not become a message, by reason";
    counter("sources_left_out_total", help, &["kind", "reason"])
});

/// Sources that could not be worked, each time, by kind and by why.
pub(crate) static FAILED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Times that a source could not be worked, by reason";
    counter("sources_failed_total", help, &["kind", "reason"])
});

/// How long after its time a tick of a schedule was published.
pub(crate) static LATE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = exponential_buckets(0.001, 4.0, 12).expect("the buckets are valid");
    let help = "How long after its time a tick was published";
    register_histogram!("sources_tick_late_seconds", help, buckets)
        .expect("the name is valid and used once")
});
