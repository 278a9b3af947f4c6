//! What Prometheus is told of requests to Redis.

use std::time::Duration;

use recado_metrics::{HistogramVec, IntCounterVec, buckets, counters, families, histograms, label};

/// As [`Operation`] calls them.
const OPERATIONS: &[&str] =
    &["push", "claim", "commit", "mark_intact", "begin_session", "pay", "release"];

families! {
    /// Makes the metrics of this crate exist.
    pub fn register_metrics;

    static REQUEST_SECONDS: HistogramVec = histograms(
        "recado_redis_request_seconds",
        "How long Redis took to answer, or to fail; what was not asked because Redis is away is \
         not counted",
        &[label("operation").of(OPERATIONS)],
        buckets::short(),
    );

    static ERRORS: IntCounterVec = counters(
        "recado_redis_errors_total",
        "Requests to Redis that failed",
        &[label("operation").of(OPERATIONS)],
    );
}

/// Something that Redis is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Push,
    Claim,
    Commit,
    MarkIntact,
    BeginSession,
    Pay,
    Release,
}

impl Operation {
    /// As a label.
    fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Claim => "claim",
            Self::Commit => "commit",
            Self::MarkIntact => "mark_intact",
            Self::BeginSession => "begin_session",
            Self::Pay => "pay",
            Self::Release => "release",
        }
    }

    /// In words: Redis failed to do this.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Push => "push messages",
            Self::Claim => "claim windows",
            Self::Commit => "commit claims",
            Self::MarkIntact => "mark the windows intact",
            Self::BeginSession => "note a session",
            Self::Pay => "take a toll",
            Self::Release => "release a claim",
        }
    }

    pub(crate) fn count(self, took: Duration, failed: bool) {
        REQUEST_SECONDS.with_label_values(&[self.name()]).observe(took.as_secs_f64());
        if failed {
            ERRORS.with_label_values(&[self.name()]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_known_from_the_start() {
        for operation in [
            Operation::Push,
            Operation::Claim,
            Operation::Commit,
            Operation::MarkIntact,
            Operation::BeginSession,
            Operation::Pay,
            Operation::Release,
        ] {
            assert!(OPERATIONS.contains(&operation.name()), "{operation:?}");
        }
    }
}
