//! Sends the head of a session's lane: plan, send, record.
//!
//! Four things can be away while a delivery is on its way, and each is waited for in its own way:
//! the receiver by retries, short ones in place and long ones with the lane parked; a receiver that
//! never answers by leaving it alone (`breaker`), so that its deliveries wait as rows; the database
//! by holding what has to be written (`recorder`), beyond the lease, which this process does not
//! claim again meanwhile (`in_work`); this process by whoever claims the lane next, which goes on at
//! the first chunk that was not sent.
//!
//! No destination gets more than its share of the slots (`destinations`), and attempts are written
//! down many at a time (`recorder`).
//!
//! No connection to the database is held while a request is on its way.

mod breaker;
mod carrier;
mod destinations;
mod held;
mod in_work;
mod plan;
mod recorder;
mod send;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use recado_clock::Clock;
use recado_http::guard::GuardedClient;
use recado_service::lanes::{LaneWork, Wake};
use recado_store::deliveries::{self, Claimed, MAX_CLAIM};
use recado_store::lanes::{self, LaneKind, Lease};
use recado_store::{Store, StoreError};
use recado_trace::spans;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::metrics::FINISHED;
use breaker::Probe;
use destinations::{Destinations, InHand};
use held::{HeldLane, Parking};
use in_work::{InWork, Working};
use plan::Unsendable;
use recorder::Recorder;

/// How long a delivery may wait for its destination before it fails: who asked has found another
/// way by then.
const MAX_AGE: TimeDelta = TimeDelta::hours(24);
/// Longer than the longest `timeout_ms` of a callback: how long nobody else probes a destination
/// after a probe was claimed.
const PROBE: Duration = Duration::from_secs(65);

/// Sends deliveries.
pub(crate) struct Deliver {
    store: Store,
    client: GuardedClient,
    clock: Arc<dyn Clock>,
    lease: Duration,
    wake: Wake,
    shutdown: CancellationToken,
    destinations: Arc<Destinations>,
    in_work: Arc<InWork>,
    recorder: Recorder,
}

/// What [`Deliver`] needs.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) client: GuardedClient,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Duration,
    pub(crate) slots: usize,
    pub(crate) wake: Wake,
    pub(crate) shutdown: CancellationToken,
}

/// How the work on a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The last chunk was sent.
    Delivered,
    /// A chunk could not be sent, or there was nothing that could.
    Failed,
    /// The lane was given back, to be claimed again after a pause.
    Parked { pause: Duration, why: Parking },
    /// Somebody else may be at work.
    LeaseLost,
}

/// A delivery that was claimed and counts as in hand.
pub(crate) struct Taken {
    claimed: Claimed,
    in_hand: InHand,
    working: Working,
}

impl LaneWork for Deliver {
    type Lease = Lease;
    type Claimed = Taken;
    type Error = StoreError;

    async fn claim(&self, limit: usize) -> Result<Vec<Taken>, StoreError> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let wanted = (limit - taken.len()).min(MAX_CLAIM);
            match self.claim_some(wanted).await {
                Ok(some) => {
                    let n_claimed = some.len();
                    taken.extend(some);
                    if n_claimed < wanted {
                        break;
                    }
                }
                // What was claimed before is worked; whoever claims next meets the error again.
                Err(_) if !taken.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    fn lease_of(taken: &Taken) -> Lease {
        taken.claimed.lease
    }

    async fn renew(&self, held: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        lanes::renew(&self.store, LaneKind::Delivery, held, self.lease).await
    }

    async fn work(&self, taken: Taken, lost: CancellationToken) {
        let Claimed { delivery_id, execution_id, tenant_id, lease, trace, .. } = &taken.claimed;
        let (delivery, execution, session) = (*delivery_id, *execution_id, lease.session_id);
        let span = spans::deliver(delivery, execution, *tenant_id, session, trace.as_ref());
        self.work_in_span(taken, lost).instrument(span).await;
    }
}

impl Deliver {
    async fn work_in_span(&self, taken: Taken, lost: CancellationToken) {
        let Taken { claimed, in_hand, working } = taken;
        let probe = Probe::new(claimed.probe);
        let lane = HeldLane {
            deliver: self,
            claimed: &claimed,
            in_hand: &in_hand,
            probe: &probe,
            lost: &lost,
        };
        let ended = lane.deliver().await;
        lane.pass_probe_on().await;
        drop((working, in_hand));
        self.ended(ended);
    }

    /// Answers what writes attempts down, too: it has to run, and ends after this.
    pub(crate) fn new(parts: Parts) -> (Self, impl Future<Output = ()> + Send) {
        let Parts { store, client, clock, lease, slots, wake, shutdown } = parts;
        let (recorder, recording) = Recorder::open(store.clone(), lease, slots, shutdown.clone());
        let destinations = Arc::new(Destinations::new(slots));
        let in_work = Arc::default();
        let deliver =
            Self { store, client, clock, lease, wake, shutdown, destinations, in_work, recorder };
        (deliver, recording)
    }

    async fn claim_some(&self, limit: usize) -> Result<Vec<Taken>, StoreError> {
        let began = Instant::now();
        let (vacant, in_work) = (self.destinations.vacant(), self.in_work.all());
        let room = vacant.room(&in_work, self.lease.max(PROBE));
        let claimed = deliveries::claim(&self.store, limit, self.lease, &room).await?;
        let take = |claimed: Claimed| Taken {
            in_hand: self.destinations.take(&claimed, began),
            working: self.in_work.begin(claimed.lease),
            claimed,
        };
        Ok(claimed.into_iter().map(take).collect())
    }

    /// There is room at the destination, and the lane may have been handed on to the session's
    /// next delivery: both are for the loop to find.
    fn ended(&self, ended: Ended) {
        match ended {
            Ended::Delivered => FINISHED.with_label_values(&["delivered"]).inc(),
            Ended::Failed => {
                recado_trace::fail(&Span::current(), "failed");
                FINISHED.with_label_values(&["failed"]).inc();
            }
            Ended::Parked { pause, why } => {
                why.count();
                self.wake.wake_at(Instant::now() + pause);
            }
            // The loop says so.
            Ended::LeaseLost => {}
        }
        self.wake.wake();
    }
}

impl HeldLane<'_> {
    async fn deliver(&self) -> Ended {
        let age = self.deliver.clock.now() - self.claimed.requested_at;
        if age > MAX_AGE {
            let message = "it has waited for its destination for more than 24 hours";
            return self.fail("expired", message).await;
        }
        match self.plan().await {
            Ok(plan) => self.send_all(&plan).await.unwrap_or_else(|ended| ended),
            Err(Unsendable::Ended(ended)) => ended,
            Err(Unsendable::Never { code, message }) => self.fail(code, &message).await,
        }
    }
}
