//! What Prometheus is told of connections, and of lanes when they are claimed.

use std::sync::{Mutex, Once, PoisonError};

use deadpool_postgres::{Pool, Status};
use recado_metrics::{
    Histogram, HistogramVec, IntGauge, IntGaugeVec, before_scrape, buckets, families, gauge,
    gauges, histogram, histograms, label,
};

families! {
    /// Makes the metrics of this crate exist.
    pub fn register_metrics;

    static CONNECTIONS: IntGaugeVec = gauges(
        "recado_store_pool_connections",
        "Connections to the database, of all pools of the process",
        &[label("state").of(&["idle", "in_use"])],
    );

    static MAX: IntGauge =
        gauge("recado_store_pool_max", "The most connections that the pools may have");

    static WAITING: IntGauge =
        gauge("recado_store_pool_waiting", "Those that wait for a connection now");

    pub(crate) static ACQUIRE_SECONDS: Histogram = histogram(
        "recado_store_acquire_seconds",
        "How long it took to get a connection, or to give up",
        buckets::short(),
    );

    pub(crate) static LANES_WAITED_SECONDS: HistogramVec = histograms(
        "recado_lanes_waited_seconds",
        "From when a lane was due to when it was claimed",
        &[label("kind").of(&["execution", "delivery"])],
        buckets::waiting(),
    );
}

/// How a pool is, as long as it lasts.
type Look = Box<dyn Fn() -> Option<Status> + Send>;

/// All pools of this process, as long as they last: one for each role.
static POOLS: Mutex<Vec<Look>> = Mutex::new(Vec::new());

/// Has `pool` counted when the metrics are read.
pub(crate) fn watch(pool: &Pool) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| before_scrape(look));
    let pool = pool.weak();
    let look: Look = Box::new(move || pool.upgrade().map(|pool| pool.status()));
    POOLS.lock().unwrap_or_else(PoisonError::into_inner).push(look);
}

fn look() {
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut idle, mut size, mut max, mut waiting) = (0, 0, 0, 0);
    pools.retain(|pool| {
        let Some(status) = pool() else { return false };
        idle += status.available;
        size += status.size;
        max += status.max_size;
        waiting += status.waiting;
        true
    });
    drop(pools);
    CONNECTIONS.with_label_values(&["idle"]).set(count(idle));
    CONNECTIONS.with_label_values(&["in_use"]).set(count(size.saturating_sub(idle)));
    MAX.set(count(max));
    WAITING.set(count(waiting));
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
