//! Rate limits without Redis: the same arithmetic, for one process, in bounded memory.
//!
//! It touches nothing; the time comes in as an argument.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Opinion, Rate, RateKey, RateState, Refused, conclude};

/// How many seconds count.
const MINUTE: u64 = 60;

/// What was used up in the last minute, by key.
///
/// It keeps two generations. A key that is used moves into the young one; the old one is dropped
/// when the young one is a minute old, by when all of it would be forgotten anyway, or when it is
/// full. So many new keys push out those that were idle longest, and never one in steady use.
#[derive(Debug)]
pub struct Ledger {
    young: HashMap<RateKey, Minute>,
    old: HashMap<RateKey, Minute>,
    most_keys: usize,
    /// The second that the young generation began in.
    young_since: u64,
}

impl Ledger {
    /// Counts at most `most_keys` keys, which is at least one for each limit of a message, in
    /// each of its two generations; a key takes up to about 1 KiB.
    pub fn new(most_keys: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most_keys, young_since: 0 }
    }

    /// Admits a message if all of `rates` do, and says which of them has the least left. `now` is
    /// the time since some fixed moment, and not less than in the call before.
    pub fn pay(&mut self, rates: &[Rate], now: Duration) -> Result<Option<RateState>, Refused> {
        self.make_room(rates.len(), now.as_secs());
        conclude(&self.each(rates, |minute, rate| minute.judge(rate, now)))?;
        conclude(&self.each(rates, |minute, rate| minute.consume(rate, now)))
    }

    fn each(
        &mut self,
        rates: &[Rate],
        ask: impl Fn(&mut Minute, &Rate) -> Opinion,
    ) -> Vec<Opinion> {
        rates.iter().map(|rate| ask(self.minute(rate.key), rate)).collect()
    }

    fn minute(&mut self, key: RateKey) -> &mut Minute {
        let old = &mut self.old;
        self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_default())
    }

    /// Makes sure that `n_keys` fit into the young generation.
    fn make_room(&mut self, n_keys: usize, second: u64) {
        let is_past = second >= self.young_since + MINUTE;
        if is_past || self.young.len() + n_keys > self.most_keys {
            self.old = std::mem::take(&mut self.young);
            self.young_since = second;
        }
    }
}

/// What one key used up in each of the last 60 seconds.
#[derive(Debug, Default)]
struct Minute {
    /// Seconds in which something was used, oldest first, and how much.
    seconds: VecDeque<(u64, u32)>,
    total: u32,
}

impl Minute {
    /// Whether `rate` admits one more.
    fn judge(&mut self, rate: &Rate, now: Duration) -> Opinion {
        self.forget(now.as_secs());
        let retry_in = (self.total >= rate.per_minute).then(|| {
            // A limit of zero admits nothing, ever; a minute is as good as any answer.
            let oldest = self.seconds.front();
            oldest.map_or(Duration::from_secs(MINUTE), |(second, _)| until_forgotten(*second, now))
        });
        Opinion { state: self.state(rate, now), retry_in }
    }

    /// Uses one up, which `rate` has admitted.
    fn consume(&mut self, rate: &Rate, now: Duration) -> Opinion {
        let second = now.as_secs();
        match self.seconds.back_mut() {
            Some((last, used)) if *last == second => *used += 1,
            _ => self.seconds.push_back((second, 1)),
        }
        self.total += 1;
        Opinion { state: self.state(rate, now), retry_in: None }
    }

    fn forget(&mut self, second: u64) {
        while let Some((_, used)) =
            self.seconds.pop_front_if(|(oldest, _)| *oldest + MINUTE <= second)
        {
            self.total -= used;
        }
    }

    fn state(&self, rate: &Rate, now: Duration) -> RateState {
        let newest = self.seconds.back();
        RateState {
            rate: *rate,
            remaining: rate.per_minute.saturating_sub(self.total),
            resets_in: newest.map_or(Duration::ZERO, |(second, _)| until_forgotten(*second, now)),
        }
    }
}

