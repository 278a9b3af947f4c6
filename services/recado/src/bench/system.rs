//! What is measured: private servers, each role as a process of its own, one tenant with an
//! echoing agent and two triggers.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_clock::{Clock as _, SystemClock};
use recado_service::config::{Env as _, ProcessEnv};
use recado_store::agents::AgentDraft;
use recado_store::tenants::EnsureTenant;
use recado_store::triggers::{Saved, TriggerDraft};
use recado_store::{Keyring, Store, agents, tenants, triggers};
use recado_testkit::app::{Role, TestApp};
use recado_testkit::baseline::{BarePublisher, BaselineError};
use recado_testkit::{http_client, sql};
use recado_types::trigger::TriggerConfig;
use recado_types::{AgentId, ProjectId, TenantId, TriggerId};
use serde_json::{Value, json};

use super::WINDOW;
use super::cpu::{Group, Kind};
use super::message::{BODY_BYTES, Target};

/// Settings that somebody may want to compare: given to `recado bench`, they reach the roles.
const TUNABLE: [&str; 5] = [
    "RECADO_LOG",
    "RECADO_DATABASE_POOL_SIZE",
    "RECADO_INGRESS_MAX_PUBLISHING",
    "RECADO_RUNNER_SLOTS",
    "RECADO_DELIVERY_SLOTS",
];

/// As in production: the testkit's own lease is short, for tests that kill.
const LEASE_MS: &str = "15000";

/// The roles that work behind ingress.
const WORKERS: [Role; 3] = [Role::Buffer, Role::AgentRunner, Role::Delivery];

/// The running system. To be ended with [`System::finish`].
pub(super) struct System {
    app: TestApp,
    /// JSON, HMAC-SHA256, one session per user, run at once.
    pub(super) instant: Arc<Target>,
    /// The same behind a message buffer.
    pub(super) buffered: Arc<Target>,
    pub(super) groups: Vec<Group>,
}

/// What the system has counted since it was started.
#[derive(Clone, Copy)]
pub(super) struct Counters {
    pub(super) commits: f64,
    pub(super) wal_bytes: f64,
    pub(super) publishes: f64,
}

impl System {
    /// Starts everything; answers go to `callback`.
    pub(super) async fn start(callback: SocketAddr) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("this program is not found")?;
        let binary = binary.to_str().context("this program has no plain path")?;
        let secret_keys = format!("bench:{}", BASE64.encode(rand::random::<[u8; 32]>()));
        let mut builder = TestApp::builder(binary)
            .private_servers()
            .env("RECADO_SECRET_KEYS", secret_keys.as_str())
            .env("RECADO_LEASE_MS", LEASE_MS);
        for name in TUNABLE {
            if let Some(value) = ProcessEnv.var(name) {
                builder = builder.env(name, OsString::from(value));
            }
        }
        let mut app = Box::pin(builder.start()).await.context("the system did not start")?;
        match prepare(&mut app, &secret_keys, callback).await {
            Ok((instant, buffered, groups)) => Ok(Self { app, instant, buffered, groups }),
            Err(error) => {
                app.finish().await?;
                Err(error)
            }
        }
    }

    /// Lets a bare publisher use the broker; what it published is deleted afterwards.
    pub(super) async fn with_bare_publisher<T>(
        &self,
        work: impl AsyncFnOnce(&BarePublisher) -> Result<T, BaselineError>,
    ) -> anyhow::Result<T> {
        let publisher = BarePublisher::connect(&self.app.amqp_url(), BODY_BYTES).await?;
        let done = work(&publisher).await;
        publisher.close().await?;
        Ok(done?)
    }

    /// The database, for a bare program.
    pub(super) fn database_url(&self) -> String {
        self.app.database_url()
    }

    /// Freezes the roles behind ingress: what it accepts waits in its queue.
    pub(super) fn pause_workers(&self) -> anyhow::Result<()> {
        WORKERS.into_iter().try_for_each(|role| self.app.stop(role, 0))
    }

    /// Lets them go on.
    pub(super) fn resume_workers(&self) -> anyhow::Result<()> {
        WORKERS.into_iter().try_for_each(|role| self.app.cont(role, 0))
    }

    /// What PostgreSQL and the publishers have counted.
    pub(super) async fn counters(&self) -> anyhow::Result<Counters> {
        let url = self.database_url();
        let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        let wal_bytes = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
        let mut publishes = 0.0;
        for role in Role::ALL {
            let metrics = self.app.url(role, 0, "metrics_url")?;
            let text = http_client().get(metrics).send().await?.error_for_status()?.text().await?;
            publishes += sum_of(&text, "broker_published_total");
        }
        Ok(Counters {
            commits: number(sql::count(&url, commits).await?),
            wal_bytes: number(sql::count(&url, wal_bytes).await?),
            publishes,
        })
    }

    /// Ends everything; an error if anything is left that somebody was promised.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        self.app.finish().await
    }
}

