//! What Prometheus is told of tool calls.

use std::time::Duration;

use recado_metrics::{HistogramVec, IntCounterVec, buckets, counters, families, histograms, label};

/// As `Sending::kind` says.
const KINDS: &[&str] = &["http", "mcp", "agent"];

families! {
    /// Makes the metrics of this crate exist.
    pub fn register_metrics;

    static CALLS: IntCounterVec = calls();

    static TOOL_SECONDS: HistogramVec = histograms(
        "recado_runner_tool_seconds",
        "How long tool calls took",
        &[label("kind").of(KINDS)],
        buckets::long(),
    );
}

fn calls() -> IntCounterVec {
    let calls = counters(
        "recado_runner_tool_calls_total",
        "Tool calls by kind of tool and by how they ended: `success`, or the code of the failure",
        &[label("kind").of(KINDS), label("outcome")],
    );
    for kind in KINDS {
        calls.with_label_values(&[*kind, "success"]);
    }
    calls
}

/// Counts one call. `kind` and `outcome` come from small fixed sets.
pub(super) fn count(kind: &str, outcome: &str, duration: Duration) {
    CALLS.with_label_values(&[kind, outcome]).inc();
    TOOL_SECONDS.with_label_values(&[kind]).observe(duration.as_secs_f64());
}
