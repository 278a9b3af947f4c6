//! What Prometheus is told.

use std::sync::LazyLock;

use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, register_gauge, register_int_counter,
    register_int_counter_vec, register_int_gauge,
};

/// Windows published, by why: `due` (Redis said so), `redis_down`, `overdue` (the sweeper).
pub(crate) static FLUSHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Windows published as executions, by reason";
    register_int_counter_vec!("buffer_flushes_total", help, &["reason"])
        .expect("the name is valid and used once")
});

/// Messages whose id is known with another content, each time they are tried: before the last
/// retry as well as after it, and once more if they came in a batch.
pub(crate) static CONFLICTS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Messages met whose id is known with another content, at each try";
    register_int_counter!("buffer_conflicts_total", help).expect("the name is valid and used once")
});

/// Windows put back into Redis after a wipe.
pub(crate) static RESTORED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Windows put back into Redis after it had lost them";
    register_int_counter!("buffer_windows_restored_total", help)
        .expect("the name is valid and used once")
});

/// Sessions with an open window, as of the last sweep.
pub(crate) static OPEN_WINDOWS: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("buffer_open_windows", "Sessions with an open window, as last swept")
        .expect("the name is valid and used once")
});

/// How long the oldest message of an open window has waited, as of the last sweep.
pub(crate) static OLDEST_SECONDS: LazyLock<Gauge> = LazyLock::new(|| {
    register_gauge!("buffer_oldest_message_seconds", "Age of the oldest message in a window")
        .expect("the name is valid and used once")
});

/// Whether messages are buffered (1), or run at once because Redis is away (0).
pub(crate) static REDIS_AVAILABLE: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("buffer_redis_available", "1 while messages are buffered in Redis")
        .expect("the name is valid and used once")
});
