//! What Prometheus is told of tool calls.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, register_histogram_vec, register_int_counter_vec};

/// Tools answer within milliseconds, or work for a minute.
const SECONDS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

static CALLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Tool calls by kind of tool and by how they ended";
    register_int_counter_vec!("runner_tool_calls_total", help, &["kind", "outcome"])
        .expect("the name is valid and used once")
});

static TOOL_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "How long tool calls took";
    register_histogram_vec!("runner_tool_seconds", help, &["kind"], SECONDS.to_vec())
        .expect("the name is valid and used once")
});

/// Counts one call. `kind` and `outcome` come from small fixed sets.
pub(super) fn count(kind: &str, outcome: &str, duration: Duration) {
    CALLS.with_label_values(&[kind, outcome]).inc();
    TOOL_SECONDS.with_label_values(&[kind]).observe(duration.as_secs_f64());
}
