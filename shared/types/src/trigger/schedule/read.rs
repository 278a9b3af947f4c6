//! Reading a `schedule`.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Year};

use super::{CatchUp, MAX_INTERVAL_SECONDS, MAX_JITTER_SECONDS, PLACEHOLDERS, Schedule, Ticks};
use crate::shape::ObjectReader;
use crate::template::JsonTemplate;

/// The longest cron expression, in characters.
pub(in crate::trigger) const MAX_CRON: usize = 256;
/// The largest payload, in bytes of JSON: many schedules may fire at the same moment.
const MAX_PAYLOAD: usize = 65_536;
/// The longest name of a time zone, and the longest moment, in characters.
pub(in crate::trigger) const MAX_WORD: usize = 64;

impl Schedule {
    pub(in crate::trigger) fn read(reader: &mut ObjectReader<'_>) -> Option<Self> {
        let mut fields = reader.object("schedule")?;
        let time_zone = read_time_zone(&mut fields);
        let ticks = read_ticks(&mut fields, time_zone);
        let most = MAX_JITTER_SECONDS;
        let jitter_seconds = fields.integer("jitter_seconds", 0..=most).unwrap_or_default();
        let start_at = read_moment(&mut fields, "start_at", time_zone);
        let end_at = read_moment(&mut fields, "end_at", time_zone);
        if let (Some(start), Some(end)) = (start_at, end_at)
            && end <= start
        {
            fields.refuse("end_at", "must be after `start_at`");
        }
        let policies = [("none", CatchUp::None), ("one", CatchUp::One), ("all", CatchUp::All)];
        let catch_up = fields.choice("catch_up", &policies).unwrap_or_default();
        let payload = read_payload(&mut fields);
        fields.done();
        let schedule = Self {
            ticks: ticks?,
            time_zone: time_zone?,
            jitter_seconds,
            start_at,
            end_at,
            catch_up,
            payload,
        };
        schedule.refuse_if_never(reader);
        Some(schedule)
    }

    fn refuse_if_never(&self, reader: &ObjectReader<'_>) {
        if self.next_after(DateTime::UNIX_EPOCH).is_none() {
            reader.refuse("schedule", "has no tick: there is no such moment, or none in between");
        }
    }
}

fn read_time_zone(fields: &mut ObjectReader<'_>) -> Option<Tz> {
    if fields.any("time_zone").is_none() {
        return Some(Tz::UTC);
    }
    let name = fields.string("time_zone", 1..=MAX_WORD)?;
    let unknown = |_| "must be a time zone of the IANA database, for example `America/Sao_Paulo`";
    fields.accept("time_zone", name.parse().map_err(unknown))
}

/// Exactly one of three.
fn read_ticks(fields: &mut ObjectReader<'_>, time_zone: Option<Tz>) -> Option<Ticks> {
    let given = ["cron", "interval_seconds", "at"].map(|key| fields.any(key).is_some());
    match given.iter().filter(|is_given| **is_given).count() {
        0 => fields.refuse("cron", "is required, or else `interval_seconds` or `at`"),
        1 => {}
        _ => fields.refuse("cron", "only one of `cron`, `interval_seconds` and `at` may be there"),
    }
    let cron = read_cron(fields);
    let interval = fields.integer("interval_seconds", 1..=MAX_INTERVAL_SECONDS);
    let at = read_moment(fields, "at", time_zone);
    let interval = interval.map(|seconds| Ticks::Interval(TimeDelta::seconds(seconds.into())));
    cron.or(interval).or(at.map(Ticks::Once))
}

fn read_cron(fields: &mut ObjectReader<'_>) -> Option<Ticks> {
    let text = fields.string("cron", 1..=MAX_CRON)?;
    // A seventh field, the year, is nobody's standard.
    let parser = CronParser::builder().year(Year::Disallowed).build();
    let parsed = parser.parse(text).map_err(|error| {
        format!("must be a cron expression of 5 or 6 fields, for example `*/5 * * * *`: {error}")
    });
    fields.accept("cron", parsed).map(|cron| Ticks::Cron(Box::new(cron)))
}

/// A moment with an offset (RFC 3339), or without one in the schedule's time zone.
fn read_moment(
    fields: &mut ObjectReader<'_>,
    key: &'static str,
    time_zone: Option<Tz>,
) -> Option<DateTime<Utc>> {
    let text = fields.string(key, 1..=MAX_WORD)?;
    fields.accept(key, parse_moment(text, time_zone.unwrap_or(Tz::UTC)))
}

fn parse_moment(text: &str, time_zone: Tz) -> Result<DateTime<Utc>, &'static str> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return in_reach(moment.to_utc());
    }
    let local: NaiveDateTime = text.parse().map_err(
        |_no_moment| "must be a moment, for example `2026-12-24T09:00:00` or `…T09:00:00-03:00`",
    )?;
    // Of two moments with one name, the first.
    let moment = local.and_local_timezone(time_zone).earliest();
    in_reach(moment.ok_or("does not exist: the clocks go forward over it")?.to_utc())
}

/// Between 1970 and 2999, so that nothing can be added to it that is no date any more.
fn in_reach(moment: DateTime<Utc>) -> Result<DateTime<Utc>, &'static str> {
    let latest = DateTime::from_timestamp(32_503_680_000, 0).unwrap_or(DateTime::UNIX_EPOCH);
    if moment.nanosecond() >= 1_000_000_000 {
        return Err("must not be a leap second");
    }
    let is_in_reach = (DateTime::UNIX_EPOCH..latest).contains(&moment);
    is_in_reach.then_some(moment).ok_or("must be between the years 1970 and 2999")
}

fn read_payload(fields: &mut ObjectReader<'_>) -> Option<JsonTemplate> {
    let value = fields.any("payload")?;
    if value.to_string().len() > MAX_PAYLOAD {
        fields.refuse("payload", format!("must have at most {MAX_PAYLOAD} bytes of JSON"));
        return None;
    }
    let template = fields.accept("payload", JsonTemplate::parse(value))?;
    let unknown = template.placeholders().into_iter().find(|name| !PLACEHOLDERS.contains(name));
    if let Some(name) = unknown {
        let known = PLACEHOLDERS.join(", ");
        fields.refuse("payload", format!("`{{{{{name}}}}}` is not known; there are: {known}"));
        return None;
    }
    Some(template)
}
