//! What Prometheus is told.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use recado_clock::Clock;
use recado_metrics::{
    Histogram, IntCounterVec, Reading, buckets, counters, families, histogram, label, reading,
};
use recado_store::{Store, sources};
use tokio_util::sync::CancellationToken;

/// How often the database is asked for what only it knows.
const ASK_EVERY: Duration = Duration::from_secs(15);

const KINDS: &[&str] = &["schedule", "db_event", "imap"];

families! {
    /// Makes the metrics of this crate exist.
    pub fn register_metrics;

    /// Messages that the broker has confirmed, by kind of source.
    pub(crate) static PUBLISHED: IntCounterVec = counters(
        "recado_sources_published_total",
        "Messages that came of sources",
        &[label("kind").of(KINDS)],
    );

    /// What did not become a message, by kind and by why: what a webhook would have been refused
    /// for.
    pub(crate) static LEFT_OUT: IntCounterVec = counters(
        "recado_sources_left_out_total",
        "Happenings that did not become a message, by reason",
        &[label("kind").of(KINDS), label("reason")],
    );

    /// Sources that could not be worked, each time, by kind and by why.
    pub(crate) static FAILED: IntCounterVec = counters(
        "recado_sources_failed_total",
        "Times that a source could not be worked, by reason",
        &[label("kind").of(KINDS), label("reason")],
    );

    /// How long after its time a tick of a schedule was published.
    pub(crate) static LATE_SECONDS: Histogram = histogram(
        "recado_sources_tick_late_seconds",
        "How long after its time a tick was published",
        buckets::waiting(),
    );

    /// Sources that wait for an instance.
    static DUE: Reading = reading(
        "recado_sources_due",
        "Sources whose time has come and that nobody holds, counted up to 10,000 of a kind; asked every \
         15 s; the same in all instances",
    );

    /// How long the first of them has waited.
    static OLDEST_DUE_SECONDS: Reading = reading(
        "recado_sources_oldest_due_seconds",
        "How long the oldest of them has been due; 0 if none is; asked every 15 s; the same in \
         all instances",
    );
}

/// Keeps what waits up to date until `shutdown`.
pub(crate) async fn watch_sources(
    store: Store,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    loop {
        match sources::backlog(&store, clock.now()).await {
            Ok(backlog) => {
                #[expect(clippy::cast_precision_loss, reason = "at most 30,000")]
                DUE.set(backlog.n_due as f64);
                OLDEST_DUE_SECONDS.set(backlog.oldest_s);
            }
            // The component `database` says that it is away.
            Err(error) => {
                DUE.forget();
                OLDEST_DUE_SECONDS.forget();
                tracing::debug!(error = &error as &dyn Error, "due sources are not counted");
            }
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_none() {
            return;
        }
    }
}
