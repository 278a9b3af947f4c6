//! When does a burst of messages become one execution? The whole decision, with no I/O and no
//! clock.
//!
//! Redis runs the same rule in `shared/kv/src/window.lua`, where it decides for every message;
//! a property test there compares the two. This one decides when Redis cannot.

use serde::{Deserialize, Serialize};

/// How a trigger buffers a sender's messages (seed 000, "Message Buffer Fields").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferPolicy {
    /// How long a session must be quiet, 100 to 60,000 ms.
    pub window_ms: u32,
    /// How many messages make a window full, 1 to 100.
    pub max_messages: u32,
    /// The longest a message may wait, at most 600,000 ms: without it, one message every
    /// `window_ms - 1` would postpone the answer for ever.
    pub max_wait_ms: u32,
}

impl Default for BufferPolicy {
    fn default() -> Self {
        Self::new(5_000, 10, None)
    }
}

impl BufferPolicy {
    /// The same, within what a trigger may say, whoever wrote it.
    #[must_use]
    pub fn bounded(self) -> Self {
        Self {
            window_ms: self.window_ms.clamp(100, 60_000),
            max_messages: self.max_messages.clamp(1, 100),
            max_wait_ms: self.max_wait_ms.min(Self::MAX_WAIT_MS),
        }
    }

    /// The longest `max_wait_ms`.
    pub const MAX_WAIT_MS: u32 = 600_000;

    /// A policy whose `max_wait_ms`, unless given, is ten windows (at most ten minutes).
    pub fn new(window_ms: u32, max_messages: u32, max_wait_ms: Option<u32>) -> Self {
        let max_wait_ms =
            max_wait_ms.unwrap_or_else(|| window_ms.saturating_mul(10).min(Self::MAX_WAIT_MS));
        Self { window_ms, max_messages, max_wait_ms }
    }
}

/// The open burst of a session. Times are milliseconds on one clock, whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When its first message came.
    pub first_at_ms: i64,
    /// When its last message came.
    pub last_at_ms: i64,
    /// How many messages it holds.
    pub n_messages: u32,
}

/// What to do with a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Make an execution of it.
    Flush,
    /// Wait until this time, unless another message comes.
    HoldUntil(i64),
}

impl Window {
    /// A window is flushed when it is full, when its session has been quiet for `window_ms`, or
    /// when its first message has waited for `max_wait_ms`; whichever comes first.
    pub fn verdict(&self, now_ms: i64, policy: &BufferPolicy) -> Verdict {
        let quiet = self.last_at_ms.saturating_add(i64::from(policy.window_ms));
        let patience = self.first_at_ms.saturating_add(i64::from(policy.max_wait_ms));
        let deadline = quiet.min(patience);
        if policy.max_messages <= self.n_messages || deadline <= now_ms {
            return Verdict::Flush;
        }
        Verdict::HoldUntil(deadline)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policies() -> impl Strategy<Value = BufferPolicy> {
        (100_u32..60_000, 1_u32..100, 100_u32..600_000).prop_map(|(window, max, wait)| {
            BufferPolicy { window_ms: window, max_messages: max, max_wait_ms: wait }
        })
    }

    /// A window after messages with the given gaps between them.
    fn talk(gaps_ms: &[i64]) -> Window {
        let total: i64 = gaps_ms.iter().sum();
        let n_messages = u32::try_from(gaps_ms.len()).unwrap() + 1;
        Window { first_at_ms: 1_000, last_at_ms: 1_000 + total, n_messages }
    }

    proptest! {
        #[test]
        fn no_session_waits_longer_than_max_wait(
            gaps in prop::collection::vec(0_i64..3_000, 0..40),
            policy in policies(),
        ) {
            let window = talk(&gaps);
            let patience = window.first_at_ms + i64::from(policy.max_wait_ms);
            if let Verdict::HoldUntil(deadline) = window.verdict(window.last_at_ms, &policy) {
                prop_assert!(deadline <= patience);
            }
            prop_assert_eq!(window.verdict(patience, &policy), Verdict::Flush);
        }

        #[test]
        fn a_full_window_never_waits(policy in policies(), now in 0_i64..10_000, extra in 0_u32..5) {
            let n_messages = policy.max_messages + extra;
            let window = Window { first_at_ms: now, last_at_ms: now, n_messages };
            prop_assert_eq!(window.verdict(now, &policy), Verdict::Flush);
        }

        #[test]
        fn a_held_window_is_flushed_at_its_deadline_and_not_before(
            gaps in prop::collection::vec(0_i64..3_000, 0..40),
            policy in policies(),
        ) {
            let window = talk(&gaps);
            if let Verdict::HoldUntil(deadline) = window.verdict(window.last_at_ms, &policy) {
                prop_assert_eq!(window.verdict(deadline, &policy), Verdict::Flush);
                let before = window.verdict(deadline - 1, &policy);
                prop_assert_eq!(before, Verdict::HoldUntil(deadline));
            }
        }

        #[test]
        fn another_message_never_makes_a_quiet_deadline_earlier(
            gaps in prop::collection::vec(0_i64..3_000, 0..20),
            gap in 0_i64..3_000,
            policy in policies(),
        ) {
            let window = talk(&gaps);
            let now = window.last_at_ms + gap;
            let longer =
                Window { last_at_ms: now, n_messages: window.n_messages + 1, ..window };
            let before = window.verdict(now, &policy);
            if let (Verdict::HoldUntil(before), Verdict::HoldUntil(after)) =
                (before, longer.verdict(now, &policy))
            {
                prop_assert!(before <= after);
            }
        }
    }

    #[test]
    fn max_wait_defaults_to_ten_windows_and_ten_minutes_at_most() {
        assert_eq!(BufferPolicy::default().max_wait_ms, 50_000);
        assert_eq!(BufferPolicy::new(60_000, 10, None).max_wait_ms, 600_000);
        assert_eq!(BufferPolicy::new(5_000, 10, Some(7_000)).max_wait_ms, 7_000);
    }
}
