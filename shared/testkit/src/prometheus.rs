//! A private Prometheus that watches a [`TestApp`] with the rules that production has, in a hurry.
//!
//! A minute of the rules is a second here ([`HURRY`]): whoever writes `for: 5m` is to be woken
//! after five seconds of the real thing.

mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::{Role, TestApp};
use crate::scratch::ScratchDir;
use crate::servers::process::tail;
use crate::servers::{Launch, PortLease, Ready, ServerProcess, Signals};
use crate::{http_client, wait_for};

pub use rules::{Change, HURRY, HurriedRules, KEPT, Kept, LENGTHS, Length, hurried};

/// Where Debian's package puts it; `scripts/install-servers.sh` installs it.
const PROGRAM: &str = "/usr/bin/prometheus";

/// From start to ready, on a machine that is busy compiling.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Half a minute of the rules, which is how often they are evaluated.
const SCRAPE: &str = "500ms";

/// How far back a query looks for a sample: the five minutes that are the default.
const LOOK_BACK: &str = "5s";

/// What tells installations apart in production.
const NAMESPACE: &str = "recado-test";

/// What fires if it has never reached anybody: the name, and a label.
const NOBODY: (&str, (&str, &str)) = ("RecadoRoleDown", ("role", "any"));

/// A running Prometheus. It ends with this.
#[derive(Debug)]
pub struct Prometheus {
    // Dropped before the port and the directory it uses.
    process: ServerProcess,
    _port: PortLease,
    _scratch: ScratchDir,
    url: String,
    client: Client,
    changes: Vec<Change>,
}

/// An alert that is pending or fires.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alert {
    /// `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: String,
}

impl Alert {
    /// Its name.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    /// Whether it is this alert, with these labels among its own.
    pub fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has =
            |(label, value): &(&str, &str)| self.labels.get(*label).is_some_and(|own| own == value);
        self.name() == name && labels.iter().all(has)
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.labels.iter().filter(|(label, _)| *label != "alertname");
        let labels: Vec<String> = own.map(|(label, value)| format!("{label}={value}")).collect();
        write!(f, "{}{{{}}}", self.name(), labels.join(", "))
    }
}

impl Prometheus {
    /// Starts to watch all roles of `app`, by the rules of the file at `rules`; returns when each
    /// role that runs was reached and the rules were evaluated.
    pub async fn watch(app: &TestApp, rules: &Path) -> anyhow::Result<Self> {
        let shipped = fs::read_to_string(rules).context("failed to read the rules")?;
        let HurriedRules { text, changes } = hurried(&shipped)?;
        let scratch = ScratchDir::new()?;
        let directory = scratch.path();
        fs::write(directory.join("rules.yaml"), text)?;
        // JSON is YAML.
        fs::write(directory.join("prometheus.yml"), configuration(app)?.to_string())?;
        let port = PortLease::acquire().context("failed to lease a port")?;
        let launch = launch(directory, port.port());
        let process = ServerProcess::spawn(&launch).context("failed to run Prometheus")?;
        let url = format!("http://127.0.0.1:{}", port.port());
        let mut watching =
            Self { process, _port: port, _scratch: scratch, url, client: http_client(), changes };
        let ready = watching.until_it_watches().await;
        ready.with_context(|| format!("Prometheus says:\n{}", tail(&launch.log)))?;
        Ok(watching)
    }

    /// What of the rules is not as it was shipped.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The alerts that fire now.
    pub async fn firing(&self) -> anyhow::Result<Vec<Alert>> {
        let all = self.ask("/api/v1/alerts", &[]).await?["alerts"].take();
        let mut all: Vec<Alert> = serde_json::from_value(all).context("alerts are no list")?;
        all.retain(|alert| alert.state == "firing");
        Ok(all)
    }

