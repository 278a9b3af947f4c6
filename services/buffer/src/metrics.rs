//! What Prometheus is told.

use recado_metrics::{
    Histogram, IntCounter, IntCounterVec, IntGauge, Reading, buckets, counter, counters, families,
    gauge, histogram, label, reading,
};

families! {
    /// Makes the metrics of this crate exist.
    pub fn register_metrics;

    /// Windows published, by why: `due` (Redis said so), `redis_down`, `overdue` (the sweeper).
    pub(crate) static FLUSHES: IntCounterVec = counters(
        "recado_buffer_flushes_total",
        "Windows published as executions: `due` by Redis, at once because of `redis_down`, or \
         found `overdue` by the sweeper",
        &[label("reason").of(&["due", "redis_down", "overdue"])],
    );

    /// How long after its time a window was published.
    pub(crate) static LATE_SECONDS: Histogram = histogram(
        "recado_buffer_flush_late_seconds",
        "How long after its time a window was published; without those that Redis did not keep",
        buckets::waiting(),
    );

    /// Messages whose id is known with another content, each time they are tried: before the last
    /// retry as well as after it, and once more if they came in a batch.
    pub(crate) static CONFLICTS: IntCounter = counter(
        "recado_buffer_conflicts_total",
        "Messages met whose id is known with another content, at each try",
    );

    /// Windows put back into Redis after a wipe.
    pub(crate) static RESTORED: IntCounter = counter(
        "recado_buffer_windows_restored_total",
        "Windows put back into Redis after it had lost them",
    );

    /// Sessions with an open window, as of the last sweep.
    pub(crate) static OPEN_WINDOWS: Reading = reading(
        "recado_buffer_open_windows",
        "Sessions with an open window, as last swept; the same in all instances",
    );

    /// How long the oldest message of an open window has waited, as of the last sweep.
    pub(crate) static OLDEST_SECONDS: Reading = reading(
        "recado_buffer_oldest_message_seconds",
        "Age of the oldest message in a window, as last swept; the same in all instances",
    );

    /// How late the latest window is, as of the last sweep.
    pub(crate) static OVERDUE_SECONDS: Reading = reading(
        "recado_buffer_overdue_seconds",
        "How long the most overdue window is past its time, as last swept; 0 if none is; the \
         same in all instances",
    );

    /// Whether messages are buffered (1), or run at once because Redis is away (0).
    pub(crate) static REDIS_AVAILABLE: IntGauge =
        gauge("recado_buffer_redis_available", "1 while messages are buffered in Redis");
}
