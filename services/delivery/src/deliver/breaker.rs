//! What a request tells about its destination, and what follows for everybody.
//!
//! After five requests in a row that it did not answer, a destination is opened: all instances
//! leave it alone, and its deliveries wait instead of failing one after the other. From time to time
//! one delivery is sent as a probe. A probe is a request like any other: it counts as an attempt of
//! its delivery, under the trigger's retry policy. Once anything is answered, even if it is a
//! refusal, the destination is closed, and everything goes on.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use recado_store::destinations::{self, Fault};
use tokio::time::Instant;

use super::held::HeldLane;
use crate::callback::answer::{Problem, Report};

/// How many requests in a row have to fail.
const FAILURES_TO_OPEN: u32 = 5;
/// How long an opened destination is left alone first; each failed probe doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Where the pauses stop growing: how long a destination that answers again may go unnoticed.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How much of the pause the destination asks for is heeded.
const LONGEST_ASKED: Duration = Duration::from_mins(10);
/// A pause is longer or shorter by up to this part, so that destinations that failed together are
/// not probed together.
const JITTER: f64 = 0.2;

/// What a request tells about its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It works: it has answered, be it with a refusal.
    Answers,
    /// It does not work: there was no answer, or one that says that it is overloaded or broken.
    Fails {
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// Nothing: the request was not made.
    Nothing,
}

impl Verdict {
    fn of(report: &Report) -> Self {
        if report.is_destination_fault() {
            Self::Fails { retry_after: report.retry_after() }
        } else if report.status_code.is_none() {
            Self::Nothing
        } else {
            Self::Answers
        }
    }
}

/// Whether a delivery is a probe whose result is not known yet.
#[derive(Debug)]
pub(super) struct Probe {
    is_pending: AtomicBool,
    /// How many there were before it.
    n_before: u32,
}

impl Probe {
    pub(super) fn new(claimed: Option<u32>) -> Self {
        let is_pending = AtomicBool::new(claimed.is_some());
        Self { is_pending, n_before: claimed.unwrap_or_default() }
    }

    /// Whether the destination may be sent something although it is open.
    pub(super) fn is_pending(&self) -> bool {
        self.is_pending.load(Ordering::Relaxed)
    }

    /// Ends it; says whether it was pending.
    fn end(&self) -> bool {
        self.is_pending.swap(false, Ordering::Relaxed)
    }
}

/// What everybody has to know after a request.
#[derive(Debug)]
pub(super) enum News {
    /// Nothing new.
    Nothing,
    /// The destination answers again.
    Close,
    /// The destination does not answer.
    Open(Fault),
    /// The destination still does not answer.
    ProbeFailed(Fault),
}

impl News {
    /// Whether the destination is to be left alone.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Self::Open(_) | Self::ProbeFailed(_))
    }
}

impl HeldLane<'_> {
    /// Takes note of what a request tells about its destination, for this process; answers what
    /// the others have to be told.
    pub(super) fn judged(&self, report: &Report) -> News {
        match Verdict::of(report) {
            Verdict::Nothing => News::Nothing,
            Verdict::Answers => {
                let was_open = self.in_hand.answered();
                if self.probe.end() || was_open { News::Close } else { News::Nothing }
            }
            Verdict::Fails { retry_after } => {
                let n_failed = self.in_hand.failed();
                let jitter = rand::random_range(0.0..=1.0);
                let fault = |n_probes| {
                    let pause = pause(n_probes, retry_after, jitter);
                    self.fault(report.problem.as_ref(), n_failed, pause)
                };
                if self.probe.end() {
                    News::ProbeFailed(fault(self.probe.n_before + 1))
                } else if n_failed.is_multiple_of(FAILURES_TO_OPEN) {
                    News::Open(fault(0))
                } else {
                    News::Nothing
                }
            }
        }
    }

    fn fault(&self, problem: Option<&Problem>, failure_count: u32, pause: Duration) -> Fault {
        let (error_code, error_message) = match problem {
            Some(problem) => (problem.code.to_string(), problem.message.to_string()),
            None => ("no_answer".to_owned(), "the receiver does not answer".to_owned()),
        };
        Fault {
            trigger_id: self.claimed.trigger_id,
            tenant_id: self.claimed.tenant_id,
            failure_count,
            error_code,
            error_message,
            pause,
        }
    }

    /// Tells everybody. If the database is away nobody claims anything either; whoever meets the
    /// destination next tells it then.
    pub(super) async fn spread(&self, news: News) {
        let store = &self.deliver.store;
        let now = self.deliver.clock.now();
        let trigger = self.claimed.trigger_id;
        let told = match &news {
            News::Nothing => Ok(()),
            News::Close => destinations::close(store, trigger).await.map(|was_open| {
                if was_open {
                    tracing::info!(trigger.id = %trigger, "destination {trigger} answers again");
                }
                self.deliver.wake.wake();
            }),
            News::Open(fault) => destinations::open(store, fault, now).await.map(|is_new| {
                self.in_hand.opened();
                if is_new {
                    self.warn_of(fault);
                }
            }),
            News::ProbeFailed(fault) => destinations::probe_failed(store, fault, now).await,
        };
        if let News::Open(fault) | News::ProbeFailed(fault) = &news {
            self.deliver.wake.wake_at(Instant::now() + fault.pause);
        }
        if let Err(error) = told {
            let error = &error as &dyn Error;
            tracing::debug!(trigger.id = %trigger, error, "the state of a destination is not told");
        }
    }

    fn warn_of(&self, fault: &Fault) {
        let trigger = self.claimed.trigger_id;
        tracing::warn!(
            trigger.id = %trigger,
            tenant.id = %self.claimed.tenant_id,
            error.code = %fault.error_code,
            "destination {trigger} does not answer; its deliveries wait until it does"
        );
    }

    /// Lets another delivery be the probe, if this one ended without a request.
    pub(super) async fn pass_probe_on(&self) {
        if !self.probe.end() {
            return;
        }
        let trigger = self.claimed.trigger_id;
        if let Err(error) = destinations::probe_again(&self.deliver.store, trigger).await {
            let error = &error as &dyn Error;
            tracing::debug!(trigger.id = %trigger, error, "the next probe waits out this one's time");
        }
    }
}

/// How long a destination is left alone after `n_probes` that failed. `jitter` is from 0 to 1.
fn pause(n_probes: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << n_probes.min(16)).min(LONGEST_PAUSE);
    let varied = doubled.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter);
    varied.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_to_a_minute_and_vary_by_a_fifth() {
        let seconds: Vec<_> = (0..7).map(|n| pause(n, None, 0.5).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(pause(0, None, 0.0), Duration::from_secs(4));
        assert_eq!(pause(9, None, 1.0), Duration::from_secs(72));
    }

    #[test]
    fn a_destination_is_left_alone_for_as_long_as_it_asks_within_limits() {
        let asked = |seconds| pause(0, Some(Duration::from_secs(seconds)), 0.5);
        assert_eq!(asked(1), FIRST_PAUSE);
        assert_eq!(asked(300), Duration::from_mins(5));
        assert_eq!(asked(86_400), Duration::from_mins(10));
    }

    proptest! {
        #[test]
        fn no_pause_is_shorter_or_longer_than_allowed(
            n in any::<u32>(), asked in prop::option::of(any::<u64>()), jitter in 0.0..=1.0f64,
        ) {
            let pause = pause(n, asked.map(Duration::from_secs), jitter);
            prop_assert!(Duration::from_secs(4) <= pause && pause <= LONGEST_ASKED);
        }
    }
}
