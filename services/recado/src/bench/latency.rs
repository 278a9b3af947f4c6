//! Times that were measured, and their percentiles.

use std::time::Duration;

/// Measured times, in order.
pub(super) struct Latencies(Vec<Duration>);

impl From<Vec<Duration>> for Latencies {
    fn from(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }
}

impl Latencies {
    /// Half of them took at most this long, in milliseconds; `None` if there are none.
    pub(super) fn p50(&self) -> Option<f64> {
        self.percentile(50)
    }

    /// All but one in a hundred took at most this long, in milliseconds.
    pub(super) fn p99(&self) -> Option<f64> {
        self.percentile(99)
    }

    /// The nearest rank: a time that was measured, never one in between.
    fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).map(|time| time.as_secs_f64() * 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let latencies = Latencies::from(times);
        assert_eq!((latencies.p50(), latencies.p99()), (Some(100.0), Some(198.0)));
        let one = Latencies::from(vec![Duration::from_millis(7)]);
        assert_eq!((one.p50(), one.p99()), (Some(7.0), Some(7.0)));
        assert_eq!(Latencies::from(Vec::new()).p99(), None);
    }
}
