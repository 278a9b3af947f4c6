//! Failures in a row are one outage: told when it begins and when it ends, with growing pauses.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Where the pauses stop growing: how long a recovered database may go unused.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whether a dependency is away, and since when.
pub(super) struct Outage {
    /// What cannot be done meanwhile, for the log.
    what: &'static str,
    kind: &'static str,
    since: Option<Instant>,
    pause: Duration,
}

impl Outage {
    pub(super) fn new(what: &'static str, kind: &'static str) -> Self {
        Self { what, kind, since: None, pause: FIRST_PAUSE }
    }

    /// It failed: answers how long to wait before the next attempt. Half of it is chance, so that
    /// the instances do not all come back at once.
    pub(super) fn failed(&mut self, error: &(dyn Error + 'static)) -> Duration {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!(
                lane.kind = self.kind,
                error,
                "cannot {}; trying until it works",
                self.what
            );
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// It worked.
    pub(super) fn over(&mut self) {
        if let Some(since) = self.since.take() {
            let outage_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(lane.kind = self.kind, outage_ms, "can {} again", self.what);
        }
        self.pause = FIRST_PAUSE;
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered<E: Error + 'static> {
    #[error(transparent)]
    Failed(E),
    #[error("no answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
}

/// Waits for an answer, but not for ever.
pub(super) async fn answer_within<T, E: Error + 'static>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Unanswered<E>> {
    match timeout(limit, answer).await {
        Ok(answer) => answer.map_err(Unanswered::Failed),
        Err(_elapsed) => Err(Unanswered::TooSlow(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_anew() {
        let mut outage = Outage::new("claim lanes", "test");
        let error = std::io::Error::other("away");
        let pauses: Vec<_> = (0..8).map(|_| outage.failed(&error)).collect();
        assert!(pauses[0] <= FIRST_PAUSE && FIRST_PAUSE / 2 <= pauses[0], "{pauses:?}");
        assert!(LONGEST_PAUSE / 2 <= pauses[7] && pauses[7] <= LONGEST_PAUSE, "{pauses:?}");
        outage.over();
        assert!(outage.failed(&error) <= FIRST_PAUSE);
    }
}
