//! The loop that works lanes: claim what has something to run, run it, keep its lease.
//!
//! A lane is one session's queue in front of one kind of work (ARCHITECTURE.md, "Lanes"). What a
//! lane is in the database is [`LaneWork`]'s business; when to ask for one, how many to work at a
//! time and when a lease is no longer ours is decided here.
//!
//! * A claim is made when somebody calls [`Wake::wake`], at the times that were given to
//!   [`Wake::wake_at`] (those of lanes that were parked), when a slot becomes free and the last
//!   claim found more than there was room for, and every `poll` in any case: a wake-up that is
//!   lost costs `poll`, no more. Claims follow one another, so that under load each takes a batch.
//! * A lease counts from before the claim was sent, so it never seems longer here than it is in
//!   the database; `lost` is cancelled no later than another process may claim the lane.
//! * A panic is contained: the lane's lease runs out, so its retry is delayed by itself.
//! * When the database is away the loop waits with growing pauses, and says so once.

mod backlog;
mod claims;
mod held;
pub(crate) mod metrics;
mod outage;
#[cfg(test)]
mod tests;
mod wake;

pub use backlog::watch_backlog;
pub use recado_store::lanes::Lease;
pub use wake::Wake;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use recado_store::sources::SourceLease;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use claims::Claims;
use held::HeldLeases;
use metrics::Metrics;

/// How long a lost wake-up may go unnoticed.
pub const POLL: Duration = Duration::from_millis(250);

/// The right to work one lane until it runs out, however the lanes of its kind are named.
pub trait LaneLease: Copy + PartialEq + Send + Sync + 'static {
    /// What tells this claim from every other.
    fn token(&self) -> Uuid;

    /// Whose lane it is, for logs.
    fn owner(&self) -> Uuid;
}

impl LaneLease for Lease {
    fn token(&self) -> Uuid {
        self.token
    }

    fn owner(&self) -> Uuid {
        self.session_id.0
    }
}

impl LaneLease for SourceLease {
    fn token(&self) -> Uuid {
        self.token
    }

    fn owner(&self) -> Uuid {
        self.trigger_id.0
    }
}

/// What lanes are, and what working one means.
pub trait LaneWork: Send + Sync + 'static {
    /// The right to work one of them.
    type Lease: LaneLease;
    /// A lane that was claimed, with whatever is needed to work it.
    type Claimed: Send + 'static;
    /// Why the lanes cannot be reached.
    type Error: Error + Send + Sync + 'static;

    /// Claims up to `limit` lanes that have something to run. Must not wait for one to come.
    fn claim(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Self::Claimed>, Self::Error>> + Send;

    /// The lease of a claimed lane.
    fn lease_of(claimed: &Self::Claimed) -> Self::Lease;

    /// Extends the leases that are still ours by the whole lease time; answers the others.
    fn renew(
        &self,
        held: &[Self::Lease],
    ) -> impl Future<Output = Result<Vec<Self::Lease>, Self::Error>> + Send;

    /// Works the head of one lane to its end, and releases or parks the lane. If more waits in
    /// the lane, it should [`Wake::wake`] the loop. `lost` is cancelled once the lane may belong
    /// to somebody else: then nothing more should be started, and what is written is refused.
    fn work(
        &self,
        claimed: Self::Claimed,
        lost: CancellationToken,
    ) -> impl Future<Output = ()> + Send;
}

/// How lanes of one kind are worked.
#[derive(Debug, Clone)]
pub struct LaneLoop {
    /// What the lanes are for, in metrics and logs: `execution`, `delivery`.
    pub kind: &'static str,
    /// How many lanes are worked at a time, at most.
    pub slots: usize,
    /// The longest pause between claims while there is room; see [`POLL`].
    pub poll: Duration,
    /// What a claim and a renewal give: the time after which a silent process has lost its lanes.
    pub lease: Duration,
}

impl LaneLoop {
    /// Works lanes until `shutdown`, then returns once those that run have ended. The work is
    /// spawned on `tasks`.
    pub async fn run<W: LaneWork>(
        self,
        work: Arc<W>,
        wake: Wake,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) {
        let metrics = Metrics::of(self.kind);
        let held = Arc::new(HeldLeases::<W::Lease>::default());
        let claims = Claims { settings: &self, work: &work, held: &held, metrics: &metrics };
        let claim_then_drain = async {
            claims.run(&wake, &tasks, &shutdown).await;
            held.all_released().await;
        };
        tokio::select! {
            () = claim_then_drain => {}
            never = held.keep_renewed(&self, work.as_ref(), &metrics) => match never {},
        }
    }
}
