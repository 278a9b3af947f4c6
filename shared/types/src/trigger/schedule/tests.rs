//! Ticks, clocks that change, and outages.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::trigger::{Source, TriggerConfig, TriggerType};

const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(7));

fn config(schedule: &Value) -> Value {
    json!({ "schedule": schedule })
}

fn schedule(fields: &Value) -> Schedule {
    let parsed = TriggerConfig::parse_as(TriggerType::Schedule, &config(fields));
    match parsed.unwrap_or_else(|problems| panic!("{fields}: {problems:?}")).source {
        Source::Schedule(schedule) => *schedule,
        other => panic!("{other:?}"),
    }
}

fn paths(fields: &Value) -> Vec<String> {
    let problems = TriggerConfig::parse_as(TriggerType::Schedule, &config(fields));
    let problems = problems.err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.path.replace("trigger_config.", "")).collect()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The ticks after `from`, up to `until`.
fn between(schedule: &Schedule, from: &str, until: &str) -> Vec<String> {
    let (mut tick, until) = (at(from), at(until));
    let mut ticks = Vec::new();
    while let Some(next) = schedule.next_after(tick).filter(|next| *next <= until) {
        ticks.push(rfc3339(&next));
        tick = next;
    }
    ticks
}

#[test]
fn expressions_have_five_fields_or_six() {
    let five = schedule(&json!({"cron": "30 9 * * MON-FRI"}));
    // A Saturday.
    let next = between(&five, "2026-11-21T00:00:00Z", "2026-11-24T12:00:00Z");
    assert_eq!(next, ["2026-11-23T09:30:00Z", "2026-11-24T09:30:00Z"]);
    let six = schedule(&json!({"cron": "*/20 * * * * *"}));
    let next = between(&six, "2026-11-21T00:00:00Z", "2026-11-21T00:00:40Z");
    assert_eq!(next, ["2026-11-21T00:00:20Z", "2026-11-21T00:00:40Z"]);
    let daily = schedule(&json!({"cron": "@daily", "time_zone": "America/Sao_Paulo"}));
    let next = daily.next_after(at("2026-11-21T12:00:00Z")).unwrap();
    assert_eq!(rfc3339(&next), "2026-11-22T03:00:00Z");
}

