//! The leases this process holds, how they are renewed, and how they end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::Metrics;
use super::outage::{Outage, answer_within};
use super::{LaneLease, LaneLoop, LaneWork};

/// How many renewals have to fail in a row before a lease runs out.
const RENEWALS_PER_LEASE: u32 = 3;

/// All leases of one loop, by token.
pub(super) struct HeldLeases<L> {
    leases: Mutex<HashMap<Uuid, Entry<L>>>,
    released: Notify,
}

struct Entry<L> {
    lease: L,
    runs_out_at: Instant,
    lost: CancellationToken,
}

/// One lease, for as long as its lane is worked. Dropping it frees the slot.
pub(super) struct Held<L: LaneLease> {
    leases: Arc<HeldLeases<L>>,
    token: Uuid,
}

impl<L> Default for HeldLeases<L> {
    fn default() -> Self {
        Self { leases: Mutex::default(), released: Notify::default() }
    }
}

impl<L: LaneLease> HeldLeases<L> {
    /// Takes note of a lease; answers it with the token that is cancelled when it is lost.
    pub(super) fn hold(
        self: &Arc<Self>,
        lease: L,
        runs_out_at: Instant,
    ) -> (Held<L>, CancellationToken) {
        let lost = CancellationToken::new();
        let entry = Entry { lease, runs_out_at, lost: lost.clone() };
        self.entries().insert(lease.token(), entry);
        (Held { leases: Arc::clone(self), token: lease.token() }, lost)
    }

    /// How many lanes are being worked.
    pub(super) fn count(&self) -> usize {
        self.entries().len()
    }

    /// Returns when a slot has become free since the last time this was asked.
    pub(super) async fn one_released(&self) {
        self.released.notified().await;
    }

    /// Returns when no lane is being worked.
    pub(super) async fn all_released(&self) {
        while self.count() > 0 {
            self.one_released().await;
        }
    }

    /// Renews every lease in time, for ever.
    pub(super) async fn keep_renewed<W: LaneWork<Lease = L>>(
        &self,
        settings: &LaneLoop,
        work: &W,
        metrics: &Metrics,
    ) -> Infallible {
        let interval = settings.lease / RENEWALS_PER_LEASE;
        let mut outage = Outage::new("renew leases", settings.kind);
        let mut pause = interval;
        loop {
            sleep(pause).await;
            let asked_at = Instant::now();
            let leases = self.still_ours();
            if leases.is_empty() {
                pause = interval;
                continue;
            }
            match answer_within(interval, work.renew(&leases)).await {
                Ok(lost) => {
                    outage.over();
                    self.renewed(&leases, &lost, asked_at + settings.lease);
                    pause = interval.saturating_sub(asked_at.elapsed());
                }
                // The leases keep the time they had: see `run_out`.
                Err(error) => {
                    metrics.failed.inc();
                    pause = outage.failed(&error).min(interval);
                }
            }
        }
    }

    fn still_ours(&self) -> Vec<L> {
        let entries = self.entries();
        entries.values().filter(|entry| !entry.lost.is_cancelled()).map(|e| e.lease).collect()
    }

    fn renewed(&self, asked: &[L], lost: &[L], run_out_at: Instant) {
        let mut entries = self.entries();
        for lease in asked {
            // Nobody else can have claimed a lane before its lease ran out. So one that is not
            // there any more in time was ended by the work itself, which is about to return;
            // `run_out` sees to the others.
            if lost.contains(lease) {
                continue;
            }
            // Those that were released meanwhile are gone.
            if let Some(entry) = entries.get_mut(&lease.token()) {
                entry.runs_out_at = run_out_at;
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Uuid, Entry<L>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: LaneLease> Held<L> {
    /// Returns once the lease has run out, its token then being cancelled.
    ///
    /// It looks at the time whenever it is polled, and does not wait to be told by a timer: a process
    /// that was frozen goes on with whatever it was about to do, and timers come after that.
    pub(super) async fn run_out(&self) {
        let mut timer = pin!(sleep_until(Instant::now()));
        let looking = poll_fn(|context| {
            // It is only ever put off, so nobody has to be asked before it has come.
            while timer.deadline() <= Instant::now() {
                match self.leases.entries().get(&self.token) {
                    Some(entry) if entry.runs_out_at <= Instant::now() => {
                        entry.lost.cancel();
                        return Poll::Ready(());
                    }
                    Some(entry) => timer.as_mut().reset(entry.runs_out_at),
                    None => return Poll::Ready(()),
                }
            }
            // If it fires just now, whoever is woken asks again.
            if timer.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        });
        looking.await;
    }
}

impl<L: LaneLease> Drop for Held<L> {
    fn drop(&mut self) {
        self.leases.entries().remove(&self.token);
        self.leases.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::poll;
    use recado_store::lanes::Lease;
    use recado_types::SessionId;

    use super::*;

    /// As after SIGSTOP: the time has come, and no timer has said so yet.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "it is about a runtime that stands still")]
    async fn a_lease_that_ran_out_is_lost_before_a_timer_says_so() {
        let leases = Arc::new(HeldLeases::default());
        let lease = Lease { session_id: SessionId(Uuid::nil()), token: Uuid::nil() };
        let lasting = Duration::from_millis(50);
        let (held, lost) = leases.hold(lease, Instant::now() + lasting);
        let mut run_out = pin!(held.run_out());
        assert!(poll!(&mut run_out).is_pending());
        assert!(!lost.is_cancelled());
        // The only thread of this runtime stands still, and with it what looks at timers.
        std::thread::sleep(lasting);
        assert!(poll!(&mut run_out).is_ready());
        assert!(lost.is_cancelled());
    }
}
