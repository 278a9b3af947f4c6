//! Whether and when a request is made again.
//!
//! What may mend itself (no answer, 408, 429, 5xx, and what a channel says will pass) is tried again,
//! with pauses that double and vary, and not before the receiver's `Retry-After`. Anything else,
//! redirects included, fails at once: the same request would get the same answer.

use std::time::Duration;

use recado_types::trigger::RetryPolicy;

/// How much of the pause that a receiver asks for is heeded, however short the policy's own are:
/// whoever waits takes no memory and no slot.
const LONGEST_ASKED: Duration = Duration::from_hours(1);

/// How a request fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The channel took it.
    Accepted,
    /// It may fare better later.
    Unsettled {
        /// How long the receiver wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It will not fare better.
    Refused,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was sent.
    Done,
    /// The same request again, after a pause.
    Retry {
        /// How long.
        pause: Duration,
    },
    /// Nothing more: it will not be sent.
    GiveUp,
}

impl Outcome {
    /// What a status means by itself; `retry_after` is that of the answer.
    pub fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            200..=299 => Self::Accepted,
            408 | 429 | 500.. => Self::Unsettled { retry_after },
            _ => Self::Refused,
        }
    }

    /// Whether the same request may fare better later.
    pub(super) fn has_hope(self) -> bool {
        matches!(self, Self::Unsettled { .. })
    }
}

/// What follows from the outcome of the `attempt`-th request (from 1). `jitter`, from 0 to 1, says
/// which part of the second half of the pause is waited for.
pub fn next(policy: &RetryPolicy, attempt: u32, outcome: &Outcome, jitter: f64) -> Next {
    match outcome {
        Outcome::Accepted => Next::Done,
        Outcome::Refused => Next::GiveUp,
        Outcome::Unsettled { .. } if attempt >= policy.max_attempts => Next::GiveUp,
        Outcome::Unsettled { retry_after } => {
            let longest = Duration::from_millis(policy.max_delay_ms.into());
            let pause = backoff(policy, attempt).min(longest).mul_f64(0.5 + jitter / 2.0);
            let asked = retry_after.unwrap_or_default().min(LONGEST_ASKED);
            Next::Retry { pause: pause.max(asked) }
        }
    }
}

fn backoff(policy: &RetryPolicy, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    Duration::from_millis(policy.initial_delay_ms.into()).saturating_mul(1 << doublings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { max_attempts: 4, initial_delay_ms: 1_000, max_delay_ms: 60_000 };

    fn unsettled(seconds: Option<u64>) -> Outcome {
        Outcome::Unsettled { retry_after: seconds.map(Duration::from_secs) }
    }

    fn pause(attempt: u32, outcome: &Outcome, jitter: f64) -> Duration {
        match next(&POLICY, attempt, outcome, jitter) {
            Next::Retry { pause } => pause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn statuses_are_sorted_by_whether_they_may_mend_themselves() {
        for status in [200, 201, 202, 204] {
            assert_eq!(Outcome::of_status(status, None), Outcome::Accepted);
        }
        for status in [408, 429, 500, 502, 503, 599] {
            assert_eq!(Outcome::of_status(status, None), unsettled(None), "{status}");
        }
        for status in [101, 301, 302, 307, 400, 401, 404, 410, 422] {
            assert_eq!(Outcome::of_status(status, None), Outcome::Refused, "{status}");
        }
    }

    #[test]
    fn only_what_may_mend_itself_is_tried_again() {
        assert_eq!(next(&POLICY, 1, &Outcome::Accepted, 0.5), Next::Done);
        assert_eq!(next(&POLICY, 1, &Outcome::Refused, 0.5), Next::GiveUp);
        assert_eq!(next(&POLICY, 4, &unsettled(Some(1)), 0.5), Next::GiveUp);
    }

    #[test]
    fn pauses_double_and_vary() {
        let pauses: Vec<_> = (1..=3).map(|n| pause(n, &unsettled(None), 1.0).as_millis()).collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000]);
        assert_eq!(pause(1, &unsettled(None), 0.0).as_millis(), 500);
    }

    #[test]
    fn the_receiver_is_left_alone_for_as_long_as_it_asks_up_to_an_hour() {
        assert_eq!(pause(1, &unsettled(Some(7)), 0.3), Duration::from_secs(7));
        assert_eq!(pause(1, &unsettled(Some(0)), 1.0), Duration::from_secs(1));
        // Longer than any pause of the policy itself.
        assert_eq!(pause(1, &unsettled(Some(600)), 0.5), Duration::from_mins(10));
        assert_eq!(pause(1, &unsettled(Some(3_600)), 0.5), Duration::from_hours(1));
        assert_eq!(pause(1, &unsettled(Some(86_400)), 0.0), Duration::from_hours(1));
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_policy_allows_or_the_receiver_asks(
            attempt in 0..u32::MAX, initial in 100u32..=60_000, longest in 100u32..=3_600_000,
            asked in prop::option::of(any::<u64>()), jitter in 0.0..=1.0f64,
        ) {
            let policy = RetryPolicy {
                max_attempts: u32::MAX, initial_delay_ms: initial, max_delay_ms: longest,
            };
            let asked_pause = Duration::from_secs(asked.unwrap_or_default()).min(LONGEST_ASKED);
            let at_most = Duration::from_millis(longest.into()).max(asked_pause);
            match next(&policy, attempt, &unsettled(asked), jitter) {
                Next::Retry { pause } => {
                    prop_assert!((asked_pause..=at_most).contains(&pause), "{pause:?}");
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
