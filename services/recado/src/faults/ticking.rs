//! A schedule that fires each second, and what has to have come of it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use recado_clock::{Clock as _, SystemClock};
use recado_testkit::app::Management;
use recado_testkit::{sql, wait_for};
use serde_json::json;

/// How long it may take until whatever was healed does its work again.
const HEALED_WITHIN: Duration = Duration::from_secs(30);

/// More would not tell more.
const MAX_NAMED: usize = 10;

/// A schedule, and when it was made and stopped. Times are seconds since 1970, by the clock of this
/// machine.
pub(super) struct Ticking {
    /// Its trigger.
    pub(super) trigger: String,
    /// There was nothing to fire before.
    not_before: i64,
    /// From then on each second has to fire.
    from: i64,
    stopped: OnceLock<Stopped>,
}

struct Stopped {
    /// Up to here each second has to have fired.
    until: i64,
    /// There was nothing to fire any more.
    not_after: i64,
}

impl Ticking {
    /// Makes the schedule: each second, and those that were missed as well.
    pub(super) async fn start(management: &Management, agent: &str) -> anyhow::Result<Self> {
        let trigger = json!({
            "agent_id": agent, "name": "Ticking", "trigger_type": "schedule",
            "trigger_config": {
                "schedule": {"cron": "* * * * * *", "catch_up": "all", "payload": "{{scheduled_at}}"},
                "session_strategy": {"mode": "shared"},
            },
        });
        let not_before = now();
        let made = management.post("/api/triggers", &trigger).await?;
        let trigger = made["data"]["id"].as_str().context("a trigger without an id")?.to_owned();
        Ok(Self { trigger, not_before, from: now() + 1, stopped: OnceLock::new() })
    }

    /// Nothing is fired by itself any more. What is due by now is waited for: it would be forgotten.
    pub(super) async fn stop(&self, management: &Management, database: &str) -> anyhow::Result<()> {
        let until = now();
        // If it does not come, that is what is judged.
        let _judged_later = wait_for("the schedule to catch up", HEALED_WITHIN, async || {
            let fired = self.fired(database).await.ok()?;
            fired.iter().any(|second| *second >= until).then_some(())
        })
        .await;
        let path = format!("/api/triggers/{}/disable", self.trigger);
        wait_for("the schedule to be disabled", HEALED_WITHIN, async || {
            management.post(&path, &json!({})).await.ok().map(drop)
        })
        .await?;
        self.stopped.get_or_init(|| Stopped { until, not_after: now() });
        Ok(())
    }

    /// What is wrong with what was fired. `in_order`: whether the order is sure to be kept. `early`:
    /// whether somebody who fires it goes by a clock that is ahead.
    pub(super) async fn violations(
        &self,
        database: &str,
        in_order: bool,
        early: bool,
    ) -> anyhow::Result<Vec<String>> {
        let stopped = self.stopped.get().context("the schedule was not stopped")?;
        let fired = self.fired(database).await?;
        let not_after = if early { i64::MAX } else { stopped.not_after };
        let (all, possible) = (self.from..=stopped.until, self.not_before..=not_after);
        let mut violations = judge(&fired, &all, &possible, in_order);
        let executed = format!(
            "SELECT count(*) FROM executions WHERE trigger_id = '{}' AND status = 'success'",
            self.trigger
        );
        let n_executed = sql::count(database, &executed).await?;
        if usize::try_from(n_executed)? != fired.len() {
            violations
                .push(format!("{} ticks of a schedule are {n_executed} executions", fired.len()));
        }
        Ok(violations)
    }

    /// The seconds that were fired, in the order in which they came.
    async fn fired(&self, database: &str) -> anyhow::Result<Vec<i64>> {
        let seconds = format!(
            "SELECT extract(epoch FROM text::timestamptz)::bigint::text FROM messages
              WHERE trigger_id = '{}' ORDER BY seq",
            self.trigger
        );
        let seconds = sql::texts(database, &seconds).await?;
        Ok(seconds.iter().map(|second| second.parse()).collect::<Result<_, _>>()?)
    }
}

fn now() -> i64 {
    SystemClock::default().now().timestamp()
}

/// Each second of `all` has fired once, and none that is not in `possible`.
fn judge(
    fired: &[i64],
    all: &RangeInclusive<i64>,
    possible: &RangeInclusive<i64>,
    in_order: bool,
) -> Vec<String> {
    let seconds: BTreeSet<i64> = fired.iter().copied().collect();
    let missed = all.clone().filter(|second| !seconds.contains(second));
    let impossible = seconds.iter().copied().filter(|second| !possible.contains(second));
    let mut sorted = fired.to_vec();
    sorted.sort_unstable();
    let twice = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let late = fired.windows(2).filter(|pair| in_order && pair[0] > pair[1]).map(|pair| pair[1]);
    let told = [
        ("did not fire", missed.collect::<Vec<_>>()),
        ("fired before or after its time", impossible.collect()),
        ("fired twice", twice.collect()),
        ("fired after a later one", late.collect()),
    ];
    let of_some = told.into_iter().filter(|(_, seconds)| !seconds.is_empty());
    of_some
        .map(|(what, seconds)| {
            let (n, named) = (seconds.len(), &seconds[..seconds.len().min(MAX_NAMED)]);
            format!("a schedule: {n} seconds {what}, of {all:?}: {named:?}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fired: &[i64]) -> Vec<String> {
        judge(fired, &(11..=14), &(10..=15), true)
    }

    #[test]
    fn each_second_has_to_fire_once() {
        assert_eq!(judged(&[11, 12, 13, 14]), [""; 0]);
        assert_eq!(judged(&[10, 11, 12, 13, 14, 15]), [""; 0], "on the edge");
        assert!(judged(&[]).concat().contains("4 seconds did not fire"));
        assert!(judged(&[12, 13, 14]).concat().contains("1 seconds did not fire"));
        assert!(judged(&[11, 12, 13]).concat().contains("[14]"));
        assert!(judged(&[11, 12, 12, 13, 14]).concat().contains("fired twice"));
        assert!(judged(&[9, 11, 12, 13, 14]).concat().contains("before or after its time"));
        assert!(judged(&[11, 12, 13, 14, 16]).concat().contains("[16]"));
    }

    #[test]
    fn order_counts_where_it_is_sure_to_be_kept() {
        let fired = [11, 13, 12, 14];
        assert!(judged(&fired).concat().contains("1 seconds fired after a later one"));
        assert_eq!(judge(&fired, &(11..=14), &(10..=15), false), [""; 0]);
    }
}