async fn prepare(
    app: &mut TestApp,
    secret_keys: &str,
    callback: SocketAddr,
) -> anyhow::Result<(Arc<Target>, Arc<Target>, Vec<Group>)> {
    let ingress = app.url(Role::Ingress, 0, "ingress_url")?;
    let address = ingress.trim_start_matches("http://").trim_end_matches('/');
    let address = address.parse().context("ingress announced no plain address")?;
    let database = recado_store::Config::new(&app.database_url(), 1, "recado-bench");
    let fixtures = Fixtures::make(Store::new(&database, Keyring::parse(secret_keys)?)?).await?;
    let target = async |window_ms| {
        let (trigger, secret) = fixtures.trigger(&configuration(callback, window_ms)).await?;
        Ok::<_, anyhow::Error>(Arc::new(Target { address, trigger, secret }))
    };
    let window_ms = u64::try_from(WINDOW.as_millis())?;
    Ok((target(None).await?, target(Some(window_ms)).await?, groups(app)?))
}

fn groups(app: &mut TestApp) -> anyhow::Result<Vec<Group>> {
    let mut groups = Vec::new();
    for role in Role::ALL.into_iter().rev() {
        groups.push(Group { name: role.as_str(), root: app.pid(role, 0)?, kind: Kind::Role });
    }
    let servers = app.servers();
    for (name, pid) in [
        ("PostgreSQL", servers.postgres.pid()),
        ("RabbitMQ", servers.rabbitmq.pid()),
        ("Redis", servers.redis.pid()),
    ] {
        let root = pid.with_context(|| format!("{name} does not run"))?;
        groups.push(Group { name, root, kind: Kind::Server });
    }
    let ourselves = std::process::id();
    groups.push(Group { name: "generator and sink", root: ourselves, kind: Kind::Harness });
    Ok(groups)
}

fn configuration(callback: SocketAddr, window_ms: Option<u64>) -> Value {
    let mut configuration = json!({
        "auth": {"type": "signature", "algorithm": "sha256"},
        "query_extraction": {"mode": "field", "field": "chatInput"},
        "context_mapping": {"userId": "$.userId", "userName": "$.userName"},
        "session_strategy": {"mode": "derive", "fields": ["userId"]},
        "execution": {
            "mode": "async",
            "callback": {
                "url": format!("http://{callback}/callback"),
                "method": "POST",
                "content_type": "application/json",
                "body_template": {"text": "{{agent_response}}"}
            }
        }
    });
    if let Some(window_ms) = window_ms {
        configuration["execution"]["message_buffer"] =
            json!({"enabled": true, "window_ms": window_ms});
    }
    configuration
}

/// The rows that the triggers belong to.
struct Fixtures {
    store: Store,
    clock: SystemClock,
    tenant: TenantId,
    agent: AgentId,
}

impl Fixtures {
    async fn make(store: Store) -> anyhow::Result<Self> {
        let clock = SystemClock::default();
        let tenant = TenantId(clock.fresh_id());
        let project = ProjectId(clock.fresh_id());
        let agent = AgentId(clock.fresh_id());
        let new = EnsureTenant { id: tenant, project_id: project, name: "Bench" };
        tenants::ensure(&store, &new, clock.now()).await.context("the tenant was not made")?;
        let draft = AgentDraft {
            project_id: project,
            name: "Echo".into(),
            model: "builtin.echo".parse()?,
            system_prompt: "You repeat what you are told.".into(),
        };
        agents::ensure(&store, tenant, agent, &draft, clock.now())
            .await
            .context("the agent was not made")?;
        Ok(Self { store, clock, tenant, agent })
    }

    /// Makes a trigger; gives its id and what its webhooks are signed with.
    async fn trigger(&self, configuration: &Value) -> anyhow::Result<(String, String)> {
        if let Err(problems) = TriggerConfig::parse(configuration) {
            bail!("the trigger is configured wrongly: {problems:?}");
        }
        let draft = TriggerDraft {
            agent_id: self.agent,
            app_id: None,
            name: "Bench".into(),
            trigger_config: configuration.clone(),
            secret_refs: Vec::new(),
            enabled: true,
        };
        let id = TriggerId(self.clock.fresh_id());
        let secret = triggers::generate_webhook_secret();
        let now = self.clock.now();
        match triggers::create(&self.store, self.tenant, id, &draft, &secret, now).await? {
            Saved::Saved(_) => Ok((id.to_string(), secret)),
            other => bail!("the trigger was not saved: {other:?}"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nothing here is counted beyond 2^53")]
fn number(count: i64) -> f64 {
    count as f64
}

/// The sum of a metric over its labels, in Prometheus' text format.
fn sum_of(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let labelled = samples.filter(|rest| rest.starts_with(['{', ' ']));
    labelled.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP a_total All\n# TYPE a_total counter\n\
                    a_total{key=\"x y\"} 3\na_total{key=\"z\"} 4.5\na_total_created 9\n";
        assert!((sum_of(text, "a_total") - 7.5).abs() < f64::EPSILON);
    }

    #[test]
    fn both_triggers_are_configured_as_a_user_could() {
        let callback = SocketAddr::from(([127, 0, 0, 1], 80));
        for window_ms in [None, Some(500)] {
            let parsed = TriggerConfig::parse(&configuration(callback, window_ms)).unwrap();
            assert_eq!(parsed.execution.buffer.is_some(), window_ms.is_some());
        }
    }
}
