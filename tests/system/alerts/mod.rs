//! Each alert that is shipped, provoked for real: a cause on a running system, a Prometheus that
//! loads the rules of production (a minute of theirs is a second here), and what it says.
//!
//! Before the cause nothing fires; while it lasts the alert does; where that takes no longer than
//! the cause itself, it resolves after healing.

mod agents;
mod callbacks;
mod database;
mod panics;
mod rabbitmq;
mod roles;
mod slow;
mod sources;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use futures_util::FutureExt;
use recado_testkit::app::{Builder, TestApp};
use recado_testkit::prometheus::{Change, Prometheus, in_words};
use recado_testkit::wait_for;
use serde_json::{Value, json};
use tokio::time::sleep;

/// Longer than an alert takes that waits for half an hour of its rules, on a busy machine.
const WAKES_WITHIN: Duration = Duration::from_secs(90);

/// What tells rules apart that share a name; a rule is called by its name and these.
const TOLD_APART_BY: [&str; 4] = ["severity", "stage", "window", "extent"];

/// The rules that each of the tests provokes, by the name it gives itself.
const CAUSES: [(&str, &[&str]); 9] = [
    ("roles", &["RecadoRedisUnavailable ticket", "RecadoRoleDown page", "RecadoRoleDown ticket"]),
    (
        "rabbitmq",
        &[
            "RecadoBrokerBlocked page",
            "RecadoBrokerLinkDown ticket all",
            "RecadoBrokerLinkDown ticket some",
            "RecadoIngressErrorBudgetBurn page 1h",
            "RecadoIngressErrorBudgetBurn page 6h",
            "RecadoIngressErrorBudgetBurn ticket 1d",
            "RecadoOldestMessageAgeHigh page window",
        ],
    ),
    (
        "database",
        &[
            "RecadoDatabasePoolSaturated ticket",
            "RecadoHousekeepingStalled ticket",
            "RecadoNoConsumers page",
            "RecadoNotReady page",
            "RecadoNotReady ticket",
            "RecadoQueueStalled page",
        ],
    ),
    (
        "agents",
        &[
            "RecadoExecutionFailureRatio page",
            "RecadoExecutionFailureRatio ticket",
            "RecadoExecutionTimeoutRatio ticket",
            "RecadoLeasesLost ticket",
            "RecadoModelErrorRatio ticket",
        ],
    ),
    ("panics", &["RecadoDeadLetters page", "RecadoDeadLetters ticket", "RecadoPanics ticket"]),
    (
        "callbacks",
        &[
            "RecadoCallbackFailureRatio page",
            "RecadoCallbackFailureRatio ticket",
            "RecadoDestinationsOpen ticket",
            "RecadoEventDeliveryFailureRatio ticket",
        ],
    ),
    (
        "waiting",
        &["RecadoOldestMessageAgeHigh page delivery", "RecadoOldestMessageAgeHigh page execution"],
    ),
    ("slow", &["RecadoOldestMessageAgeHigh page queue", "RecadoPublishSlow ticket"]),
    (
        "sources",
        &["RecadoSourcesFailing ticket", "RecadoSourcesLate page", "RecadoSourcesLate ticket"],
    ),
];

fn rules() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/alerts/recado.yaml")
}

/// A system, and whoever would wake somebody because of it.
struct Watched {
    app: TestApp,
    prometheus: Prometheus,
    cause: &'static str,
    /// Rules whose alerts have fired.
    provoked: Mutex<BTreeSet<String>>,
}

impl Deref for Watched {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}

impl DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut TestApp {
        &mut self.app
    }
}

impl Watched {
    /// Starts the system for a row of [`CAUSES`].
    async fn start(cause: &'static str, system: Builder) -> anyhow::Result<Self> {
        // Once a minute otherwise, which is once a second in a hurry.
        let app = system.env("RECADO_HOUSEKEEPING_INTERVAL_S", "1").start().await?;
        let prometheus = match Prometheus::watch(&app, &rules()).await {
            Ok(prometheus) => prometheus,
            Err(error) => {
                app.abandon();
                return Err(error);
            }
        };
        // Who looks into a failure sees by what it was watched.
        for Change { line, shipped, hurried } in prometheus.changes() {
            eprintln!("recado.yaml:{line}: {shipped} => {hurried}");
        }
        Ok(Self { app, prometheus, cause, provoked: Mutex::default() })
    }

    /// Fails if anything fires: to be asked before something happens.
    async fn is_quiet(&self) -> anyhow::Result<()> {
        let firing = self.prometheus.firing().await?;
        ensure!(firing.is_empty(), "before the cause: {}", in_words(&firing));
        Ok(())
    }

