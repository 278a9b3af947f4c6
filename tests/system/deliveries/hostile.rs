//! Receivers that hang, drip, flood, lie, or want to be left alone.
//!
//! Each costs its own deliveries some time, which is bounded, and nobody else anything.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::TimeDelta;
use recado_clock::{Clock, SystemClock};
use recado_testkit::app::{Role, TestApp};
use recado_testkit::callback::Sink;
use recado_testkit::receiver::{Receiver, refusing_url};
use recado_testkit::stub::{Fault, Reply};
use serde_json::json;

use super::{Line, end};
use crate::support::{Story, system};

/// Two requests of a second each, and a pause, on a machine that is busy.
const BOUNDED: Duration = Duration::from_secs(15);
/// What a message takes that has nothing to wait for, on a machine that is busy.
const PROMPT: Duration = Duration::from_secs(8);
/// Far more than the process needs, and far less than one flood.
const MAX_MEMORY_KIB: u64 = 400 * 1024;

/// What a receiver does, what its deliveries come to, and after how many requests.
type Expected = (&'static str, (&'static str, Option<&'static str>), usize);

/// A status is an answer, even if the rest of it never comes.
const MISBEHAVIOUR: [Expected; 11] = [
    ("/hang", ("failed", Some("timeout")), 2),
    ("/continue", ("failed", Some("timeout")), 2),
    ("/close", ("failed", Some("connection_failed")), 2),
    ("/reset", ("failed", Some("connection_failed")), 2),
    ("/junk", ("failed", Some("connection_failed")), 2),
    ("/headers", ("failed", Some("connection_failed")), 2),
    ("/half", ("delivered", None), 1),
    ("/drip", ("delivered", None), 1),
    ("/flood", ("delivered", None), 1),
    ("/status/410", ("failed", Some("http_410")), 1),
    ("/status/503", ("failed", Some("http_503")), 2),
];

#[tokio::test]
async fn every_misbehaviour_ends_in_bounded_time_and_delays_nobody_else() -> Story {
    let app = system().start().await?;
    let (hostile, kind) = (Receiver::by_path(), Sink::start());
    let neighbour = Line::open(&app, &json!({"url": kind.url()})).await?;
    let mut lines = Vec::new();
    for (path, _, _) in MISBEHAVIOUR {
        let callback = json!({"url": format!("{}{path}", hostile.url())});
        lines.push(Line::open(&app, &callback).await?);
    }
    let started = Instant::now();
    let mut executions = Vec::new();
    for line in &lines {
        executions.push(line.say(&app, "ana", "hello").await?);
    }
    let took = neighbour.round_trip(&app, "bob").await?;
    assert!(took < PROMPT, "the neighbour waited for {took:?}");

    for ((path, expected, n_requests), (line, execution)) in
        MISBEHAVIOUR.into_iter().zip(lines.iter().zip(&executions))
    {
        let outcome = line.outcome(execution).await?;
        assert_eq!(end(&outcome), expected, "{path}: {outcome}");
        assert_eq!(outcome["attempt_count"], n_requests, "{path}: {outcome}");
        let asked = hostile.received().into_iter().filter(|request| request.path == path);
        assert_eq!(asked.count(), n_requests, "{path}");
    }
    assert!(started.elapsed() < BOUNDED, "{:?}", started.elapsed());
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_redirect_is_not_followed() -> Story {
    let app = system().start().await?;
    let (first, second) = (Receiver::by_path(), Receiver::by_path());
    for status in [301, 302, 307, 308] {
        let url = format!("{}/status/{status}?Location={}/second", first.url(), second.url());
        let line = Line::open(&app, &json!({"url": url})).await?;
        let outcome = line.outcome(&line.say(&app, "ana", "hello").await?).await?;
        assert_eq!(end(&outcome), ("failed", Some("redirected")), "{status}: {outcome}");
        assert_eq!(outcome["attempt_count"], 1, "{status}: {outcome}");
    }
    assert_eq!((first.received().len(), second.n_connections()), (4, 0));
    Ok(app.finish().await?)
}

#[tokio::test]
async fn where_nobody_listens_a_delivery_fails_for_that_reason() -> Story {
    let app = system().start().await?;
    let line = Line::open(&app, &json!({"url": refusing_url()})).await?;
    let outcome = line.outcome(&line.say(&app, "ana", "hello").await?).await?;
    assert_eq!(end(&outcome), ("failed", Some("connect_failed")), "{outcome}");
    assert_eq!(outcome["attempt_count"], 2, "{outcome}");
    Ok(app.finish().await?)
}

/// Resident memory of delivery at its highest, in KiB.
fn peak_memory(app: &TestApp) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", app.pid(Role::Delivery, 0)?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.split_whitespace().next()).context("Linux tells VmHWM")?;
    Ok(peak.parse()?)
}

#[tokio::test]
async fn gigabytes_of_answers_are_not_held_in_memory() -> Story {
    let app = system().start().await?;
    let (hostile, kind) = (Receiver::by_path(), Sink::start());
    let flood = Line::open(&app, &json!({"url": format!("{}/flood", hostile.url())})).await?;
    let neighbour = Line::open(&app, &json!({"url": kind.url()})).await?;
    let mut executions = Vec::new();
    for n in 0..12 {
        executions.push(flood.say(&app, &format!("{n}"), "hello").await?);
    }
    let took = neighbour.round_trip(&app, "bob").await?;
    assert!(took < PROMPT, "the neighbour waited for {took:?}");
    for execution in &executions {
        let outcome = flood.outcome(execution).await?;
        assert_eq!(end(&outcome), ("delivered", None), "{outcome}");
        let kept = outcome["attempts"][0]["response_body"].as_str().unwrap_or_default();
        assert!((1..=20_000).contains(&kept.len()), "{} bytes are kept", kept.len());
    }
    let peak = peak_memory(&app)?;
    assert!(peak < MAX_MEMORY_KIB, "{peak} KiB");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn a_receiver_is_left_alone_for_as_long_as_it_asks_in_both_forms() -> Story {
    let app = system().start().await?;
    let callback = |sink: &Sink| {
        let retry = json!({"max_attempts": 3, "initial_delay_ms": 100, "max_delay_ms": 60_000});
        json!({"url": sink.url(), "retry": retry})
    };
    let (in_seconds, by_date) = (Sink::start(), Sink::start());
    in_seconds.fail_next(1, &Fault::retry_after(429, 2));
    // A date has no fractions: of four seconds at least three are left.
    let date = SystemClock::default().now() + TimeDelta::seconds(4);
    let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let at_a_date = Reply::text(429, "").with_header("Retry-After", &date);
    by_date.fail_next(1, &Fault::Answer(at_a_date));
    let lines = [
        Line::open(&app, &callback(&in_seconds)).await?,
        Line::open(&app, &callback(&by_date)).await?,
    ];
    let executions =
        [lines[0].say(&app, "ana", "hello").await?, lines[1].say(&app, "ana", "hello").await?];
    for (line, execution) in lines.iter().zip(&executions) {
        let outcome = line.outcome(execution).await?;
        assert_eq!(end(&outcome), ("delivered", None), "{outcome}");
        assert_eq!(outcome["attempts"][1]["error_code"], "rate_limited", "{outcome}");
    }
    for (sink, at_least) in [(&in_seconds, 2_000), (&by_date, 1_000)] {
        let received = sink.received();
        let [first, second] = received.as_slice() else { panic!("{received:?}") };
        let pause = second.at.saturating_sub(first.at);
        assert!(pause >= Duration::from_millis(at_least), "{pause:?}");
        assert!(pause < BOUNDED, "{pause:?}");
    }
    Ok(app.finish().await?)
}
