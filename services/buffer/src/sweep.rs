//! Does without Redis: publishes what is overdue by PostgreSQL's reckoning, and puts the windows
//! back when Redis has lost them.
//!
//! Every instance sweeps; two that publish the same window do no harm.

use std::time::Duration;

use recado_kv::{KvError, Push};
use recado_store::StoreError;
use recado_store::messages::{self, OpenWindow};
use recado_types::SessionId;
use recado_types::buffer::{BufferPolicy, Verdict, Window};
use tokio_util::sync::CancellationToken;

use crate::Buffer;
use crate::flush::FlushError;
use crate::metrics::{OLDEST_SECONDS, OPEN_WINDOWS, OVERDUE_SECONDS, REDIS_AVAILABLE, RESTORED};

/// How often to sweep while Redis does its work, and while it does not.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
const SWEEP_EVERY_WITHOUT_REDIS: Duration = Duration::from_millis(250);
/// How late a window may be before the sweeper takes it for lost by a working Redis. Longer than
/// a flush takes whose first claimer died.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many sessions are looked at, and how many published, at a time.
const PAGE: i64 = 500;
const FLUSH_PAGE: usize = 32;

/// The policy of windows whose trigger does not buffer any more: no longer than need be.
const UNBUFFERED: BufferPolicy = BufferPolicy { window_ms: 100, max_messages: 1, max_wait_ms: 100 };

