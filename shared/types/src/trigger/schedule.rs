//! `schedule`: when a trigger fires by itself.
//!
//! A tick is a moment that the configuration names; when it fires is that and its jitter. Which
//! ticks there are follows from the configuration alone, so every instance finds the same ones.
//!
//! What a change of the clocks does to a cron expression (crontab(5), which the crate `croner`
//! follows): a tick at a fixed time of day fires once on every day that has one, right after the
//! gap if its time falls into it, and at the first of two times if the clocks go back. Where the
//! seconds, the minutes or the hours have `*` or `/`, ticks follow the clock on the wall: those in
//! the gap do not happen, and those of the repeated hour happen twice. An interval is real time and
//! knows nothing of clocks.

mod due;
mod read;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use serde_json::{Map, Value};

use crate::TriggerId;
use crate::template::JsonTemplate;

pub(super) use read::{MAX_CRON, MAX_WORD};

pub use due::{Due, MAX_CAUGHT_UP, MISSED_AFTER};

/// The longest interval, in seconds: a year.
pub const MAX_INTERVAL_SECONDS: u32 = 31_536_000;
/// The longest jitter, in seconds.
pub const MAX_JITTER_SECONDS: u32 = 3_600;

/// What a payload may say of its tick.
pub(super) const PLACEHOLDERS: [&str; 6] =
    ["scheduled_at", "local_scheduled_at", "date", "time", "time_zone", "trigger_id"];

/// The `schedule` of a trigger of that type.
#[derive(Clone, Debug)]
pub struct Schedule {
    ticks: Ticks,
    /// What local times are of.
    pub time_zone: Tz,
    /// The longest that a tick is put off, in seconds. By how much follows from trigger and tick.
    pub jitter_seconds: u32,
    /// No tick is before it.
    pub start_at: Option<DateTime<Utc>>,
    /// No tick is after it.
    pub end_at: Option<DateTime<Utc>>,
    /// What becomes of ticks that were missed.
    pub catch_up: CatchUp,
    payload: Option<JsonTemplate>,
}

/// Which ticks there are.
#[derive(Clone, Debug)]
enum Ticks {
    Cron(Box<Cron>),
    /// Every so many seconds, counted from `start_at` or else from 1970-01-01T00:00:00Z.
    Interval(TimeDelta),
    Once(DateTime<Utc>),
}

/// What becomes of ticks that nobody was there for: [`MISSED_AFTER`] says when one counts as missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// They are left out.
    None,
    /// The latest of them fires.
    #[default]
    One,
    /// All of them fire, in order, the latest [`MAX_CAUGHT_UP`] at most.
    All,
}

impl Schedule {
    /// The first tick after `moment`.
    pub fn next_after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // A tick may be at the start itself.
        let moment = match self.start_at {
            Some(start) => moment.max(start - TimeDelta::microseconds(1)),
            None => moment,
        };
        let next = match &self.ticks {
            Ticks::Cron(cron) => {
                let local = moment.with_timezone(&self.time_zone);
                cron.find_next_occurrence(&local, false).ok()?.to_utc()
            }
            Ticks::Interval(interval) => {
                let anchor = self.anchor();
                last_multiple(moment - anchor, *interval).map(|last| anchor + last + *interval)?
            }
            Ticks::Once(at) => *at,
        };
        let is_one = next > moment && self.end_at.is_none_or(|end| next <= end);
        is_one.then_some(next)
    }

    /// The last tick before `moment`.
    fn last_before(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let moment = match self.end_at {
            Some(end) => moment.min(end + TimeDelta::microseconds(1)),
            None => moment,
        };
        let last = match &self.ticks {
            Ticks::Cron(cron) => {
                let local = moment.with_timezone(&self.time_zone);
                cron.find_previous_occurrence(&local, false).ok()?.to_utc()
            }
            Ticks::Interval(interval) => {
                let (anchor, before) = (self.anchor(), moment - TimeDelta::microseconds(1));
                last_multiple(before - anchor, *interval).map(|last| anchor + last)?
            }
            Ticks::Once(at) => *at,
        };
        let is_one = last < moment && self.start_at.is_none_or(|start| last >= start);
        is_one.then_some(last)
    }

    /// When a tick fires: by how much it is put off differs between triggers, and is the same for
    /// whoever asks.
    pub fn fires_at(&self, trigger: TriggerId, tick: DateTime<Utc>) -> DateTime<Utc> {
        if self.jitter_seconds == 0 {
            return tick;
        }
        let name = [trigger.0.as_bytes().as_slice(), &tick.timestamp_micros().to_be_bytes()];
        let drawn = crate::Fingerprint::of(&name.concat()).0.as_u128();
        let range = u128::from(self.jitter_seconds) * 1_000 + 1;
        let ms = i64::try_from(drawn % range).unwrap_or_default();
        tick + TimeDelta::milliseconds(ms)
    }

    /// When it fires next, `count` times at most.
    pub fn next_runs(
        &self,
        trigger: TriggerId,
        now: DateTime<Utc>,
        count: usize,
    ) -> Vec<DateTime<Utc>> {
        // One whose moment has passed may not have fired yet.
        let mut tick = now - TimeDelta::seconds(self.jitter_seconds.into());
        let mut latest = tick;
        let next = std::iter::from_fn(|| {
            tick = self.next_after(tick)?;
            // None fires before the one before it.
            latest = latest.max(self.fires_at(trigger, tick));
            Some(latest)
        });
        next.filter(|fires_at| *fires_at > now).take(count).collect()
    }

    /// What a tick's message is made of.
    pub fn payload(&self, trigger: TriggerId, tick: DateTime<Utc>) -> Value {
        let local = tick.with_timezone(&self.time_zone);
        let texts = [
            ("scheduled_at", rfc3339(&tick)),
            ("local_scheduled_at", rfc3339(&local)),
            ("date", local.format("%Y-%m-%d").to_string()),
            ("time", local.format("%H:%M").to_string()),
            ("time_zone", self.time_zone.name().to_owned()),
            ("trigger_id", trigger.to_string()),
        ];
        let values: Map<String, Value> =
            texts.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        match &self.payload {
            Some(template) => {
                template.render(&values).expect("its placeholders were checked when it was read")
            }
            None => Value::Object(values),
        }
    }

    fn anchor(&self) -> DateTime<Utc> {
        self.start_at.unwrap_or(DateTime::UNIX_EPOCH)
    }
}

/// What a tick is called: its moment, to the second or, where that is not enough, more finely.
pub fn rfc3339<Z: chrono::TimeZone<Offset: std::fmt::Display>>(moment: &DateTime<Z>) -> String {
    moment.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// The last multiple of an interval that has passed, also if time is counted backwards.
fn last_multiple(passed: TimeDelta, interval: TimeDelta) -> Option<TimeDelta> {
    let (passed, interval) = (passed.num_microseconds()?, interval.num_microseconds()?);
    Some(TimeDelta::microseconds(passed - passed.checked_rem_euclid(interval)?))
}
