//! How long to wait before trying again.
//!
//! Doubling, so that a broken server is left alone; bounded, so that a mended one is noticed;
//! with jitter, so that the instances of a service do not all come back in the same moment.

use std::time::Duration;

/// The first wait, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// The waits between attempts at one thing.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// A failure after this much success has nothing to do with the failures before.
    pub(crate) const FORGIVEN_AFTER: Duration = LONGEST;

    /// The next wait: 100 ms, doubling to 2 s, less up to a half of it.
    pub(crate) fn next(&mut self) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(LONGEST);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_keep_at_least_half() {
        let mut backoff = Backoff::default();
        for longest in [100, 200, 400, 800, 1600, 2000, 2000].map(Duration::from_millis) {
            let wait = backoff.next();
            assert!(longest / 2 <= wait && wait <= longest, "{wait:?} of {longest:?}");
        }
    }
}
