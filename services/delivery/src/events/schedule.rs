//! What follows from an attempt: whether the event is sent again, and when.
//!
//! The pauses are Svix's, which implements Standard Webhooks: 27 hours and a half from the first
//! attempt to the eighth and last. 2xx is success; everything else may be a mistake that somebody
//! is mending, an address that is closed to us included, so it is tried again; but for 410, by
//! which a receiver says that it wants no more.

use std::time::Duration;

use recado_store::event_deliveries::AfterAttempt;

/// What is waited for after the first, second, … failure.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(10),
];

/// How much of a pause is left to chance, in either direction: what failed together does not come
/// back together.
const JITTER: f64 = 0.2;

/// What is waited for at least after an answer that tells of too much work, or none in time.
const RELIEF: Duration = Duration::from_mins(1);

/// The longest that a receiver is left alone for because it asks for it.
const LONGEST_ASKED: Duration = Duration::from_hours(24);

/// How an attempt fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fared {
    /// The receiver has it.
    Taken,
    /// It does not.
    Refused {
        /// Whether it seems to have too much to do.
        overloaded: bool,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It wants no more events.
    Gone,
}

/// What follows from the `number`-th attempt (from 1). `chance`, from 0 to 1, says where between
/// the shortest and the longest the pause is.
pub(super) fn after(number: u32, fared: Fared, chance: f64) -> AfterAttempt {
    match fared {
        Fared::Taken => AfterAttempt::Delivered,
        Fared::Gone => AfterAttempt::Gone,
        Fared::Refused { overloaded, retry_after } => match pause_after(number) {
            None => AfterAttempt::Failed,
            Some(pause) => {
                let pause = pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance);
                let least = if overloaded { RELIEF } else { Duration::ZERO };
                let asked = retry_after.unwrap_or_default().min(LONGEST_ASKED);
                AfterAttempt::Retry { pause: pause.max(least).max(asked) }
            }
        },
    }
}

fn pause_after(number: u32) -> Option<Duration> {
    let place = usize::try_from(number.saturating_sub(1)).ok()?;
    PAUSES.get(place).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REFUSED: Fared = Fared::Refused { overloaded: false, retry_after: None };

    fn refused(overloaded: bool, seconds: u64) -> Fared {
        Fared::Refused { overloaded, retry_after: Some(Duration::from_secs(seconds)) }
    }

    fn pause(number: u32, fared: Fared, chance: f64) -> Duration {
        match after(number, fared, chance) {
            AfterAttempt::Retry { pause } => pause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_is_sent_eight_times_at_most() {
        let seconds: Vec<u64> = (1..=7).map(|n| pause(n, REFUSED, 0.5).as_secs()).collect();
        assert_eq!(seconds, [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
        assert_eq!(after(8, REFUSED, 0.5), AfterAttempt::Failed);
        assert_eq!(after(u32::MAX, REFUSED, 0.5), AfterAttempt::Failed);
    }

    #[test]
    fn success_and_410_end_it_at_once() {
        for number in [1, 8] {
            assert_eq!(after(number, Fared::Taken, 0.5), AfterAttempt::Delivered);
            assert_eq!(after(number, Fared::Gone, 0.5), AfterAttempt::Gone);
        }
    }

    #[test]
    fn who_has_too_much_to_do_gets_a_minute() {
        let overloaded = Fared::Refused { overloaded: true, retry_after: None };
        assert_eq!(pause(1, overloaded, 1.0), RELIEF);
        assert_eq!(pause(2, overloaded, 0.5), Duration::from_mins(5));
    }

    #[test]
    fn who_asks_to_be_left_alone_is_for_a_day_at_most() {
        assert_eq!(pause(1, refused(false, 30), 0.5), Duration::from_secs(30));
        assert_eq!(pause(1, refused(true, 90), 0.5), Duration::from_secs(90));
        assert_eq!(pause(2, refused(false, 1), 0.5), Duration::from_mins(5));
        assert_eq!(pause(1, refused(false, u64::MAX), 0.5), LONGEST_ASKED);
    }

    proptest! {
        #[test]
        fn pauses_vary_by_a_fifth(number in 1..=7u32, chance in 0.0..=1.0f64) {
            let middle = pause(number, REFUSED, 0.5).as_secs_f64();
            let part = pause(number, REFUSED, chance).as_secs_f64() / middle;
            prop_assert!((0.799..=1.201).contains(&part), "{part}");
        }

        #[test]
        fn any_wish_is_survived(
            number in any::<u32>(), overloaded in any::<bool>(),
            asked in prop::option::of(any::<u64>()), chance in 0.0..=1.0f64,
        ) {
            let retry_after = asked.map(Duration::from_secs);
            let after = after(number, Fared::Refused { overloaded, retry_after }, chance);
            if let AfterAttempt::Retry { pause } = after {
                prop_assert!(pause <= LONGEST_ASKED);
            }
        }
    }
}
