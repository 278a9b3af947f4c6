//! What is measured: private servers, each role as a process of its own, and some triggers.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_broker::topology;
use recado_service::config::{Env as _, ProcessEnv};
use recado_testkit::app::{Management, Role, TestApp};
use recado_testkit::baseline::{self, BarePublisher, BaselineError};
use recado_testkit::{http_client, sql};

use super::cpu::{self, Group, Kind};
use super::fixtures::{self, Fixtures};
use super::message::{BODY_BYTES, Target};

/// Settings that somebody may want to compare: given to `recado bench`, they reach the roles.
const TUNABLE: [&str; 6] = [
    "RECADO_LOG",
    "RECADO_DATABASE_POOL_SIZE",
    "RECADO_INGRESS_MAX_PUBLISHING",
    "RECADO_RUNNER_SLOTS",
    "RECADO_RUNNER_TENANT_SLOTS",
    "RECADO_DELIVERY_SLOTS",
];

/// As in production: the testkit's own lease is short, for tests that kill.
const LEASE_MS: &str = "15000";

/// The metric of all publishers.
const PUBLISHED: &str = "recado_broker_published_total";

/// The roles that work behind ingress.
const WORKERS: [Role; 3] = [Role::Buffer, Role::AgentRunner, Role::Delivery];

/// The running system. To be ended with [`System::finish`].
pub(super) struct System {
    app: TestApp,
    pub(super) fixtures: Fixtures,
    pub(super) targets: Targets,
    pub(super) groups: Vec<Group>,
}

/// Triggers to post to.
pub(super) struct Targets {
    /// Run at once, and called back.
    pub(super) instant: Arc<Target>,
    /// The same behind a message buffer.
    pub(super) buffered: Arc<Target>,
    /// Run at once, if anybody does: nobody is called back.
    pub(super) unanswered: Arc<Target>,
    /// The same, with an id and limits to be checked.
    pub(super) counted: Arc<Target>,
}

/// A quarter of the memory of a small machine; no checkpoint every few seconds, each of which has
/// every page that is written next go to the write-ahead log as a whole; and such pages compressed.
const DATABASE_SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    ("wal_compression", "lz4"),
];

/// What the system has counted since it was started.
#[derive(Clone, Copy)]
pub(super) struct Counters {
    pub(super) commits: f64,
    pub(super) wal_bytes: f64,
    pub(super) publishes: f64,
}

