//! Which ticks have come, and which of them fire.

use chrono::{DateTime, TimeDelta, Utc};

use super::{CatchUp, Schedule};
use crate::TriggerId;

/// A tick that is found later than this after it should have fired counts as missed. Up to then it
/// fires, late: a restart is no outage.
pub const MISSED_AFTER: TimeDelta = TimeDelta::seconds(60);
/// How many missed ticks fire at most with `catch_up: all`: the latest of them.
pub const MAX_CAUGHT_UP: usize = 10_000;
const MAX_CAUGHT_UP_SECONDS: i64 = 10_000;

/// What a schedule has to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The ticks that fire, in order.
    pub ticks: Vec<DateTime<Utc>>,
    /// Up to when everything is done once they have.
    pub done_until: DateTime<Utc>,
    /// When to look again; `None` if no tick is left.
    pub look_at: Option<DateTime<Utc>>,
    /// Whether ticks were left out because they were missed.
    pub left_out: bool,
}

impl Schedule {
    /// What has to be done at `now`, if everything up to `done_until` is: `limit` ticks at most, at
    /// least one. If there are more, `look_at` has passed already.
    ///
    /// With a jitter, a tick waits for the ones before it.
    pub fn due(
        &self,
        trigger: TriggerId,
        done_until: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Due {
        let mut done = self.without_missed(done_until, now);
        let left_out = done > done_until;
        let mut ticks = Vec::new();
        loop {
            let Some(tick) = self.next_after(done) else {
                return Due { ticks, done_until: done, look_at: None, left_out };
            };
            let fires_at = self.fires_at(trigger, tick);
            if fires_at > now || ticks.len() >= limit.max(1) {
                return Due { ticks, done_until: done, look_at: Some(fires_at), left_out };
            }
            ticks.push(tick);
            done = tick;
        }
    }

    /// Up to when nothing is to be done, given that what was missed may not have to be made up for.
    fn without_missed(&self, done_until: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let longest_jitter = TimeDelta::seconds(self.jitter_seconds.into());
        let missed_before = now - MISSED_AFTER - longest_jitter;
        let Some(latest) = self.last_before(missed_before).filter(|tick| *tick > done_until) else {
            return done_until;
        };
        match self.catch_up {
            CatchUp::None => latest,
            CatchUp::One => self.last_before(latest).map_or(done_until, |it| it.max(done_until)),
            CatchUp::All => {
                // No two ticks are closer than a second.
                if (latest - done_until).num_seconds() < MAX_CAUGHT_UP_SECONDS {
                    return done_until;
                }
                let mut earliest = latest;
                for _ in 0..MAX_CAUGHT_UP {
                    match self.last_before(earliest) {
                        Some(tick) if tick > done_until => earliest = tick,
                        _ => return done_until,
                    }
                }
                earliest
            }
        }
    }
}
