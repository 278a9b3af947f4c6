//! Schedules: each tick once, whatever happens to clocks and instances.

use chrono::TimeDelta;
use recado_messages::Inbound;
use serde_json::{Value, json};

use crate::running::System;

/// A schedule whose messages are what the clock on the wall shows.
fn schedule(mut schedule: Value) -> Value {
    schedule["payload"] = json!("{{local_scheduled_at}}");
    // Ticks of one session keep their order.
    json!({ "schedule": schedule, "session_strategy": {"mode": "shared"} })
}

fn texts(messages: &[Inbound]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_str()).collect()
}

#[tokio::test]
async fn each_tick_fires_once_over_a_change_of_the_clocks_a_kill_and_a_stopped_hour() {
    // Half an hour before Berlin's clocks go forward.
    let system = System::at("2026-03-29T00:30:00Z").await;
    let often = schedule(json!({
        "cron": "*/10 * * * *", "time_zone": "Europe/Berlin", "catch_up": "all",
    }));
    let trigger = system.trigger(often).await;
    let (first, second) = (system.start(), system.start());
    for n in 1..=6 {
        system.clock.advance(TimeDelta::minutes(10));
        system.wait_for(trigger, n).await;
    }
    system.settled(trigger).await;
    assert_eq!(system.n_published(), 6, "nothing is published twice by two that are well");

    // The other one goes on.
    first.kill();
    system.clock.advance(TimeDelta::minutes(10));
    system.wait_for(trigger, 7).await;
    second.stop().await;
    system.clock.advance(TimeDelta::hours(1));
    let third = system.start();
    let messages = system.wait_for(trigger, 13).await;
    let status = system.settled(trigger).await;
    assert_eq!(status.due_at, Some(system.now() + TimeDelta::minutes(10)));
    third.stop().await;
    let expected: Vec<String> = ["01:40", "01:50"]
        .map(|time| format!("2026-03-29T{time}:00+01:00"))
        .into_iter()
        .chain((0..11).map(|n| {
            let minutes = n * 10;
            format!("2026-03-29T{:02}:{:02}:00+02:00", 3 + minutes / 60, minutes % 60)
        }))
        .collect();
    assert_eq!(texts(&messages), expected);
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_as_the_schedule_says() {
    let system = System::at("2026-11-22T09:00:30Z").await;
    let of = |catch_up: &str| schedule(json!({"cron": "*/10 * * * *", "catch_up": catch_up}));
    let none = system.trigger(of("none")).await;
    let one = system.trigger(of("one")).await;
    let all = system.trigger(of("all")).await;
    let single = system.trigger(schedule(json!({"at": "2026-11-22T09:15:00Z"}))).await;
    let over = system.trigger(schedule(json!({"at": "2026-11-22T09:00:00Z"}))).await;
    system.clock.advance(TimeDelta::minutes(65));
    let instance = system.start();
    assert_eq!(system.wait_for(all, 6).await.len(), 6);
    assert_eq!(texts(&system.wait_for(one, 1).await), ["2026-11-22T10:00:00Z"]);
    assert_eq!(texts(&system.wait_for(single, 1).await), ["2026-11-22T09:15:00Z"]);
    for trigger in [none, one, all] {
        let status = system.settled(trigger).await;
        assert_eq!(status.due_at, Some("2026-11-22T10:10:00Z".parse().unwrap()));
        assert_eq!(status.error_code, None);
    }
    assert!(!system.settled(single).await.is_due);
    assert!(!system.settled(over).await.is_due);

    // From here on they are the same.
    system.clock.advance(TimeDelta::minutes(5));
    for (trigger, n) in [(none, 1), (one, 2), (all, 7)] {
        let messages = system.wait_for(trigger, n).await;
        assert_eq!(texts(&messages).last(), Some(&"2026-11-22T10:10:00Z"));
        system.settled(trigger).await;
        assert_eq!(system.messages(trigger).len(), n);
    }
    assert!(system.messages(over).is_empty(), "it was over when it was saved");
    assert_eq!(system.messages(single).len(), 1);
    instance.stop().await;
}

#[tokio::test]
async fn one_that_is_switched_off_is_silent_and_does_not_make_up_for_it() {
    let system = System::at("2026-11-22T09:00:30Z").await;
    let trigger =
        system.trigger(schedule(json!({"interval_seconds": 600, "catch_up": "all"}))).await;
    // Neither does another tenant's trigger of the same form disturb it, nor does it look alike.
    let other = system.trigger(schedule(json!({"interval_seconds": 600}))).await;
    let instance = system.start();
    system.clock.advance(TimeDelta::minutes(10));
    system.wait_for(trigger, 1).await;
    system.settled(trigger).await;
    system.enable(trigger, false).await;
    assert!(!system.source(trigger).await.is_due);
    system.clock.advance(TimeDelta::minutes(30));
    system.wait_for(other, 2).await;
    system.enable(trigger, true).await;
    system.clock.advance(TimeDelta::minutes(10));
    let messages = system.wait_for(trigger, 2).await;
    assert_eq!(texts(&messages), ["2026-11-22T09:10:00Z", "2026-11-22T09:50:00Z"]);
    system.settled(trigger).await;
    assert_eq!(system.messages(trigger).len(), 2);
    assert!(system.messages(other).iter().all(|it| messages.iter().all(|mine| mine.id != it.id)));
    instance.stop().await;
}

#[tokio::test]
async fn a_tick_is_the_same_message_whoever_publishes_it() {
    let system = System::at("2026-11-22T09:00:00Z").await;
    let config = schedule(json!({"interval_seconds": 60, "catch_up": "all"}));
    let trigger = system.trigger(config).await;
    system.clock.advance(TimeDelta::minutes(3));
    let instance = system.start();
    let first = system.wait_for(trigger, 3).await;
    system.settled(trigger).await;
    instance.stop().await;
    // As if the first instance had died after the broker had them and before that was written down.
    let client = system.store.client("test").await.unwrap();
    let undo = "UPDATE sources SET position = NULL, due_at = '-infinity'";
    assert_eq!(client.execute(undo, &[]).await.unwrap(), 1);
    let again = system.start();
    let published = async || (system.n_published() >= 6).then_some(());
    recado_testkit::wait_for("the ticks once more", crate::running::SOON, published).await.unwrap();
    system.settled(trigger).await;
    let messages = system.messages(trigger);
    assert_eq!((messages.len(), system.n_published()), (3, 6));
    assert_eq!(messages, first);
    again.stop().await;
}

#[tokio::test]
async fn what_cannot_become_a_message_is_told_and_a_quota_holds_ticks_back() {
    let system = System::at("2026-11-22T09:00:00Z").await;
    // It was saved by a version that did not look.
    let mute = json!({
        "schedule": {"interval_seconds": 600, "payload": {"a": "{{date}}"}},
        "query_extraction": {"mode": "field", "field": "nowhere"},
    });
    let mute = system.trigger(mute).await;
    let held = system.trigger(schedule(json!({"interval_seconds": 600}))).await;
    let client = system.store.client("test").await.unwrap();
    let over =
        "UPDATE tenants SET over_quota = 'executions', over_quota_until = '2026-11-22T09:30:00Z'";
    client.execute(over, &[]).await.unwrap();
    let instance = system.start();
    system.clock.advance(TimeDelta::minutes(10));
    let told = async || {
        let status = system.source(held).await;
        (status.error_code.as_deref() == Some("quota_exceeded")).then_some(())
    };
    recado_testkit::wait_for("a quota that is told", crate::running::SOON, told).await.unwrap();
    assert!(system.messages(held).is_empty());
    client
        .execute("UPDATE tenants SET over_quota = NULL, over_quota_until = NULL", &[])
        .await
        .unwrap();
    system.clock.advance(TimeDelta::minutes(2));
    assert_eq!(texts(&system.wait_for(held, 1).await), ["2026-11-22T09:10:00Z"]);
    let status = system.settled(held).await;
    assert_eq!((status.error_code, status.left_out_count), (None, 0));
    let status = system.settled(mute).await;
    assert_eq!((status.error_code, status.fired_at, status.left_out_count), (None, None, 1));
    assert!(status.left_out_reason.unwrap().contains("nowhere"));
    instance.stop().await;
}
