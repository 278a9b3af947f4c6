#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

use std::fmt::Debug;
use std::sync::Mutex;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// The time of day and a source of identifiers.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, cut to microseconds: what `PostgreSQL` keeps, so that a value read back is equal.
    fn now(&self) -> DateTime<Utc>;

    /// A `UUIDv7` (RFC 9562) that sorts after every id this clock gave before.
    fn fresh_id(&self) -> Uuid;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock {
    sequence: Sequence,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn now(&self) -> DateTime<Utc> {
        to_micros(Utc::now())
    }

    fn fresh_id(&self) -> Uuid {
        self.sequence.next(self.now())
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<DateTime<Utc>>,
    sequence: Sequence,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { now: Mutex::new(to_micros(now)), sequence: Sequence::default() }
    }

    /// Moves the clock; a negative `by` moves it back, as real clocks do at times.
    pub fn advance(&self, by: TimeDelta) {
        *self.now.lock().expect("no holder of this lock panics") += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().expect("no holder of this lock panics")
    }

    fn fresh_id(&self) -> Uuid {
        self.sequence.next(self.now())
    }
}

/// Keeps ids of one process in order, within a millisecond and when the clock steps back.
#[derive(Debug)]
struct Sequence(Mutex<ContextV7>);

impl Default for Sequence {
    fn default() -> Self {
        Self(Mutex::new(ContextV7::new()))
    }
}

impl Sequence {
    fn next(&self, now: DateTime<Utc>) -> Uuid {
        let context = self.0.lock().expect("no holder of this lock panics");
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(&*context, seconds, now.timestamp_subsec_nanos()))
    }
}

fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_even_if_the_clock_steps_back() {
        let clock = ManualClock::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let first = clock.fresh_id();
        let second = clock.fresh_id();
        clock.advance(TimeDelta::seconds(-5));
        let third = clock.fresh_id();
        assert!(first < second && second < third, "{first} {second} {third}");
    }

    #[test]
    fn the_system_clock_gives_whole_microseconds() {
        assert_eq!(SystemClock::default().now().timestamp_subsec_nanos() % 1_000, 0);
    }
}
