//! Whether a connection is still wanted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a connection that nobody holds stays open.
pub(super) const IDLE: Duration = Duration::from_mins(2);

/// Who holds a connection, and since when nobody does. Shared by the pool, which hands the
/// connection out, and the transport, which closes itself: so nothing has to watch it.
#[derive(Debug)]
pub(super) struct Usage {
    /// How long it stays open when nobody holds it.
    patience: Duration,
    state: Mutex<State>,
    tools_changed: AtomicBool,
}

#[derive(Debug)]
struct State {
    n_holders: usize,
    released_at: Instant,
    /// Nobody gets hold of it any more.
    closed: bool,
}

/// A connection that somebody holds.
#[derive(Debug)]
pub(super) struct InUse(Arc<Usage>);

impl Usage {
    pub(super) fn new(patience: Duration) -> Arc<Self> {
        let state = State { n_holders: 0, released_at: Instant::now(), closed: false };
        let tools_changed = AtomicBool::new(false);
        Arc::new(Self { patience, state: Mutex::new(state), tools_changed })
    }

    /// Keeps the connection open for as long as the answer lives; `None` if it is too late.
    pub(super) fn hold(self: &Arc<Self>) -> Option<InUse> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.n_holders += 1;
        Some(InUse(Arc::clone(self)))
    }

    /// No new holders. Those there are may go on.
    pub(super) fn retire(&self) {
        self.state().closed = true;
    }

    pub(super) fn is_retired(&self) -> bool {
        self.state().closed
    }

    /// Returns when nobody has held the connection for its time; from then on nobody can.
    pub(super) async fn idle(&self) {
        while let Some(left) = self.time_left() {
            sleep(left).await;
        }
    }

    fn time_left(&self) -> Option<Duration> {
        let mut state = self.state();
        if state.n_holders > 0 {
            return Some(self.patience);
        }
        let left = self.patience.saturating_sub(state.released_at.elapsed());
        if left.is_zero() {
            state.closed = true;
            return None;
        }
        Some(left)
    }

    /// The server says that its tools are no longer those it listed.
    pub(super) fn note_changed_tools(&self) {
        self.tools_changed.store(true, Ordering::Relaxed);
    }

    /// Whether it said so since this was asked last.
    pub(super) fn take_changed_tools(&self) -> bool {
        self.tools_changed.swap(false, Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.n_holders -= 1;
        state.released_at = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn a_connection_is_idle_some_time_after_the_last_holder_left() {
        let usage = Usage::new(SHORT);
        let held = usage.hold().unwrap();
        assert!(timeout(SHORT * 3, usage.idle()).await.is_err());
        let released_at = Instant::now();
        drop(held);
        usage.idle().await;
        assert!(released_at.elapsed() >= SHORT);
        assert!(usage.hold().is_none());
    }

    #[test]
    fn a_retired_connection_gets_no_new_holders() {
        let usage = Usage::new(IDLE);
        let _held = usage.hold().unwrap();
        usage.retire();
        assert!(usage.hold().is_none());
    }
}
