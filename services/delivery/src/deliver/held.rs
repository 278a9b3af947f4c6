//! A lane that is ours for a while, and what can be done with it.

use std::error::Error;
use std::time::Duration;

use recado_store::StoreError;
use recado_store::deliveries::{self, Claimed};
use recado_store::lanes::{self, Held, LaneKind};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::breaker::Probe;
use super::destinations::InHand;
use super::{Deliver, Ended};
use crate::metrics::PARKED;

/// The longest pause in which a lane keeps its slot; for a longer one it is parked.
pub(super) const LONGEST_PAUSE_HELD: Duration = Duration::from_secs(1);
/// The pauses between two tries to write something down while the database is away.
const FIRST_STORE_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_STORE_PAUSE: Duration = Duration::from_secs(2);

/// A claimed delivery and the means to send it.
#[derive(Clone, Copy)]
pub(super) struct HeldLane<'a> {
    pub(super) deliver: &'a Deliver,
    pub(super) claimed: &'a Claimed,
    pub(super) in_hand: &'a InHand,
    pub(super) probe: &'a Probe,
    /// Cancelled once the lane may be somebody else's.
    pub(super) lost: &'a CancellationToken,
}

/// Why something could not be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unstored {
    /// The lease was lost before the database came back.
    #[error("the lease was lost")]
    LeaseLost,
    /// The database does not take it, now or later.
    #[error("it cannot be stored")]
    Rejected(#[source] StoreError),
}

/// Why a lane is given back before its delivery has ended; as a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parking {
    /// The receiver is to be asked again later.
    Retry,
    /// The next chunk is to be sent later.
    ChunkDelay,
    /// The destination does not answer.
    DestinationOpen,
    /// This process stops.
    Shutdown,
    /// The lease ran out while the database was away, and nobody else has claimed the lane.
    LeaseLost,
}

impl Parking {
    pub(super) fn count(self) {
        let reason = match self {
            Self::Retry => "retry",
            Self::ChunkDelay => "chunk_delay",
            Self::DestinationOpen => "destination_open",
            Self::Shutdown => "shutdown",
            Self::LeaseLost => "lease_lost",
        };
        PARKED.with_label_values(&[reason]).inc();
    }
}

/// The pauses while the database is away: they double, up to a limit, and vary.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_STORE_PAUSE)
    }
}

impl Backoff {
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_STORE_PAUSE);
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }
}

impl HeldLane<'_> {
    /// Runs a statement, again and again while the database is away and the lane is ours. It is
    /// tried once even if the lease seems lost: as long as nobody else has claimed the lane, what
    /// was done can still be written down.
    pub(super) async fn stored<T, F>(&self, statement: impl Fn() -> F) -> Result<T, Unstored>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut backoff = Backoff::default();
        loop {
            match statement().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_transient() => {
                    let error = &error as &dyn Error;
                    tracing::debug!(error, "the database is away; holding what has to be stored");
                }
                Err(error) => return Err(Unstored::Rejected(error)),
            }
            let waited = self.lost.run_until_cancelled(sleep(backoff.next_pause())).await;
            waited.ok_or(Unstored::LeaseLost)?;
        }
    }

    /// Ends the delivery without sending anything more.
    pub(super) async fn fail(&self, code: &str, message: &str) -> Ended {
        let Claimed { lease, delivery_id, .. } = self.claimed;
        let now = self.deliver.clock.now();
        let failed = self.stored(|| {
            deliveries::fail(&self.deliver.store, lease, *delivery_id, now, code, message)
        });
        match failed.await {
            Ok(Held::Yes) => {
                tracing::warn!(error.code = code, "delivery {delivery_id} failed: {message}");
                Ended::Failed
            }
            Ok(Held::No) | Err(Unstored::LeaseLost) => Ended::LeaseLost,
            Err(Unstored::Rejected(error)) => {
                let error = &error as &dyn Error;
                tracing::error!(error, "a failed delivery cannot be ended");
                Ended::LeaseLost
            }
        }
    }

    /// Waits with the lane in hand; parks it if we are to stop.
    pub(super) async fn pause(&self, pause: Duration) -> Result<(), Ended> {
        let since = Instant::now();
        tokio::select! {
            biased;
            () = self.lost.cancelled() => Err(self.hand_back().await),
            () = self.deliver.shutdown.cancelled() => {
                let left = pause.saturating_sub(since.elapsed());
                Err(self.park(left, Parking::Shutdown).await)
            }
            () = sleep(pause) => Ok(()),
        }
    }

    /// Gives a lane back whose lease was lost. What was recorded meanwhile, if nobody has claimed
    /// it, has made it ours again: whoever goes on need not wait for another lease to run out.
    pub(super) async fn hand_back(&self) -> Ended {
        self.park(Duration::ZERO, Parking::LeaseLost).await
    }

    /// Gives the lane back with its head still to be sent, to be claimed again after `pause`.
    pub(super) async fn park(&self, pause: Duration, why: Parking) -> Ended {
        let Claimed { lease, .. } = self.claimed;
        let store = &self.deliver.store;
        let released = self
            .stored(|| {
                lanes::release(store, LaneKind::Delivery, std::slice::from_ref(lease), pause)
            })
            .await;
        match released {
            Ok(()) => Ended::Parked { pause, why },
            Err(Unstored::LeaseLost) => Ended::LeaseLost,
            Err(Unstored::Rejected(error)) => {
                let error = &error as &dyn Error;
                tracing::error!(error, "a lane cannot be parked; its lease runs out instead");
                Ended::LeaseLost
            }
        }
    }
}