impl System {
    /// Starts everything, with `settings` besides the usual ones; answers go to `callback`.
    pub(super) async fn start(
        callback: SocketAddr,
        settings: &[(&'static str, &str)],
    ) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("this program is not found")?;
        let binary = binary.to_str().context("this program has no plain path")?;
        let secret_keys = format!("bench:{}", BASE64.encode(rand::random::<[u8; 32]>()));
        let mut builder = TestApp::builder(binary)
            .private_servers()
            .env("RECADO_SECRET_KEYS", secret_keys.as_str())
            .env("RECADO_LEASE_MS", LEASE_MS);
        for (name, value) in settings {
            builder = builder.env(name, *value);
        }
        for name in TUNABLE {
            if let Some(value) = ProcessEnv.var(name) {
                builder = builder.env(name, OsString::from(value));
            }
        }
        let mut app = Box::pin(builder.start()).await.context("the system did not start")?;
        // Of what did not start only the reason is told.
        let (fixtures, targets, groups) = match prepare(&mut app, &secret_keys, callback).await {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = app.finish().await;
                return Err(error);
            }
        };
        let mut system = Self { app, fixtures, targets, groups };
        if let Err(error) = system.size_database().await {
            let _ = system.finish().await;
            return Err(error);
        }
        Ok(system)
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

    /// The API, as the owner of a tenant that came with the system.
    pub(super) fn management(&self) -> &Management {
        self.app.management()
    }

    /// Where it listens.
    pub(super) fn management_address(&self) -> anyhow::Result<SocketAddr> {
        let url = self.app.url(Role::Management, 0, "management_url")?;
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        address.parse().context("management announced no plain address")
    }

    /// Freezes the roles behind ingress: what it accepts waits in its queue.
    pub(super) fn pause_workers(&self) -> anyhow::Result<()> {
        WORKERS.into_iter().try_for_each(|role| self.app.stop(role, 0))
    }

    /// Lets them go on.
    pub(super) fn resume_workers(&self) -> anyhow::Result<()> {
        WORKERS.into_iter().try_for_each(|role| self.app.cont(role, 0))
    }

    /// Takes what is to be executed, in place of agent-runner, which has to be ended before.
    pub(super) async fn take_requests(
        &self,
        taken: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        let taken = baseline::take(&self.app.amqp_url(), topology::EXECUTIONS.name, taken).await;
        taken.context("what was requested cannot be taken")
    }

    /// Throws away what ingress has published and no role has been handed.
    pub(super) async fn purge(&self) -> anyhow::Result<()> {
        let url = self.app.amqp_url();
        baseline::purge(&url, topology::EXECUTIONS.name).await.context("the queue was not emptied")
    }

    /// The memory that ingress holds, in MiB.
    pub(super) fn ingress_mib(&self) -> anyhow::Result<f64> {
        cpu::resident_mib(self.app.pid(Role::Ingress, 0)?).context("/proc cannot be read")
    }

    /// The memory that a role holds, and the most that it has held, in MiB.
    pub(super) fn role_mib(&self, role: Role) -> anyhow::Result<(f64, f64)> {
        let pid = self.app.pid(role, 0)?;
        let read = cpu::resident_mib(pid).and_then(|now| Ok((now, cpu::peak_resident_mib(pid)?)));
        read.context("/proc cannot be read")
    }

    /// Ends ingress in good order and starts it again, on the address it had.
    pub(super) async fn restart_ingress(&mut self) -> anyhow::Result<()> {
        self.end(Role::Ingress).await?;
        self.begin(Role::Ingress).await
    }

    /// Ends a role in good order.
    pub(super) async fn end(&mut self, role: Role) -> anyhow::Result<()> {
        let exit = self.app.terminate(role, 0).await?;
        if exit.code != Some(0) {
            bail!("{role} ended with {:?} on SIGTERM", exit.code);
        }
        Ok(())
    }

    /// Starts a role that was ended, on the address it had.
    pub(super) async fn begin(&mut self, role: Role) -> anyhow::Result<()> {
        self.app.restart(role, 0).await?;
        let pid = self.app.pid(role, 0)?;
        let mut groups = self.groups.iter_mut();
        if let Some(group) = groups.find(|group| group.name == role.as_str()) {
            group.root = pid;
        }
        Ok(())
    }

    /// Has PostgreSQL count statements from here on; `false` if its extension for that is not
    /// installed. All roles are started anew.
    pub(super) async fn count_statements(&mut self) -> anyhow::Result<bool> {
        let available =
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements'";
        let url = self.database_url();
        if sql::count(&url, available).await? == 0 {
            return Ok(false);
        }
        for role in Role::ALL {
            self.end(role).await?;
        }
        let preload = [("shared_preload_libraries", "pg_stat_statements")];
        self.restart_database(&preload).await?;
        sql::execute(&url, "CREATE EXTENSION pg_stat_statements").await?;
        self.begin_all().await?;
        Ok(true)
    }

    /// Gives PostgreSQL what docs/operations.md says that it needs under load. What it comes with
    /// suits tests: many small servers on one machine.
    async fn size_database(&mut self) -> anyhow::Result<()> {
        for role in Role::ALL {
            self.end(role).await?;
        }
        self.restart_database(&DATABASE_SETTINGS).await?;
        self.begin_all().await
    }

    async fn restart_database(&mut self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let url = self.database_url();
        for (name, value) in settings {
            sql::execute(&url, &format!("ALTER SYSTEM SET {name} = '{value}'")).await?;
        }
        Ok(self.app.servers().postgres.restart().await?)
    }

    async fn begin_all(&mut self) -> anyhow::Result<()> {
        for role in Role::ALL {
            self.app.restart(role, 0).await?;
        }
        self.groups = groups(&mut self.app)?;
        Ok(())
    }

    /// Freezes agent-runner: what it is sent waits.
    pub(super) fn pause_runner(&self) -> anyhow::Result<()> {
        self.app.stop(Role::AgentRunner, 0)
    }

    /// Lets it go on.
    pub(super) fn resume_runner(&self) -> anyhow::Result<()> {
        self.app.cont(Role::AgentRunner, 0)
    }

    /// How many executions have ended since agent-runner started, and are written down.
    pub(super) async fn executions_ended(&self) -> anyhow::Result<f64> {
        Ok(sum_of(&self.metrics(Role::AgentRunner).await?, "recado_runner_executions_total"))
    }

    /// How many messages have come of sources.
    pub(super) async fn n_fired(&self) -> anyhow::Result<f64> {
        Ok(sum_of(&self.metrics(Role::Sources).await?, "recado_sources_published_total"))
    }

    async fn metrics(&self, role: Role) -> anyhow::Result<String> {
        let metrics = self.app.url(role, 0, "metrics_url")?;
        Ok(http_client().get(metrics).send().await?.error_for_status()?.text().await?)
    }

    /// How many transactions have written something. This is exact and known at once, whereas of
    /// `xact_commit` backends report for ten seconds, and every new connection counts there.
    pub(super) async fn n_written(&self) -> anyhow::Result<f64> {
        let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
        Ok(number(sql::count(&self.database_url(), next).await?))
    }

    /// What PostgreSQL and the publishers have counted.
    pub(super) async fn counters(&self) -> anyhow::Result<Counters> {
        let url = self.database_url();
        let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        let wal_bytes = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
        let mut publishes = 0.0;
        for role in Role::ALL {
            publishes += sum_of(&self.metrics(role).await?, PUBLISHED);
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
) -> anyhow::Result<(Fixtures, Targets, Vec<Group>)> {
    let ingress = app.url(Role::Ingress, 0, "ingress_url")?;
    let address = ingress.trim_start_matches("http://").trim_end_matches('/');
    let address = address.parse().context("ingress announced no plain address")?;
    let fixtures = Fixtures::make(&app.database_url(), secret_keys, address).await?;
    let targets = Targets {
        instant: fixtures.trigger(&fixtures::answered(callback)).await?,
        buffered: fixtures.trigger(&fixtures::buffered(callback)).await?,
        unanswered: fixtures.trigger(&fixtures::unanswered()).await?,
        counted: fixtures.trigger(&fixtures::counted()).await?,
    };
    Ok((fixtures, targets, groups(app)?))
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
}
