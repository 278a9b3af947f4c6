//! When to claim, how many, and what to do with them.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::held::{Held, HeldLeases};
use super::metrics::Metrics;
use super::outage::{Outage, answer_within};
use super::{LaneLease as _, LaneLoop, LaneWork, Wake};

pub(super) struct Claims<'a, W: LaneWork> {
    pub(super) settings: &'a LaneLoop,
    pub(super) work: &'a Arc<W>,
    pub(super) held: &'a Arc<HeldLeases<W::Lease>>,
    pub(super) metrics: &'a Metrics,
}

/// What the last claim tells about the next one.
enum Next {
    /// Every slot is taken, so there may be more lanes: go on when one is free.
    WhenASlotIsFree,
    /// There was room left, so there were no more lanes: go on when there may be.
    WhenWoken,
    /// The lanes could not be reached.
    After(Duration),
}

impl<W: LaneWork> Claims<'_, W> {
    /// Claims lanes and spawns their work until `shutdown`.
    pub(super) async fn run(&self, wake: &Wake, tasks: &TaskTracker, shutdown: &CancellationToken) {
        let mut outage = Outage::new("claim lanes", self.settings.kind);
        // A claim under way is not abandoned: its lanes would be blocked until their leases end.
        while !shutdown.is_cancelled() {
            let next = self.claim(tasks, &mut outage).await;
            shutdown.run_until_cancelled(self.wait(next, wake)).await;
        }
    }

    async fn claim(&self, tasks: &TaskTracker, outage: &mut Outage) -> Next {
        let free = self.settings.slots.saturating_sub(self.held.count());
        if free == 0 {
            return Next::WhenASlotIsFree;
        }
        let asked_at = Instant::now();
        match answer_within(self.settings.lease / 2, self.work.claim(free)).await {
            Ok(claimed) => {
                outage.over();
                let full = claimed.len() >= free;
                self.spawn_all(claimed, asked_at + self.settings.lease, tasks);
                if full { Next::WhenASlotIsFree } else { Next::WhenWoken }
            }
            Err(error) => {
                self.metrics.failed.inc();
                Next::After(outage.failed(&error))
            }
        }
    }

    async fn wait(&self, next: Next, wake: &Wake) {
        match next {
            Next::WhenASlotIsFree => {
                while self.held.count() >= self.settings.slots {
                    self.held.one_released().await;
                }
            }
            Next::WhenWoken => {
                // It does not matter which of the two it was.
                let _ = timeout(self.settings.poll, wake.woken()).await;
            }
            Next::After(pause) => sleep(pause).await,
        }
    }

    fn spawn_all(&self, claimed: Vec<W::Claimed>, runs_out_at: Instant, tasks: &TaskTracker) {
        self.metrics.claimed.inc_by(claimed.len() as u64);
        for claimed in claimed {
            let (held, lost) = self.held.hold(W::lease_of(&claimed), runs_out_at);
            let run = Run {
                work: Arc::clone(self.work),
                held,
                lost,
                metrics: self.metrics.clone(),
                kind: self.settings.kind,
            };
            tasks.spawn(run.finish(claimed));
        }
    }
}

/// One lane being worked.
struct Run<W: LaneWork> {
    work: Arc<W>,
    held: Held<W::Lease>,
    lost: CancellationToken,
    metrics: Metrics,
    kind: &'static str,
}

impl<W: LaneWork> Run<W> {
    async fn finish(self, claimed: W::Claimed) {
        let lane = W::lease_of(&claimed).owner();
        self.metrics.running.inc();
        let work = async { self.work.work(claimed, self.lost.clone()).await };
        let watch = async {
            self.held.run_out().await;
            pending::<()>().await;
        };
        // The lease is looked at first, so that work which asks before it does something knows.
        let worked = tokio::select! {
            biased;
            () = watch => unreachable!("it only watches"),
            worked = AssertUnwindSafe(work).catch_unwind() => worked,
        };
        self.metrics.running.dec();
        if worked.is_err() {
            // The panic itself has been logged by the hook.
            self.metrics.panicked.inc();
            tracing::error!(
                lane.kind = self.kind,
                lane.owner = %lane,
                "the work of a lane panicked; it is tried again when its lease runs out"
            );
        } else if self.lost.is_cancelled() {
            self.metrics.lost.inc();
            tracing::warn!(lane.kind = self.kind, lane.owner = %lane, "lost a lane while working it");
        }
    }
}
