//! What Prometheus is told. How many deliveries are being sent is told by the loop of the lanes.

use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, register_histogram, register_int_counter,
    register_int_counter_vec, register_int_gauge,
};
use recado_store::{Store, destinations};
use tokio_util::sync::CancellationToken;

/// How often the database is asked for what only it knows.
const ASK_EVERY: Duration = Duration::from_secs(10);

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

/// Lanes that were given back before their delivery ended, by reason: `retry`, `chunk_delay`,
/// `destination_open`, `shutdown`, `lease_lost`.
pub(crate) static PARKED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Deliveries that were put off without holding a slot";
    register_int_counter_vec!("delivery_parked_total", help, &["reason"])
        .expect("the name is valid and used once")
});

/// Destinations that do not answer and are left alone, as all instances know them.
static DESTINATIONS_OPEN: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Destinations that do not answer; the same in all instances";
    register_int_gauge!("delivery_destinations_open", help)
        .expect("the name is valid and used once")
});

/// Keeps the number of open destinations up to date until `shutdown`.
pub(crate) async fn watch_destinations(store: Store, shutdown: CancellationToken) {
    loop {
        match destinations::count_open(&store).await {
            Ok(n_open) => DESTINATIONS_OPEN.set(n_open),
            // The component `database` says that it is away.
            Err(error) => {
                tracing::debug!(error = &error as &dyn Error, "open destinations are not counted");
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_none() {
            return;
        }
    }
}
