//! The loop that sends events: claim what is due, have it sent, look again.
//!
//! A claim is made when something was recorded, when an attempt was written down, when there may be
//! more than there was room for, and every [`POLL`] in any case, which is also how an event whose
//! pause is over is found.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use recado_service::lanes::POLL;
use recado_store::event_deliveries::{self, Caps, Claimed};
use recado_store::{Store, StoreError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::{Attempts, TIMEOUT};

/// After how long an event that was claimed goes to another instance: long enough for the attempt,
/// and for the database to come back and take what came of it.
pub(super) const LEASE: Duration = Duration::from_secs(35);
const _: () = assert!(LEASE.as_secs() > 2 * TIMEOUT.as_secs());

/// The most events of one endpoint that are on their way, all instances together.
const PER_ENDPOINT: u32 = 16;

/// The most events that are claimed at a time.
const MAX_CLAIM: usize = 128;

/// The pauses between two claims while the database is away double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends events.
pub(super) struct Sending {
    pub(super) store: Store,
    pub(super) attempts: Arc<Attempts>,
    /// How many are on their way at a time.
    pub(super) slots: usize,
    pub(super) wake: Arc<Notify>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

/// What the last claim tells about the next one.
enum Next {
    /// There may be more.
    AtOnce,
    /// There was nothing more.
    WhenWoken,
    /// The database is away.
    After(Duration),
}

impl Sending {
    /// Sends until shutdown, then returns; what is on its way then is waited for by the tracker.
    pub(super) async fn run(self) {
        let slots = Arc::new(Semaphore::new(self.slots.min(Semaphore::MAX_PERMITS)));
        let mut outage = Outage::default();
        // A claim under way is not abandoned: what it leased would wait for its lease to end.
        while let Some(Ok(first)) =
            self.shutdown.run_until_cancelled(Arc::clone(&slots).acquire_owned()).await
        {
            let next = self.claim(&slots, first, &mut outage).await;
            self.shutdown.run_until_cancelled(self.wait(next)).await;
        }
    }

    /// Claims as much as there is room for, `first` included, and has it sent.
    async fn claim(
        &self,
        slots: &Arc<Semaphore>,
        first: OwnedSemaphorePermit,
        outage: &mut Outage,
    ) -> Next {
        let limit = (slots.available_permits() + 1).min(MAX_CLAIM);
        match event_deliveries::claim(&self.store, limit, self.caps(), LEASE).await {
            Ok(claimed) => {
                outage.is_over();
                let next = if claimed.len() < limit { Next::WhenWoken } else { Next::AtOnce };
                drop(first);
                for claimed in claimed {
                    self.send(slots, claimed);
                }
                next
            }
            Err(error) => Next::After(outage.goes_on(&error)),
        }
    }

    /// One tenant, however many endpoints of theirs are dead, leaves half of the slots to others.
    fn caps(&self) -> Caps {
        let per_tenant = u32::try_from(self.slots / 2).unwrap_or(u32::MAX).max(1);
        Caps { per_endpoint: PER_ENDPOINT, per_tenant }
    }

    fn send(&self, slots: &Arc<Semaphore>, claimed: Claimed) {
        let permit = Arc::clone(slots).try_acquire_owned();
        let permit =
            permit.expect("nobody else takes slots, and it was free when it was claimed for");
        let attempts = Arc::clone(&self.attempts);
        self.tasks.spawn(async move {
            attempts.make(claimed).await;
            drop(permit);
        });
    }

    async fn wait(&self, next: Next) {
        match next {
            Next::AtOnce => {}
            Next::WhenWoken => {
                // It does not matter which of the two it was.
                let _ = timeout(POLL, self.wake.notified()).await;
            }
            Next::After(pause) => sleep(pause).await,
        }
    }
}

/// Claims that fail one after the other are one outage, told when it begins and when it ends.
#[derive(Default)]
struct Outage {
    /// What was waited for last; `None` while there is none.
    pause: Option<Duration>,
}

impl Outage {
    /// Another claim failed: answers how long to wait. Half of it is chance, so that the instances
    /// do not all come back at once.
    fn goes_on(&mut self, error: &StoreError) -> Duration {
        let pause = match self.pause {
            None => {
                let error = error as &dyn Error;
                tracing::warn!(error, "cannot claim events; trying until it works");
                FIRST_PAUSE
            }
            Some(last) => (last * 2).min(LONGEST_PAUSE),
        };
        self.pause = Some(pause);
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }

    fn is_over(&mut self) {
        if self.pause.take().is_some() {
            tracing::info!("can claim events again");
        }
    }
}
