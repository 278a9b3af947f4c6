//! What Prometheus is told. How many deliveries are being sent is told by the loop of the lanes.

use std::error::Error;
use std::time::Duration;

use recado_metrics::{
    Histogram, IntCounter, IntCounterVec, Reading, buckets, counter, counters, families, histogram,
    label, reading,
};
use recado_store::{Store, destinations};
use tokio_util::sync::CancellationToken;

/// How often the database is asked for what only it knows.
const ASK_EVERY: Duration = Duration::from_secs(15);

families! {
    /// Makes the metrics of callbacks exist.
    fn register_callbacks;

    /// Requests by what followed from them.
    pub(crate) static ATTEMPTS: IntCounterVec = counters(
        "recado_delivery_attempts_total",
        "Callback requests by what followed from them",
        &[label("outcome").of(&["sent", "retry", "gave_up"])],
    );

    /// How long requests took.
    pub(crate) static ATTEMPT_SECONDS: Histogram = histogram(
        "recado_delivery_attempt_seconds",
        "How long callback requests took, from the first packet to the last byte",
        buckets::long(),
    );

    /// From the row to the first request.
    pub(crate) static WAITED_SECONDS: Histogram = histogram(
        "recado_delivery_waited_seconds",
        "From a delivery's creation to its first attempt",
        buckets::waiting(),
    );

    /// Chunks that their channel took.
    pub(crate) static CHUNKS_SENT: IntCounter =
        counter("recado_delivery_chunks_sent_total", "Chunks that their channel took");

    /// Deliveries that ended, by status.
    pub(crate) static FINISHED: IntCounterVec = counters(
        "recado_delivery_finished_total",
        "Deliveries that ended",
        &[label("status").of(&["delivered", "failed"])],
    );

    /// Lanes that were given back before their delivery ended, by reason.
    pub(crate) static PARKED: IntCounterVec = counters(
        "recado_delivery_parked_total",
        "Deliveries that were put off without holding a slot",
        &[label("reason").of(&[
            "retry", "chunk_delay", "destination_open", "shutdown", "lease_lost",
        ])],
    );

    /// Destinations that do not answer and are left alone, as all instances know them.
    static DESTINATIONS_OPEN: Reading = reading(
        "recado_delivery_destinations_open",
        "Destinations that do not answer; asked every 15 s; the same in all instances",
    );

    /// Every trigger is one.
    static DESTINATIONS: Reading = reading(
        "recado_delivery_destinations",
        "About how many destinations there are, as PostgreSQL estimates it: one for each trigger; \
         asked every 15 s; the same in all instances",
    );
}

/// Makes the metrics of this crate exist.
pub fn register_metrics() {
    register_callbacks();
    crate::events::register_metrics();
}

/// Keeps the numbers of destinations up to date until `shutdown`.
pub(crate) async fn watch_destinations(store: Store, shutdown: CancellationToken) {
    loop {
        match destinations::count(&store).await {
            #[expect(clippy::cast_precision_loss, reason = "a count of triggers")]
            Ok(found) => {
                DESTINATIONS_OPEN.set(found.n_open as f64);
                DESTINATIONS.set(found.n_about as f64);
            }
            // The component `database` says that it is away.
            Err(error) => {
                DESTINATIONS_OPEN.forget();
                DESTINATIONS.forget();
                tracing::debug!(error = &error as &dyn Error, "open destinations are not counted");
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_none() {
            return;
        }
    }
}
