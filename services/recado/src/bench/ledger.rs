//! What became of every message: when it was posted, acknowledged and called back.
//!
//! Written by the generator and the sink on every message, so it is a table of atomics: no lock,
//! no allocation.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The most messages of one run.
const CAPACITY: usize = 1 << 18;

/// All messages of a run, by number.
pub(super) struct Ledger {
    epoch: Instant,
    entries: Box<[Entry]>,
    /// How many numbers there are.
    n_numbers: usize,
    next: AtomicUsize,
    n_callbacks: AtomicUsize,
    n_strays: AtomicUsize,
}

/// Nanoseconds since the epoch; 0 is "not yet".
#[derive(Default)]
struct Entry {
    posted: AtomicU64,
    acknowledged: AtomicU64,
    called_back: AtomicU64,
}

/// What became of some of them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) n_acknowledged: usize,
    pub(super) n_called_back: usize,
    /// Acknowledged, and not called back so far.
    pub(super) n_missing: usize,
    /// From the first post to the last callback.
    pub(super) span: Duration,
    /// From each post to its callback.
    pub(super) end_to_end: Vec<Duration>,
}

impl Ledger {
    /// For messages that are answered.
    pub(super) fn new() -> Self {
        Self::of((0..CAPACITY).map(|_| Entry::default()).collect(), CAPACITY)
    }

    /// For messages that nobody will answer: numbers without end, of which nothing is noted.
    pub(super) fn unkept() -> Self {
        Self::of(Box::default(), usize::MAX)
    }

    fn of(entries: Box<[Entry]>, n_numbers: usize) -> Self {
        Self {
            epoch: Instant::now(),
            entries,
            n_numbers,
            next: AtomicUsize::new(0),
            n_callbacks: AtomicUsize::new(0),
            n_strays: AtomicUsize::new(0),
        }
    }

    /// The next `n` numbers; `None` when the run has used up what there is.
    pub(super) fn take(&self, n: usize) -> Option<Range<usize>> {
        let first = self.next.fetch_add(n, Ordering::Relaxed);
        (first + n <= self.n_numbers).then_some(first..first + n)
    }

    /// The number that will be taken next.
    pub(super) fn position(&self) -> usize {
        self.next.load(Ordering::Relaxed).min(self.n_numbers)
    }

    /// Message `number` was sent at `at`.
    pub(super) fn posted(&self, number: usize, at: Instant) {
        if let Some(entry) = self.entries.get(number) {
            entry.posted.store(self.nanos(at), Ordering::Relaxed);
        }
    }

    /// Message `number` was answered with a 2xx.
    pub(super) fn acknowledged(&self, number: usize) {
        if let Some(entry) = self.entries.get(number) {
            entry.acknowledged.store(self.nanos(Instant::now()), Ordering::Relaxed);
        }
    }

    /// A callback came with these messages.
    pub(super) fn called_back(&self, numbers: impl Iterator<Item = usize>) {
        let now = self.nanos(Instant::now());
        self.n_callbacks.fetch_add(1, Ordering::Relaxed);
        let mut is_empty = true;
        for number in numbers {
            is_empty = false;
            let is_first = self.entries.get(number).is_some_and(|entry| {
                let entry = &entry.called_back;
                entry.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            });
            if !is_first {
                self.n_strays.fetch_add(1, Ordering::Relaxed);
            }
        }
        if is_empty {
            self.n_strays.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many callbacks came.
    pub(super) fn n_callbacks(&self) -> usize {
        self.n_callbacks.load(Ordering::Relaxed)
    }

    /// How many callbacks brought what had come before, or nothing that was posted.
    pub(super) fn n_strays(&self) -> usize {
        self.n_strays.load(Ordering::Relaxed)
    }

    /// From the post of message `number` to its callback.
    pub(super) fn end_to_end(&self, number: usize) -> Option<Duration> {
        let entry = self.entries.get(number)?;
        let (posted, called_back) = (read(&entry.posted)?, read(&entry.called_back)?);
        Some(called_back.saturating_sub(posted))
    }

    /// What became of `numbers` so far.
    pub(super) fn tally(&self, numbers: Range<usize>) -> Tally {
        let mut tally = Tally::default();
        let (mut first, mut last) = (Duration::MAX, Duration::ZERO);
        for number in numbers {
            let entry = &self.entries[number];
            let called_back = read(&entry.called_back);
            tally.n_called_back += usize::from(called_back.is_some());
            tally.end_to_end.extend(self.end_to_end(number));
            first = first.min(read(&entry.posted).unwrap_or(Duration::MAX));
            last = last.max(called_back.unwrap_or_default());
            if read(&entry.acknowledged).is_some() {
                tally.n_acknowledged += 1;
                tally.n_missing += usize::from(called_back.is_none());
            }
        }
        tally.span = last.saturating_sub(first);
        tally
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    }
}

fn read(time: &AtomicU64) -> Option<Duration> {
    let nanos = time.load(Ordering::Relaxed);
    (nanos != 0).then(|| Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_and_did_not_come_back_is_missing() {
        let ledger = Ledger::new();
        let numbers = ledger.take(3).unwrap();
        for number in numbers.clone() {
            ledger.posted(number, Instant::now());
        }
        ledger.acknowledged(0);
        ledger.acknowledged(1);
        ledger.called_back([1, 2].into_iter());
        let tally = ledger.tally(numbers);
        assert_eq!((tally.n_acknowledged, tally.n_called_back, tally.n_missing), (2, 2, 1));
        assert_eq!(tally.end_to_end.len(), 2);
        assert_eq!((ledger.n_callbacks(), ledger.n_strays()), (1, 0));
    }

    #[test]
    fn what_comes_back_twice_or_from_nowhere_is_noticed() {
        let ledger = Ledger::new();
        ledger.called_back([5].into_iter());
        ledger.called_back([5].into_iter());
        ledger.called_back([CAPACITY].into_iter());
        ledger.called_back(std::iter::empty());
        assert_eq!(ledger.n_strays(), 3);
    }

    #[test]
    fn what_is_not_kept_has_numbers_all_the_same() {
        let ledger = Ledger::unkept();
        assert_eq!(ledger.take(CAPACITY + 1), Some(0..CAPACITY + 1));
        ledger.posted(7, Instant::now());
        ledger.acknowledged(7);
        assert_eq!((ledger.position(), ledger.end_to_end(7)), (CAPACITY + 1, None));
    }

    #[test]
    fn a_run_ends_when_its_numbers_do() {
        let ledger = Ledger::new();
        assert_eq!(ledger.take(CAPACITY - 1), Some(0..CAPACITY - 1));
        assert_eq!(ledger.take(2), None);
        assert_eq!(ledger.position(), CAPACITY);
    }
}
