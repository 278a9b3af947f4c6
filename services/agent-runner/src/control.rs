//! Stops what runs when somebody says so: an admin, or the sender by writing again.
//!
//! One statement in half a second asks for all runs of this process. What it finds is only a hint
//! to stop early: how a run ends is decided by the statement that ends it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recado_store::Store;
use recado_store::control::{self, Stop, StopReason, Watched};
use recado_types::ExecutionId;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long a run may go on after it was told to stop.
const POLL: Duration = Duration::from_millis(500);

/// The runs of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control(Arc<Mutex<HashMap<ExecutionId, Entry>>>);

#[derive(Debug)]
struct Entry {
    /// Which watch it belongs to: the next run of the same execution may begin before this one's
    /// is gone.
    number: u64,
    yields: bool,
    stop: watch::Sender<Option<StopReason>>,
}

/// One run, for as long as it is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    control: Control,
    id: ExecutionId,
    number: u64,
    stop: watch::Receiver<Option<StopReason>>,
}

impl Control {
    /// Watches a run; `yields` says whether it gives way to newer messages.
    pub(crate) fn watch(&self, id: ExecutionId, yields: bool) -> Watch {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (sender, stop) = watch::channel(None);
        self.entries().insert(id, Entry { number, yields, stop: sender });
        Watch { control: self.clone(), id, number, stop }
    }

    /// Asks for all of them, until `shutdown` and as long as any runs.
    pub(crate) async fn run(self, store: Store, shutdown: CancellationToken) {
        while !(shutdown.is_cancelled() && self.entries().is_empty()) {
            sleep(POLL).await;
            let runs = self.watched();
            if runs.is_empty() {
                continue;
            }
            match control::poll(&store, &runs).await {
                Ok(stops) => {
                    for stop in stops {
                        self.tell(stop);
                    }
                }
                // Whoever ends a run meets the error too, and tells of it.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "nobody can be told to stop");
                }
            }
        }
    }

    /// A run that has begun to have effects since it was asked about does not give way any more.
    fn tell(&self, stop: Stop) {
        if let Some(entry) = self.entries().get(&stop.execution_id)
            && (entry.yields || stop.reason != StopReason::Superseded)
        {
            entry.stop.send_replace(Some(stop.reason));
        }
    }

    fn watched(&self) -> Vec<Watched> {
        let entries = self.entries();
        let watched = |(id, entry): (&ExecutionId, &Entry)| Watched {
            execution_id: *id,
            yields: entry.yields,
        };
        entries.iter().map(watched).collect()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ExecutionId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Returns when the run is to stop at once, with the reason.
    pub(crate) async fn stopped(&self) -> StopReason {
        self.told(|reason| reason != StopReason::Suspended).await
    }

    /// Returns when the run's session is suspended: no model is to be asked any more. What else is
    /// under way comes to its end, or it would have to be done once more.
    pub(crate) async fn suspended(&self) {
        self.told(|reason| reason == StopReason::Suspended).await;
    }

    async fn told(&self, is_meant: impl Fn(StopReason) -> bool) -> StopReason {
        let mut stop = self.stop.clone();
        let told = stop.wait_for(|reason| reason.is_some_and(&is_meant)).await;
        match told.ok().and_then(|reason| *reason) {
            Some(reason) => reason,
            // The sender is in the map for as long as this is there.
            None => std::future::pending().await,
        }
    }

    /// From here on the run gives way to nobody: what it does has effects.
    pub(crate) fn begin_effects(&self) {
        if let Some(entry) = self.own(&mut self.control.entries()) {
            entry.yields = false;
            entry.stop.send_if_modified(|reason| {
                reason.take_if(|reason| *reason == StopReason::Superseded).is_some()
            });
        }
    }

    /// Whether the run still gives way to newer messages.
    pub(crate) fn yields(&self) -> bool {
        self.own(&mut self.control.entries()).is_some_and(|entry| entry.yields)
    }

    fn own<'e>(&self, entries: &'e mut HashMap<ExecutionId, Entry>) -> Option<&'e mut Entry> {
        entries.get_mut(&self.id).filter(|entry| entry.number == self.number)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut entries = self.control.entries();
        if self.own(&mut entries).is_some() {
            entries.remove(&self.id);
        }
    }
}
