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

use std::collections::BTreeSet;
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

/// What each of the tests provokes, by the name it gives itself.
const CAUSES: [(&str, &[&str]); 9] = [
    ("roles", &["RecadoRoleDown", "RecadoRedisUnavailable"]),
    (
        "rabbitmq",
        &[
            "RecadoBrokerBlocked",
            "RecadoBrokerLinkDown",
            "RecadoIngressErrorBudgetBurn",
            "RecadoOldestMessageAgeHigh",
        ],
    ),
    (
        "database",
        &[
            "RecadoDatabasePoolSaturated",
            "RecadoHousekeepingStalled",
            "RecadoNoConsumers",
            "RecadoNotReady",
            "RecadoQueueStalled",
        ],
    ),
    (
        "agents",
        &[
            "RecadoExecutionFailureRatio",
            "RecadoExecutionTimeoutRatio",
            "RecadoLeasesLost",
            "RecadoModelErrorRatio",
        ],
    ),
    ("panics", &["RecadoDeadLetters", "RecadoPanics"]),
    (
        "callbacks",
        &[
            "RecadoCallbackFailureRatio",
            "RecadoDestinationsOpen",
            "RecadoEventDeliveryFailureRatio",
        ],
    ),
    ("waiting", &["RecadoOldestMessageAgeHigh"]),
    ("slow", &["RecadoOldestMessageAgeHigh", "RecadoPublishSlow"]),
    ("sources", &["RecadoSourcesFailing", "RecadoSourcesLate"]),
];

fn rules() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/alerts/recado.yaml")
}

/// A system, and whoever would wake somebody because of it.
struct Watched {
    app: TestApp,
    prometheus: Prometheus,
    cause: &'static str,
    /// Alerts that have fired.
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
        self.prometheus.until_fires(name, labels, WAKES_WITHIN).await?;
        self.provoked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
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

    /// Ends all of it; the alerts that were provoked have to be those of its row. Work that a
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

#[test]
fn each_alert_that_is_shipped_is_provoked() {
    let shipped = std::fs::read_to_string(rules()).expect("the rules are there");
    let alerts = shipped.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: BTreeSet<&str> = alerts.collect();
    let provoked: BTreeSet<&str> = CAUSES.iter().flat_map(|(_, alerts)| *alerts).copied().collect();
    assert_eq!(alerts, provoked, "an alert needs a cause, and a cause its alert");
}