#[test]
fn a_fixed_time_happens_once_on_the_days_on_which_the_clocks_change() {
    let early = schedule(&json!({"cron": "30 2 * * *", "time_zone": "Europe/Berlin"}));
    // 02:00 becomes 03:00 on 29 March: there is no 02:30.
    let spring = between(&early, "2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(spring, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    // 03:00 becomes 02:00 on 25 October: there are two.
    let autumn = between(&early, "2026-10-23T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(autumn, ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn what_follows_the_wall_clock_skips_the_gap_and_repeats_the_hour() {
    let often = schedule(&json!({"cron": "*/30 * * * *", "time_zone": "Europe/Berlin"}));
    let spring = between(&often, "2026-03-29T00:15:00Z", "2026-03-29T01:45:00Z");
    assert_eq!(spring, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    let autumn = between(&often, "2026-10-24T23:45:00Z", "2026-10-25T02:00:00Z");
    let each_half_hour = ["00:00", "00:30", "01:00", "01:30", "02:00"];
    assert_eq!(autumn, each_half_hour.map(|time| format!("2026-10-25T{time}:00Z")));
}

#[test]
fn an_interval_is_real_time_from_its_start_or_from_1970() {
    let plain = schedule(&json!({"interval_seconds": 300}));
    assert_eq!(plain.next_after(at("2026-03-29T00:57:01Z")), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(plain.next_after(at("2026-03-29T01:00:00Z")), Some(at("2026-03-29T01:05:00Z")));
    let anchored = schedule(&json!({
        "interval_seconds": 7_200, "start_at": "2026-03-28T23:30:00", "time_zone": "Europe/Berlin",
        "end_at": "2026-03-29T02:30:00Z",
    }));
    let ticks = between(&anchored, "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z");
    assert_eq!(ticks, ["2026-03-28T22:30:00Z", "2026-03-29T00:30:00Z", "2026-03-29T02:30:00Z"]);
}

#[test]
fn intervals_go_on_beyond_what_32_bits_can_count() {
    let each_second = schedule(&json!({"interval_seconds": 1}));
    let late = at("2039-01-01T00:00:00Z");
    assert_eq!(each_second.next_after(late), Some(late + TimeDelta::seconds(1)));
    assert_eq!(each_second.last_before(late), Some(late - TimeDelta::seconds(1)));
}

#[test]
fn what_is_about_to_fire_is_among_the_next_runs() {
    let late = schedule(&json!({"cron": "0 9 * * *", "jitter_seconds": 3_600}));
    let tick = at("2026-11-22T09:00:00Z");
    let fires_at = late.fires_at(TRIGGER, tick);
    assert!(fires_at > tick + TimeDelta::seconds(1), "the draw of this trigger and tick");
    let runs = late.next_runs(TRIGGER, tick + TimeDelta::seconds(1), 3);
    assert_eq!((runs.len(), runs[0]), (3, fires_at));
}

#[test]
fn once_is_once() {
    let once = schedule(&json!({"at": "2026-12-24T09:00:00", "time_zone": "America/Sao_Paulo"}));
    let ticks = between(&once, "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z");
    assert_eq!(ticks, ["2026-12-24T12:00:00Z"]);
    let with_offset = schedule(&json!({"at": "2026-12-24T09:00:00+01:00"}));
    assert_eq!(
        with_offset.next_after(at("2026-01-01T00:00:00Z")),
        Some(at("2026-12-24T08:00:00Z"))
    );
    // The first of the two.
    let twice = schedule(&json!({"at": "2026-10-25T02:30:00", "time_zone": "Europe/Berlin"}));
    assert_eq!(twice.next_after(at("2026-01-01T00:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
}

#[test]
fn what_was_missed_is_left_out_or_made_up_for() {
    let minutely = |catch_up: &str| schedule(&json!({"cron": "* * * * *", "catch_up": catch_up}));
    let (done, now) = (at("2026-11-22T09:00:00Z"), at("2026-11-22T10:00:30Z"));
    let due = |catch_up: &str| minutely(catch_up).due(TRIGGER, done, now, 1_000);

    let none = due("none");
    assert_eq!(none.ticks, [at("2026-11-22T10:00:00Z")]);
    assert!(none.left_out);
    assert_eq!(none.look_at, Some(at("2026-11-22T10:01:00Z")));
    let one = due("one");
    assert_eq!(one.ticks, [at("2026-11-22T09:59:00Z"), at("2026-11-22T10:00:00Z")]);
    assert!(one.left_out);
    let all = due("all");
    assert_eq!((all.ticks.len(), all.ticks[0]), (60, at("2026-11-22T09:01:00Z")));
    assert!(!all.left_out);
    assert_eq!(all.done_until, at("2026-11-22T10:00:00Z"));

    // In portions, nothing is lost between them.
    let (schedule, mut from, mut ticks) = (minutely("all"), done, Vec::new());
    loop {
        let some = schedule.due(TRIGGER, from, now, 7);
        ticks.extend(some.ticks);
        from = some.done_until;
        if some.look_at > Some(now) {
            break;
        }
    }
    assert_eq!(ticks, all.ticks);
}

#[test]
fn a_short_pause_is_no_outage() {
    let schedule = schedule(&json!({"cron": "*/10 * * * * *", "catch_up": "none"}));
    let due = schedule.due(TRIGGER, at("2026-11-22T09:00:00Z"), at("2026-11-22T09:00:45Z"), 1_000);
    assert_eq!(due.ticks.len(), 4);
    assert!(!due.left_out);
}

#[test]
fn a_long_outage_is_caught_up_with_to_a_limit() {
    let schedule = schedule(&json!({"cron": "* * * * * *", "catch_up": "all"}));
    let (done, now) = (at("2026-11-01T00:00:00Z"), at("2026-11-22T00:00:00Z"));
    let due = schedule.due(TRIGGER, done, now, 1);
    assert!(due.left_out);
    let from = now - MISSED_AFTER - TimeDelta::seconds(i64::try_from(MAX_CAUGHT_UP).unwrap());
    assert_eq!(due.ticks, [from]);
}

#[test]
fn a_tick_that_came_with_nobody_there_fires_once_and_then_no_more() {
    let once = schedule(&json!({"at": "2026-11-22T09:00:00Z"}));
    let due = once.due(TRIGGER, at("2026-11-22T08:00:00Z"), at("2026-11-25T00:00:00Z"), 10);
    assert_eq!(due.ticks, [at("2026-11-22T09:00:00Z")]);
    assert_eq!(due.look_at, None);
    let again = once.due(TRIGGER, due.done_until, at("2026-11-25T00:00:00Z"), 10);
    assert_eq!((again.ticks.len(), again.look_at), (0, None));
}

#[test]
fn jitter_is_the_same_for_whoever_asks_and_differs_between_triggers() {
    let schedule = schedule(&json!({"cron": "0 9 * * *", "jitter_seconds": 600}));
    let tick = at("2026-11-22T09:00:00Z");
    let fires = schedule.fires_at(TRIGGER, tick);
    assert_eq!(fires, schedule.fires_at(TRIGGER, tick));
    let all: Vec<_> =
        (0..50).map(|n| schedule.fires_at(TriggerId(Uuid::from_u128(n)), tick)).collect();
    assert!(all.iter().all(|at| *at >= tick && *at <= tick + TimeDelta::seconds(600)));
    assert!(all.iter().any(|at| *at != all[0]));
    // It has not fired before its own moment.
    let before =
        schedule.due(TRIGGER, at("2026-11-22T08:00:00Z"), fires - TimeDelta::milliseconds(1), 9);
    assert_eq!((before.ticks.len(), before.look_at), (0, Some(fires)));
    let then = schedule.due(TRIGGER, at("2026-11-22T08:00:00Z"), fires, 9);
    assert_eq!(then.ticks, [tick]);
}

#[test]
fn a_payload_tells_of_its_tick() {
    let tick = at("2026-11-22T12:00:00Z");
    let usual = schedule(&json!({"cron": "0 9 * * *", "time_zone": "America/Sao_Paulo"}));
    assert_eq!(
        usual.payload(TRIGGER, tick),
        json!({
            "scheduled_at": "2026-11-22T12:00:00Z",
            "local_scheduled_at": "2026-11-22T09:00:00-03:00",
            "date": "2026-11-22", "time": "09:00", "time_zone": "America/Sao_Paulo",
            "trigger_id": TRIGGER,
        })
    );
    let own = schedule(&json!({
        "cron": "0 9 * * *", "payload": {"chatInput": "Report of {{date}}, please.", "n": [1, null]},
    }));
    assert_eq!(
        own.payload(TRIGGER, tick),
        json!({"chatInput": "Report of 2026-11-22, please.", "n": [1, null]})
    );
}

#[test]
fn every_mistake_is_named() {
    assert_eq!(paths(&json!({})), ["schedule.cron"]);
    assert_eq!(
        paths(&json!({"cron": "* * * * *", "at": "2026-01-01T00:00:00"})),
        ["schedule.cron"]
    );
    for cron in ["", "x", "* * * *", "* * * * * * 2027", "61 * * * *", "@often", "* * * * 9"] {
        assert_eq!(paths(&json!({"cron": cron})), ["schedule.cron"], "{cron}");
    }
    assert_eq!(paths(&json!({"cron": "0 0 30 2 *"})), ["schedule"]);
    assert_eq!(
        paths(&json!({
            "interval_seconds": 0, "time_zone": "Mars/Olympus", "jitter_seconds": 3_601,
            "start_at": "soon", "catch_up": "some", "payload": {"a": "{{nobody}}"}, "typo": 1,
        })),
        [
            "schedule.time_zone",
            "schedule.interval_seconds",
            "schedule.jitter_seconds",
            "schedule.start_at",
            "schedule.catch_up",
            "schedule.payload",
            "schedule.typo",
        ]
    );
    let gap = json!({"at": "2026-03-29T02:30:00", "time_zone": "Europe/Berlin"});
    assert_eq!(paths(&gap), ["schedule.at"]);
    for at in [
        "1969-12-31T23:59:59Z",
        "3000-01-01T00:00:00Z",
        "+262000-01-01T00:00:00",
        "2026-12-31T23:59:60Z",
        "2026-12-31T23:59:60",
    ] {
        assert_eq!(paths(&json!({"at": at})), ["schedule.at"], "{at}");
    }
    let large = json!({"cron": "* * * * *", "payload": "x".repeat(65_535)});
    assert_eq!(paths(&large), ["schedule.payload"]);
    let backwards = json!({"cron": "* * * * *", "start_at": "2026-01-02T00:00:00Z",
                           "end_at": "2026-01-01T00:00:00Z"});
    assert_eq!(paths(&backwards), ["schedule.end_at", "schedule"]);
}

proptest! {
    #[test]
    fn ticks_go_forward_and_back_over_the_same_moments(
        seconds in 1_700_000_000_i64..1_900_000_000,
        cron in prop::sample::select(vec![
            "*/7 * * * *", "30 2 * * *", "0 */3 * * *", "15 1 1 * *", "*/13 */2 * * SUN",
        ]),
        zone in prop::sample::select(vec!["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu",
                                          "Australia/Lord_Howe", "America/New_York"]),
    ) {
        let schedule = schedule(&json!({"cron": cron, "time_zone": zone}));
        let from = DateTime::from_timestamp(seconds, 0).unwrap();
        let next = schedule.next_after(from).unwrap();
        prop_assert!(next > from);
        prop_assert_eq!(schedule.last_before(next + TimeDelta::seconds(1)), Some(next));
    }

    #[test]
    fn whatever_is_written_is_read_or_refused(cron in "[-*/0-9,LW#?@A-Za-z ]{0,30}") {
        let _ = paths(&json!({"cron": cron}));
    }
}