/// Why the windows were not all looked after.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    /// PostgreSQL did not tell which there are.
    #[error("the open windows were not read")]
    Read(#[source] StoreError),
    /// Some could not be published.
    #[error("some overdue windows were not published")]
    Flush(#[source] FlushError),
    /// Redis went away again.
    #[error("the windows were not put back into Redis")]
    Restore(#[source] KvError),
}

impl Buffer {
    /// Sweeps, and restores when told that windows were lost, until `shutdown`.
    pub(crate) async fn sweep_until(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let redis_works = self.kv.is_available();
            REDIS_AVAILABLE.set(i64::from(redis_works));
            let pause = if redis_works { SWEEP_EVERY } else { SWEEP_EVERY_WITHOUT_REDIS };
            let told = tokio::time::timeout(pause, self.lost.notified());
            let Some(told) = shutdown.run_until_cancelled(told).await else { return };
            let swept = if told.is_ok() { self.restore().await } else { self.sweep().await };
            if let Err(error) = swept {
                if matches!(error, SweepError::Read(_)) {
                    forget_windows();
                }
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the open windows are swept again later");
                let pause = tokio::time::sleep(SWEEP_EVERY_WITHOUT_REDIS);
                shutdown.run_until_cancelled(pause).await;
            }
        }
    }

    async fn sweep(&self) -> Result<(), SweepError> {
        let patience = if self.kv.is_available() { PATIENCE } else { Duration::ZERO };
        let (mut n_windows, mut oldest_ms, mut overdue_ms) = (0, 0, 0);
        let mut failure = None;
        let mut pages = Pages::default();
        while let Some(windows) = pages.next(self).await.map_err(SweepError::Read)? {
            n_windows += windows.len();
            oldest_ms = windows.iter().map(|window| window.oldest_ms).fold(oldest_ms, i64::max);
            overdue_ms = windows.iter().map(overdue_by_ms).fold(overdue_ms, i64::max);
            let overdue: Vec<SessionId> = windows
                .iter()
                .filter(|window| is_overdue(window, patience))
                .map(|window| window.session_id)
                .collect();
            // One that cannot be published must not keep the others from it.
            for sessions in overdue.chunks(FLUSH_PAGE) {
                let flushed = self.flush_sessions(sessions, "overdue").await;
                failure = flushed.err().or(failure);
            }
        }
        show_windows(n_windows, oldest_ms, overdue_ms);
        failure.map_or(Ok(()), |error| Err(SweepError::Flush(error)))
    }

    /// Puts every open window into Redis. Those that are there already stay as they are.
    async fn restore(&self) -> Result<(), SweepError> {
        let mut n_windows = 0;
        let mut pages = Pages::default();
        while let Some(windows) = pages.next(self).await.map_err(SweepError::Read)? {
            n_windows += windows.len() as u64;
            let pushes: Vec<Push> = windows.iter().flat_map(pushes_of).collect();
            self.kv.push(&pushes).await.map_err(SweepError::Restore)?;
        }
        self.kv.mark_intact().await.map_err(SweepError::Restore)?;
        RESTORED.inc_by(n_windows);
        tracing::info!(window.restored = n_windows, "put the open windows into Redis");
        Ok(())
    }
}

/// A walk over all sessions with open messages.
#[derive(Default)]
struct Pages {
    after: Option<SessionId>,
    ended: bool,
}

impl Pages {
    async fn next(&mut self, buffer: &Buffer) -> Result<Option<Vec<OpenWindow>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let after = self.after.unwrap_or_else(SessionId::first);
        let windows = messages::open_windows(&buffer.store, after, PAGE).await?;
        self.after = windows.last().map(|window| window.session_id);
        self.ended = i64::try_from(windows.len()).is_ok_and(|n_windows| n_windows < PAGE);
        Ok(Some(windows).filter(|windows| !windows.is_empty()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and ages in ms are far below 2^52")]
fn show_windows(n_windows: usize, oldest_ms: i64, overdue_ms: i64) {
    OPEN_WINDOWS.set(n_windows as f64);
    OLDEST_SECONDS.set(oldest_ms as f64 / 1_000.0);
    OVERDUE_SECONDS.set(overdue_ms as f64 / 1_000.0);
}

/// Nobody knows how many there are while the database is away.
fn forget_windows() {
    for reading in [&OPEN_WINDOWS, &OLDEST_SECONDS, &OVERDUE_SECONDS] {
        reading.forget();
    }
}

fn policy_of(window: &OpenWindow) -> BufferPolicy {
    window.message_buffer.as_ref().map_or(UNBUFFERED, |buffer| buffer.policy)
}

/// A window as seen now, which is 0.
fn seen(window: &OpenWindow) -> Window {
    Window {
        first_at_ms: -window.oldest_ms,
        last_at_ms: -window.newest_ms,
        n_messages: u32::try_from(window.message_ids.len()).unwrap_or(u32::MAX),
    }
}

/// How long ago the window should have been flushed; 0 if that is not yet. One that is full has been
/// since its last message came, or since it was full: that is not known, so the later one is taken.
fn overdue_by_ms(window: &OpenWindow) -> i64 {
    let (policy, seen) = (policy_of(window), seen(window));
    if policy.max_messages <= seen.n_messages {
        return window.newest_ms;
    }
    // Full is the only other reason, so without it the verdict is a matter of time alone.
    let quiet_ms = window.newest_ms.saturating_sub(policy.window_ms.into());
    let patience_ms = window.oldest_ms.saturating_sub(policy.max_wait_ms.into());
    quiet_ms.max(patience_ms).max(0)
}

/// Whether the window should have been flushed `patience` ago, taking now for 0.
fn is_overdue(window: &OpenWindow, patience: Duration) -> bool {
    let seen = seen(window);
    let patience_ms = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    let policy = policy_of(window);
    // A full window is due at once; here, once its last message has been there for `patience`.
    let is_full = policy.max_messages <= seen.n_messages;
    if is_full && window.newest_ms < patience_ms {
        return false;
    }
    seen.verdict(-patience_ms, &policy) == Verdict::Flush
}

fn pushes_of(window: &OpenWindow) -> Vec<Push> {
    let policy = policy_of(window);
    let push = |message_id| Push { session_id: window.session_id, message_id, policy };
    window.message_ids.iter().copied().map(push).collect()
}

#[cfg(test)]
mod tests {
    use recado_types::MessageId;
    use recado_types::trigger::MessageBuffer;
    use uuid::Uuid;

    use super::*;

    fn window(oldest_ms: i64, newest_ms: i64, n_messages: u128) -> OpenWindow {
        let message_buffer = MessageBuffer {
            policy: BufferPolicy { window_ms: 1_000, max_messages: 5, max_wait_ms: 4_000 },
            separator: "\n".into(),
        };
        OpenWindow {
            session_id: SessionId(Uuid::from_u128(1)),
            message_ids: (0..n_messages).map(|n| MessageId(Uuid::from_u128(n))).collect(),
            oldest_ms,
            newest_ms,
            message_buffer: Some(message_buffer),
        }
    }

    #[test]
    fn a_window_is_overdue_since_the_first_reason_to_flush_it() {
        assert_eq!(overdue_by_ms(&window(900, 900, 1)), 0);
        assert_eq!(overdue_by_ms(&window(1_500, 1_500, 1)), 500, "quiet");
        assert_eq!(overdue_by_ms(&window(4_300, 1_100, 3)), 300, "waited long enough");
        assert_eq!(overdue_by_ms(&window(50, 40, 5)), 40, "full");
    }

    #[test]
    fn without_redis_a_window_is_overdue_when_it_is_due() {
        let at_once = Duration::ZERO;
        assert!(!is_overdue(&window(900, 900, 1), at_once));
        assert!(is_overdue(&window(1_000, 1_000, 1), at_once), "quiet for a window");
        assert!(is_overdue(&window(4_000, 100, 3), at_once), "waited long enough");
        assert!(is_overdue(&window(10, 10, 5), at_once), "full");
    }

    #[test]
    fn with_redis_at_work_a_window_has_to_be_late() {
        assert!(!is_overdue(&window(1_000, 1_000, 1), PATIENCE));
        assert!(!is_overdue(&window(10, 10, 5), PATIENCE));
        assert!(is_overdue(&window(21_000, 21_000, 1), PATIENCE));
        assert!(is_overdue(&window(20_000, 20_000, 5), PATIENCE));
    }
}