fn until_forgotten(second: u64, now: Duration) -> Duration {
    Duration::from_secs(second + MINUTE).saturating_sub(now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use recado_types::{TenantId, TriggerId};
    use uuid::Uuid;

    use super::*;

    fn tenant(per_minute: u32) -> Rate {
        Rate { key: RateKey::Tenant(TenantId(Uuid::from_u128(1))), per_minute }
    }

    fn trigger(n: u128, per_minute: u32) -> Rate {
        Rate { key: RateKey::Trigger(TriggerId(Uuid::from_u128(n))), per_minute }
    }

    #[test]
    fn a_limit_admits_its_number_and_says_when_it_admits_again() {
        let mut ledger = Ledger::new(10);
        let now = Duration::from_millis(5_250);
        for remaining in [2, 1, 0] {
            let state =
                RateState { rate: tenant(3), remaining, resets_in: Duration::from_millis(59_750) };
            assert_eq!(ledger.pay(&[tenant(3)], now), Ok(Some(state)));
        }
        let Err(Refused { state, retry_in }) = ledger.pay(&[tenant(3)], now) else {
            panic!("one too many was admitted");
        };
        assert_eq!((state.remaining, retry_in), (0, Duration::from_millis(59_750)));
        let before = (now + retry_in).saturating_sub(Duration::from_millis(1));
        assert!(ledger.pay(&[tenant(3)], before).is_err());
        assert!(ledger.pay(&[tenant(3)], now + retry_in).is_ok());
    }

    #[test]
    fn what_is_refused_uses_nothing_up() {
        let mut ledger = Ledger::new(10);
        let both = [tenant(5), trigger(1, 1)];
        let now = Duration::ZERO;
        assert!(ledger.pay(&both, now).is_ok());
        for _ in 0..10 {
            assert!(ledger.pay(&both, now).is_err());
        }
        let Ok(Some(state)) = ledger.pay(&[tenant(5)], now) else {
            panic!("the tenant's limit was used up by what was refused");
        };
        assert_eq!(state.remaining, 3);
    }

    #[test]
    fn no_limit_admits_and_a_limit_of_zero_does_not() {
        let mut ledger = Ledger::new(10);
        assert_eq!(ledger.pay(&[], Duration::ZERO), Ok(None));
        assert!(ledger.pay(&[tenant(0)], Duration::ZERO).is_err());
    }

    #[test]
    fn many_keys_push_out_idle_ones_and_not_those_in_use() {
        let mut ledger = Ledger::new(10);
        let now = Duration::ZERO;
        assert!(ledger.pay(&[tenant(1)], now).is_ok());
        for n in 0..1_000 {
            assert!(ledger.pay(&[trigger(n, 1)], now).is_ok());
            assert!(ledger.pay(&[tenant(1)], now).is_err());
            assert!(ledger.young.len() <= 10 && ledger.old.len() <= 10);
        }
        assert!(ledger.pay(&[trigger(0, 1)], now).is_ok(), "it was idle, and pushed out");
    }

    proptest! {
        #[test]
        fn sixty_seconds_never_admit_more_than_the_limit_nor_less_than_they_may(
            per_minute in 1_u32..8,
            gaps_ms in prop::collection::vec(
                prop_oneof![0_u64..50, 0_u64..5_000, 0_u64..90_000], 1..200),
        ) {
            let mut ledger = Ledger::new(4);
            let mut now_ms = 0;
            let mut admitted: Vec<u64> = Vec::new();
            for gap_ms in gaps_ms {
                now_ms += gap_ms;
                let second = now_ms / 1_000;
                let counted = admitted.iter().filter(|it| **it + MINUTE > second).count();
                let may = counted < usize::try_from(per_minute).unwrap();
                let now = Duration::from_millis(now_ms);
                let paid = ledger.pay(&[tenant(per_minute)], now);
                prop_assert_eq!(paid.is_ok(), may);
                match paid {
                    Ok(_) => admitted.push(second),
                    Err(Refused { retry_in, .. }) => {
                        prop_assert!(retry_in > Duration::ZERO);
                        prop_assert!(retry_in <= Duration::from_secs(MINUTE));
                    }
                }
            }
        }
    }
}