    /// Waits until an alert fires that has these labels.
    async fn fires(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<()> {
        let fired = self.prometheus.until_fires(name, labels, WAKES_WITHIN).await?;
        let rule = rule(name, |label| fired.labels.get(label).map(String::as_str));
        self.provoked.lock().unwrap_or_else(PoisonError::into_inner).insert(rule);
        Ok(())
    }

    /// Waits until it does not any more.
    async fn resolves(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<()> {
        self.prometheus.until_resolved(name, labels, WAKES_WITHIN).await
    }

    /// Waits until an expression gives something.
    async fn sees(&self, expr: &str) -> anyhow::Result<()> {
        wait_for(&format!("Prometheus to see {expr}"), WAKES_WITHIN, async || {
            let found = self.prometheus.query(expr).await.ok()?;
            (!found.is_empty()).then_some(())
        })
        .await
    }

    /// Ends all of it; the rules that were provoked have to be those of its row. Work that a
    /// cause has left is nobody's: that nothing is lost is what `faults` is about.
    fn end(self) -> anyhow::Result<()> {
        let row = CAUSES.iter().find(|(cause, _)| *cause == self.cause);
        let expected: BTreeSet<&str> =
            row.into_iter().flat_map(|(_, alerts)| *alerts).copied().collect();
        let provoked = self.provoked.into_inner().unwrap_or_else(PoisonError::into_inner);
        let provoked: BTreeSet<&str> = provoked.iter().map(String::as_str).collect();
        self.app.abandon();
        ensure!(provoked == expected, "{}: {provoked:?} fired, and not {expected:?}", self.cause);
        Ok(())
    }
}

/// Does `act` again and again, every `pause`, for as long as `meanwhile` takes. What comes of it is
/// for Prometheus to tell.
async fn again_and_again<T>(
    pause: Duration,
    mut act: impl AsyncFnMut(usize),
    meanwhile: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let acting = async {
        for round in 0.. {
            act(round).await;
            sleep(pause).await;
        }
        unreachable!("there are many rounds")
    };
    tokio::select! {
        done = meanwhile => done,
        () = acting.boxed_local() => unreachable!("it does not end"),
    }
}

/// A trigger that anybody may post `{"who", "text"}` to, each `who` a session; `execution` is laid
/// over how it executes.
async fn trigger(app: &TestApp, agent: &str, execution: Value) -> anyhow::Result<String> {
    let mut config = json!({
        "auth": {"type": "none"},
        "query_extraction": {"mode": "field", "field": "text"},
        "context_mapping": {"who": "$.who"},
        "session_strategy": {"mode": "derive", "fields": ["who"]},
        "execution": {"mode": "async"},
    });
    for (field, value) in execution.as_object().into_iter().flatten() {
        config["execution"][field] = value.clone();
    }
    Ok(app.management().create_trigger(agent, "Line", &config).await?.id)
}

/// A callback to `url` that is tried once.
fn callback(url: &str, timeout_ms: u32) -> Value {
    json!({"callback": {
        "url": url, "timeout_ms": timeout_ms, "retry": {"max_attempts": 1},
        "body_template": {"text": "{{agent_response}}"},
    }})
}

/// Posts a message; whoever posts a thousand of them does not look at each answer.
async fn post(app: &TestApp, trigger: &str, who: usize) {
    let message = json!({"who": format!("who-{who}"), "text": "hello"});
    drop(app.post_webhook(trigger, &message).await);
}

/// The same, until it is accepted.
async fn say(app: &TestApp, trigger: &str, who: &str) -> anyhow::Result<()> {
    let answer = app.post_webhook(trigger, &json!({"who": who, "text": "hello"})).await?;
    ensure!(answer.status().is_success(), "{who} was answered {}", answer.status());
    Ok(())
}

/// What a rule is called in [`CAUSES`].
fn rule<'a>(name: &'a str, label: impl Fn(&str) -> Option<&'a str>) -> String {
    let labels = TOLD_APART_BY.into_iter().filter_map(label);
    std::iter::once(name).chain(labels).collect::<Vec<_>>().join(" ")
}

/// What the rules of a file are called.
fn rules_of(text: &str) -> Vec<String> {
    let alerts = text.split("- alert: ").skip(1);
    let called = alerts.map(|alert| {
        let (alert, _) = alert.split_once("annotations:").expect("annotations follow the labels");
        let (name, _) = alert.split_once('\n').expect("a name ends with its line");
        let (_, labels) = alert.split_once("labels:").expect("an alert has a severity");
        let labels: BTreeMap<&str, &str> =
            labels.lines().filter_map(|line| line.trim().split_once(": ")).collect();
        rule(name, |label| labels.get(label).copied())
    });
    called.collect()
}

#[test]
fn each_alert_that_is_shipped_is_provoked() {
    let shipped = std::fs::read_to_string(rules()).expect("the rules are there");
    let rules = rules_of(&shipped);
    let shipped: BTreeSet<&str> = rules.iter().map(String::as_str).collect();
    assert_eq!(shipped.len(), rules.len(), "two rules are called the same: {rules:?}");
    let provoked: BTreeSet<&str> = CAUSES.iter().flat_map(|(_, rules)| *rules).copied().collect();
    assert_eq!(shipped, provoked, "a rule needs a cause, and a cause its rule");
}
