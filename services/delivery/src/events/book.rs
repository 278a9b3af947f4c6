//! Attempts, written down: while some are on their way to the database, the next ones gather.

use std::error::Error;
use std::time::Duration;

use recado_store::event_deliveries::{self, Claimed, Disabled, EventAttempt};
use recado_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::metrics::DISABLED;
use super::sending::LEASE;

/// The most attempts of one statement: each may have 28 KiB of its answer.
const MAX_BATCH: usize = 256;
/// The pauses between two tries while the database is away double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The code of an attempt that failed and whose answer the database refused.
const INTERNAL_ERROR: &str = "internal_error";

/// Where attempts are handed in.
#[derive(Debug)]
pub(super) struct Book {
    line: mpsc::Sender<Entry>,
}

#[derive(Debug)]
struct Entry {
    claimed: Claimed,
    attempt: EventAttempt,
    /// Told when it is written.
    written: oneshot::Sender<()>,
}

impl Book {
    /// A book, and what writes it: for as long as somebody has the book.
    pub(super) fn open(store: Store) -> (Self, impl Future<Output = ()> + Send) {
        let (line, entries) = mpsc::channel(MAX_BATCH);
        (Self { line }, keep(store, entries))
    }

    /// Hands an attempt in, and waits until it is written down, or given up because the lease has
    /// run out before the database came back: then it is made again.
    pub(super) async fn enter(&self, claimed: Claimed, attempt: EventAttempt) {
        let (written, is_written) = oneshot::channel();
        let entry = Entry { claimed, attempt, written };
        if self.line.send(entry).await.is_ok() {
            // An error says that the book is gone, with the runtime: nobody writes any more.
            let _ = is_written.await;
        }
    }
}

async fn keep(store: Store, mut entries: mpsc::Receiver<Entry>) {
    let mut gathered = Vec::with_capacity(MAX_BATCH);
    while entries.recv_many(&mut gathered, MAX_BATCH).await > 0 {
        let (batch, told): (Vec<_>, Vec<_>) = gathered
            .drain(..)
            .map(|Entry { claimed, attempt, written }| ((claimed, attempt), written))
            .unzip();
        write(&store, &batch).await;
        for written in told {
            // Whoever waited may be gone, with the runtime.
            let _ = written.send(());
        }
    }
}

/// Writes attempts down, one by one if the database refuses them together.
async fn write(store: &Store, batch: &[(Claimed, EventAttempt)]) {
    match written(store, batch).await {
        Ok(disabled) => disabled.iter().for_each(tell),
        Err(error) if error.is_transient() => {
            let error = &error as &dyn Error;
            tracing::error!(
                error,
                attempts = batch.len(),
                "the database was away for too long; attempts are made again"
            );
        }
        Err(_) => {
            for (claimed, attempt) in batch {
                write_alone(store, claimed, attempt).await;
            }
        }
    }
}

/// Writes an attempt down, without the answer if the database refuses it with it: an event that was
/// never tried as far as anybody knows would be sent again for ever.
async fn write_alone(store: &Store, claimed: &Claimed, attempt: &EventAttempt) {
    for attempt in [attempt.clone(), bare(attempt)] {
        match written(store, &[(claimed.clone(), attempt)]).await {
            Ok(disabled) => return disabled.iter().for_each(tell),
            Err(error) => {
                let error = &error as &dyn Error;
                let id = claimed.id;
                tracing::error!(event_delivery.id = %id, error, "an attempt cannot be written down");
            }
        }
    }
}

/// An attempt with nothing of what the receiver said. What follows from it stays, so what arrived
/// is not sent again.
fn bare(attempt: &EventAttempt) -> EventAttempt {
    EventAttempt {
        error_code: attempt.error_code.as_ref().map(|_unsure| INTERNAL_ERROR.to_owned()),
        response_headers: None,
        response_body: None,
        ..attempt.clone()
    }
}

/// Tries until it is written, while the database is away for no longer than the leases last.
async fn written(
    store: &Store,
    batch: &[(Claimed, EventAttempt)],
) -> Result<Vec<Disabled>, StoreError> {
    let since = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match event_deliveries::record_attempts(store, batch).await {
            Err(error) if error.is_transient() && since.elapsed() < LEASE => {
                let error = &error as &dyn Error;
                tracing::debug!(error, "the database is away; holding what has to be written");
            }
            result => return result,
        }
        sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn tell(disabled: &Disabled) {
    DISABLED.inc();
    tracing::warn!(
        event.name = "event_endpoint.disabled",
        endpoint.id = %disabled.id,
        tenant.id = %disabled.tenant_id,
        error.code = disabled.code,
        "event endpoint {} is disabled: {}", disabled.id, disabled.code
    );
}
