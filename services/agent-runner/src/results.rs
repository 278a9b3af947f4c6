//! Writes results down, those of many executions with one statement.
//!
//! A commit costs the database the same for one result as for two hundred. So while one batch is on
//! its way the next one gathers: alone, a result is written at once; under load, few statements
//! write very many.
//!
//! While the database is away results are held for as long as their leases: running the agents again
//! would cost more. A result that cannot be stored, or whose lane somebody has locked, costs only
//! itself: a batch that is refused is halved until it is alone, and who has to wait waits beside the
//! others.

use std::error::Error;
use std::time::Duration;

use recado_service::batches::{MAX_BATCH, batches};
use recado_store::executions::{self, Conclusion, Finished};
use recado_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

/// The pause between two tries to write results down while the database is away.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Takes results to be written down.
#[derive(Debug)]
pub(crate) struct Results(mpsc::Sender<Entry>);

#[derive(Debug)]
struct Entry {
    conclusion: Conclusion,
    written: oneshot::Sender<Result<Finished, StoreError>>,
}

impl Results {
    /// Results, and what writes: it ends once the results are dropped and everything is written.
    /// There is room for `slots`, more than which cannot come: each execution waits for its own.
    /// Those that have to wait for a lock do so in `tasks`.
    pub(crate) fn open(
        store: Store,
        slots: usize,
        tasks: TaskTracker,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (entries, received) = mpsc::channel(slots);
        (Self(entries), run(Writer { store, tasks }, received))
    }

    /// Writes a result down.
    pub(crate) async fn write(&self, conclusion: Conclusion) -> Result<Finished, StoreError> {
        let (written, answer) = oneshot::channel();
        let is_taken = self.0.send(Entry { conclusion, written }).await.is_ok();
        let answer = if is_taken { answer.await.ok() } else { None };
        // What writes is gone, and the process with it: the lease runs out.
        answer.unwrap_or(Ok(Finished::Not))
    }
}

async fn run(writer: Writer, mut entries: mpsc::Receiver<Entry>) {
    let mut gathered = Vec::with_capacity(MAX_BATCH);
    while entries.recv_many(&mut gathered, MAX_BATCH).await > 0 {
        for batch in batches(gathered.drain(..), |entry| entry.conclusion.size()) {
            writer.write(batch, false).await;
        }
    }
}

#[derive(Clone)]
struct Writer {
    store: Store,
    tasks: TaskTracker,
}

impl Writer {
    /// Writes a batch, again and again while the database is away. `in_doubt`: whether a try before
    /// this one may have been written, and only its answer lost.
    async fn write(&self, mut batch: Vec<Entry>, mut in_doubt: bool) {
        loop {
            // Whoever lost the lease does not wait any more, and nothing is written for it.
            batch.retain(|entry| !entry.written.is_closed());
            let conclusions: Vec<_> = batch.iter().map(|entry| entry.conclusion.clone()).collect();
            if conclusions.is_empty() {
                return;
            }
            match self.finish_all(&conclusions, in_doubt).await {
                Ok(finished) => return answer_all(batch, finished),
                Err(error) if error.is_transient() && !error.is_timeout() => {
                    in_doubt = true;
                    let error = &error as &dyn Error;
                    tracing::debug!(error, "the database is away; holding results");
                }
                Err(error) => return self.write_apart(batch, error, in_doubt).await,
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn finish_all(
        &self,
        conclusions: &[Conclusion],
        in_doubt: bool,
    ) -> Result<Vec<Finished>, StoreError> {
        let finished = executions::finish_all(&self.store, conclusions).await?;
        if in_doubt {
            return executions::finished_before(&self.store, conclusions, finished).await;
        }
        Ok(finished)
    }

    /// One of the batch cannot be stored, or has to wait for a lock.
    async fn write_apart(&self, mut batch: Vec<Entry>, error: StoreError, in_doubt: bool) {
        if batch.len() > 1 {
            let n_results = batch.len();
            tracing::debug!(error = &error as &dyn Error, n_results, "a batch is halved");
            drop(error);
            let rest = batch.split_off(batch.len() / 2);
            Box::pin(self.write(batch, in_doubt)).await;
            Box::pin(self.write(rest, in_doubt)).await;
            return;
        }
        for entry in batch {
            if error.is_timeout() {
                self.tasks.spawn(self.clone().write_when_free(entry, in_doubt));
            } else {
                return answer(entry, Err(error));
            }
        }
    }

    /// Tries until the lock is free, or until nobody waits any more.
    async fn write_when_free(self, entry: Entry, mut in_doubt: bool) {
        while !entry.written.is_closed() {
            sleep(RETRY_PAUSE).await;
            let alone = std::slice::from_ref(&entry.conclusion);
            match self.finish_all(alone, in_doubt).await {
                Err(error) if error.is_transient() => in_doubt |= !error.is_timeout(),
                Ok(finished) => return answer_all(vec![entry], finished),
                Err(error) => return answer(entry, Err(error)),
            }
        }
    }
}

fn answer_all(batch: Vec<Entry>, finished: Vec<Finished>) {
    for (entry, finished) in batch.into_iter().zip(finished) {
        answer(entry, Ok(finished));
    }
}

/// Whoever waited may be gone: its lease was lost.
fn answer(entry: Entry, finished: Result<Finished, StoreError>) {
    drop(entry.written.send(finished));
}