    /// What an expression gives now: labels and value of each series.
    pub async fn query(&self, expr: &str) -> anyhow::Result<Vec<(BTreeMap<String, String>, f64)>> {
        let answer = self.ask("/api/v1/query", &[("query", expr)]).await?;
        let series = answer["result"].as_array().context("a query gives series")?;
        let one = |series: &Value| {
            let labels = serde_json::from_value(series["metric"].clone())?;
            let value = series["value"][1].as_str().context("a sample has a value")?;
            Ok((labels, value.parse()?))
        };
        series.iter().map(one).collect()
    }

    /// Waits until an alert with these labels fires.
    pub async fn until_fires(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        within: Duration,
    ) -> anyhow::Result<Alert> {
        let mut firing = Vec::new();
        let what = format!("{name} {labels:?} to fire");
        let found = wait_for(&what, within, async || {
            firing = self.firing().await.unwrap_or_default();
            firing.iter().find(|alert| alert.is(name, labels)).cloned()
        });
        let found = found.await;
        found.with_context(|| format!("what fires: {}", in_words(&firing)))
    }

    /// Waits until no alert with these labels fires any more.
    pub async fn until_resolved(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        within: Duration,
    ) -> anyhow::Result<()> {
        wait_for(&format!("{name} {labels:?} to resolve"), within, async || {
            let firing = self.firing().await.ok()?;
            (!firing.iter().any(|alert| alert.is(name, labels))).then_some(())
        })
        .await
    }

    /// Waits until it has reached all roles, the rules saw it, and what they said while it had
    /// reached nobody yet is over.
    async fn until_it_watches(&mut self) -> anyhow::Result<()> {
        let reached = wait_for("Prometheus to reach all roles", READY_WITHIN, async || {
            if let Ok(Some(status)) = self.process.exit_status() {
                return Some(Err(anyhow!("it ended at once, {status}")));
            }
            let targets = self.query("min(up) == 1").await.ok()?;
            let recorded = self.query("recado:installed").await.ok()?;
            let is_blind =
                self.firing().await.ok()?.iter().any(|alert| alert.is(NOBODY.0, &[NOBODY.1]));
            (!targets.is_empty() && !recorded.is_empty() && !is_blind).then_some(Ok(()))
        });
        reached.await?
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let request = self.client.get(format!("{}{path}", self.url)).query(query);
        let mut answer: Value = serde_json::from_str(&request.send().await?.text().await?)?;
        ensure!(answer["status"] == "success", "Prometheus answered {answer}");
        Ok(answer["data"].take())
    }
}

/// Alerts, for a message.
pub fn in_words(alerts: &[Alert]) -> String {
    let words: Vec<String> = alerts.iter().map(Alert::to_string).collect();
    if words.is_empty() { "none".to_owned() } else { words.join("; ") }
}

/// Each process is a target with the labels that the operator gives it on Kubernetes.
fn configuration(app: &TestApp) -> anyhow::Result<Value> {
    let mut targets = Vec::new();
    for role in Role::ALL {
        for index in 0..app.n_instances(role) {
            let url = app.url(role, index, "metrics_url")?;
            let address = url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
            let labels = json!({"namespace": NAMESPACE, "pod": format!("recado-{role}-{index}")});
            targets.push(json!({"targets": [address], "labels": labels}));
        }
    }
    Ok(json!({
        "global": {
            "scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE,
        },
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "recado/recado", "static_configs": targets}],
    }))
}

fn launch(directory: &Path, port: u16) -> Launch {
    let option = |name: &str, value: &str| format!("--{name}={value}").into();
    let in_directory = |name: &str| directory.join(name).display().to_string();
    Launch {
        program: PROGRAM.into(),
        arguments: vec![
            option("config.file", &in_directory("prometheus.yml")),
            option("storage.tsdb.path", &in_directory("data")),
            option("web.listen-address", &format!("127.0.0.1:{port}")),
            option("query.lookback-delta", LOOK_BACK),
            option("log.level", "warn"),
        ],
        environment: Vec::new(),
        log: directory.join("prometheus.log"),
        signals: Signals::Usual,
        ready: Ready::Listening(port),
    }
}
