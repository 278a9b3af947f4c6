//! Writes attempts down, those of many deliveries with one statement.
//!
//! A commit costs the database the same for one attempt as for two hundred. So while one batch is
//! on its way the next one gathers: alone, an attempt is written at once; under load, few
//! statements write very many.
//!
//! What is to be written is held while the database is away, also beyond its lease: making the
//! request again could deliver the chunk twice, and as long as nobody else has claimed the lane,
//! what was done can still be written down. An attempt that cannot be stored costs only itself.
//!
//! Without what writes, nothing may be sent: it would be sent again, for ever. So if that ends, the
//! process stops.

use std::error::Error;
use std::time::Duration;

use recado_service::batches::{MAX_BATCH, batches};
use recado_store::deliveries::{self, Recording};
use recado_store::lanes::Held;
use recado_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::held::{Backoff, Unstored};

/// How long an attempt is held while the database is away.
const LONGEST_HELD: Duration = Duration::from_mins(10);

/// Takes attempts to be written down.
#[derive(Debug)]
pub(crate) struct Recorder {
    entries: mpsc::Sender<Entry>,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    recording: Recording,
    held_until: Instant,
    written: oneshot::Sender<Result<Held, Unstored>>,
}

impl Recorder {
    /// A recorder, and what writes: it ends once the recorder is dropped and everything is
    /// written. If it ends before, `shutdown` is cancelled. There is room for `slots`, more than
    /// which cannot come: each delivery waits for its attempt to be written before it makes another.
    pub(super) fn open(
        store: Store,
        lease: Duration,
        slots: usize,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (entries, received) = mpsc::channel(slots);
        (Self { entries, shutdown }, Writer { store, lease, entries: received }.run())
    }

    /// Writes an attempt down and answers whether the lease was held.
    pub(super) async fn record(&self, recording: Recording) -> Result<Held, Unstored> {
        let (written, answer) = oneshot::channel();
        let held_until = Instant::now() + LONGEST_HELD;
        let entry = Entry { recording, held_until, written };
        let is_taken = self.entries.send(entry).await.is_ok();
        let answer = if is_taken { answer.await.ok() } else { None };
        // It is as if this process had died: the lease runs out.
        answer.unwrap_or_else(|| {
            self.shutdown.cancel();
            Err(Unstored::LeaseLost)
        })
    }
}

struct Writer {
    store: Store,
    lease: Duration,
    entries: mpsc::Receiver<Entry>,
}

impl Writer {
    async fn run(mut self) {
        let mut gathered = Vec::with_capacity(MAX_BATCH);
        while self.entries.recv_many(&mut gathered, MAX_BATCH).await > 0 {
            for batch in batches(gathered.drain(..), |entry| entry.recording.size()) {
                self.write(batch).await;
            }
        }
    }

    /// Writes a batch, again and again while the database is away.
    async fn write(&self, entries: Vec<Entry>) {
        let (mut batch, mut waiting) = separate(entries);
        let mut backoff = Backoff::default();
        while !batch.is_empty() {
            match deliveries::record(&self.store, self.lease, &batch).await {
                Ok(held) => return answer_all(waiting, held),
                Err(error) if error.is_transient() => {
                    let error = &error as &dyn Error;
                    tracing::debug!(error, "the database is away; holding what has to be stored");
                }
                Err(error) => return self.write_singly(batch, waiting, error).await,
            }
            sleep(backoff.next_pause()).await;
            (batch, waiting) = still_held(batch, waiting);
        }
    }

    /// Somebody's attempt cannot be stored. Whose it is shows when each is tried by itself.
    async fn write_singly(&self, batch: Vec<Recording>, waiting: Vec<Waiting>, error: StoreError) {
        let is_alone = batch.len() == 1;
        let mut entries = batch.into_iter().zip(waiting);
        if is_alone {
            if let Some((_, waiting)) = entries.next() {
                waiting.answer(Err(Unstored::Rejected(error)));
            }
            return;
        }
        for (recording, Waiting { held_until, written }) in entries {
            Box::pin(self.write(vec![Entry { recording, held_until, written }])).await;
        }
    }
}

/// Who waits for an attempt to be written.
struct Waiting {
    held_until: Instant,
    written: oneshot::Sender<Result<Held, Unstored>>,
}

impl Waiting {
    /// Whoever waited may be gone: then its process stops without it.
    fn answer(self, written: Result<Held, Unstored>) {
        drop(self.written.send(written));
    }
}

fn separate(entries: Vec<Entry>) -> (Vec<Recording>, Vec<Waiting>) {
    let parts = entries.into_iter();
    parts
        .map(|Entry { recording, held_until, written }| {
            (recording, Waiting { held_until, written })
        })
        .unzip()
}

fn answer_all(waiting: Vec<Waiting>, held: Vec<Held>) {
    for (waiting, held) in waiting.into_iter().zip(held) {
        waiting.answer(Ok(held));
    }
}

/// Without those that have been held for long enough, who are told.
fn still_held(batch: Vec<Recording>, waiting: Vec<Waiting>) -> (Vec<Recording>, Vec<Waiting>) {
    let now = Instant::now();
    let (given_up, held): (Vec<_>, Vec<_>) =
        batch.into_iter().zip(waiting).partition(|(_, waiting)| waiting.held_until <= now);
    for (recording, waiting) in given_up {
        tracing::error!(
            attempt.id = %recording.attempt.id,
            delivery.id = %recording.attempt.delivery_id,
            "an attempt was not written down: the database is away; its chunk is sent again"
        );
        waiting.answer(Err(Unstored::LeaseLost));
    }
    held.into_iter().unzip()
}

#[cfg(test)]
mod tests;
