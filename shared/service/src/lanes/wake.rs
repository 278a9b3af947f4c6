//! A knock on the loop's door, now or at a certain time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Knocks at times that fall into one tick are one, at its end: 10,000 lanes that become due within
/// a second make the loop look 50 times.
const TICK: Duration = Duration::from_millis(20);

/// How many ticks are kept, the next ones: almost three minutes' worth. A time beyond them is
/// forgotten, and the loop finds what is due then by looking every `poll`.
const MAX_TICKS: usize = 8_192;

/// Says that a lane may have something to run. Clones wake the same loop.
#[derive(Debug, Clone)]
pub struct Wake(Arc<Door>);

#[derive(Debug)]
struct Door {
    knocked: Notify,
    /// Something was put before the next tick.
    sooner: Notify,
    /// What ticks are counted from.
    origin: Instant,
    ticks: Mutex<BTreeSet<u64>>,
}

impl Default for Wake {
    fn default() -> Self {
        Self(Arc::new(Door {
            knocked: Notify::new(),
            sooner: Notify::new(),
            origin: Instant::now(),
            ticks: Mutex::default(),
        }))
    }
}

impl Wake {
    /// Makes the loop look. Knocks that come before it does count as one.
    pub fn wake(&self) {
        self.0.knocked.notify_one();
    }

    /// Makes the loop look at `at`, or up to 20 ms later. Costs nothing much: times that are close
    /// to each other are one, and those that are far ahead while there are thousands before them
    /// are left to the loop's `poll`.
    pub fn wake_at(&self, at: Instant) {
        let tick = self.0.tick_after(at);
        let mut ticks = self.0.ticks();
        let is_sooner = ticks.first().is_none_or(|first| tick < *first);
        ticks.insert(tick);
        if ticks.len() > MAX_TICKS {
            ticks.pop_last();
        }
        drop(ticks);
        if is_sooner {
            self.0.sooner.notify_one();
        }
    }

    /// Returns when somebody knocks, or when the time has come for which somebody asked.
    pub(super) async fn woken(&self) {
        loop {
            let next = self.0.next_tick();
            let time_has_come = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.0.knocked.notified() => break,
                () = time_has_come => break,
                () = self.0.sooner.notified() => {}
            }
        }
        self.0.forget_past();
    }
}

impl Door {
    fn tick_after(&self, at: Instant) -> u64 {
        let ticks = at.saturating_duration_since(self.origin).as_nanos().div_ceil(TICK.as_nanos());
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    fn next_tick(&self) -> Option<Instant> {
        let first = *self.ticks().first()?;
        // What cannot be represented is too far ahead to be waited for.
        self.origin.checked_add(TICK.checked_mul(u32::try_from(first).ok()?)?)
    }

    /// The loop looks now, so it need not for what is past.
    fn forget_past(&self) {
        let elapsed = self.origin.elapsed().as_nanos() / TICK.as_nanos();
        let first_ahead = u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1);
        let mut ticks = self.ticks();
        *ticks = ticks.split_off(&first_ahead);
    }

    fn ticks(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.ticks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_wakes_at_every_time_that_was_asked_for_and_not_before() {
        let wake = Wake::default();
        let begun = Instant::now();
        for ms in [300, 45, 1_000] {
            wake.wake_at(begun + Duration::from_millis(ms));
        }
        for ms in [45, 300, 1_000] {
            wake.woken().await;
            let (at, due) = (begun.elapsed(), Duration::from_millis(ms));
            assert!(due <= at && at <= due + TICK + Duration::from_millis(1), "{at:?} {due:?}");
        }
        assert!(timeout(Duration::from_hours(1), wake.woken()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_is_asked_for_later_but_comes_sooner_is_heeded() {
        let wake = Wake::default();
        let begun = Instant::now();
        wake.wake_at(begun + Duration::from_secs(10));
        let asks = async {
            sleep(Duration::from_millis(50)).await;
            wake.wake_at(begun + Duration::from_millis(100));
        };
        tokio::join!(wake.woken(), asks);
        assert!(begun.elapsed() < Duration::from_millis(130), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn times_that_are_close_wake_once() {
        let wake = Wake::default();
        for ms in 41..60 {
            wake.wake_at(Instant::now() + Duration::from_millis(ms));
        }
        wake.woken().await;
        assert!(timeout(Duration::from_hours(1), wake.woken()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_slept_through_wakes_once() {
        let wake = Wake::default();
        for ms in [100, 500, 900] {
            wake.wake_at(Instant::now() + Duration::from_millis(ms));
        }
        sleep(Duration::from_secs(5)).await;
        timeout(Duration::from_millis(1), wake.woken()).await.unwrap();
        assert!(timeout(Duration::from_hours(1), wake.woken()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_times_are_kept_and_they_are_the_next_ones() {
        let wake = Wake::default();
        let begun = Instant::now();
        for n in (0..100_000).rev() {
            wake.wake_at(begun + TICK * n);
        }
        assert_eq!(wake.0.ticks().len(), MAX_TICKS);
        wake.woken().await;
        assert!(begun.elapsed() < TICK);
    }
}
