//! What Prometheus is told.

use std::sync::LazyLock;

use prometheus::{
    HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, register_histogram_vec,
    register_int_counter, register_int_counter_vec, register_int_gauge_vec,
};

/// Agents think for milliseconds or for minutes.
const SECONDS: [f64; 14] =
    [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// Messages that found their execution.
pub(crate) static ADMITTED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("runner_messages_admitted_total", "Messages attached to an execution")
        .expect("the name is valid and used once")
});

/// Messages whose id is known with another content, each time they are tried: before the last
/// retry as well as after it, and once more if they came in a batch.
pub(crate) static CONFLICTS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Messages met whose id is known with another content, at each try";
    register_int_counter!("runner_conflicts_total", help).expect("the name is valid and used once")
});

/// Executions by how they ended: `success`, `failed`, `timeout`, `lease_lost`.
pub(crate) static FINISHED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Executions by how they ended";
    register_int_counter_vec!("runner_executions_total", help, &["outcome"])
        .expect("the name is valid and used once")
});

/// How long executions ran.
pub(crate) static EXECUTION_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "How long executions ran, from claim to result";
    register_histogram_vec!("runner_execution_seconds", help, &["outcome"], SECONDS.to_vec())
        .expect("the name is valid and used once")
});

/// How long single requests to providers took, by how they ended.
pub(crate) static MODEL_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "How long requests to model providers took";
    register_histogram_vec!("runner_model_request_seconds", help, &["outcome"], SECONDS.to_vec())
        .expect("the name is valid and used once")
});

/// Rows that retention removed or emptied, by table and by what it was about.
pub(crate) static REMOVED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Rows that retention removed or emptied";
    register_int_counter_vec!("runner_housekeeping_rows_total", help, &["table", "step"])
        .expect("the name is valid and used once")
});

/// When a round of housekeeping last came to its end, by task: `retention`, `usage`.
pub(crate) static HOUSEKEPT: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "When a round of housekeeping last came to its end, in seconds since 1970";
    let name = "runner_housekeeping_last_success_timestamp_seconds";
    register_int_gauge_vec!(name, help, &["task"]).expect("the name is valid and used once")
});
