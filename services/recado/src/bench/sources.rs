//! Schedules: what finding those that are due costs among a thousand and among a hundred thousand,
//! and how fast ten thousand fire that are due in the same second, beside a bare publisher.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use recado_clock::{Clock as _, SystemClock};
use recado_store::sources::{self, SourceKind};
use recado_testkit::app::Role;
use recado_testkit::{sql, wait_for};
use serde_json::json;

use super::latency::Latencies;
use super::load::IN_FLIGHT;
use super::report::{Figure, Findings, Goal};
use super::sink::Sink;
use super::system::System;
use super::{count, progress, ratio};

const FEW: usize = 1_000;
const MANY: usize = 100_000;
const AT_ONCE: usize = 10_000;
/// How often it is looked for what is due.
const LOOKS: usize = 500;
/// How long planning all of them, and firing what is due, may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long the bare publisher works.
const BARE: Duration = Duration::from_secs(3);
/// In how long those that fire together are due.
const SOON: TimeDelta = TimeDelta::seconds(20);

struct Bench {
    system: System,
    findings: Findings,
}

/// Measures, on servers and processes that are gone afterwards.
pub(super) async fn measure() -> anyhow::Result<Findings> {
    progress("starting private servers and the six roles, for sources");
    let unused = Sink::unused().await?;
    let system = System::start(unused.address, &[]).await?;
    let mut bench = Bench { system, findings: Findings::default() };
    let measured = Box::pin(bench.all()).await;
    let Bench { system, findings } = bench;
    findings.ended(system, measured).await
}

impl Bench {
    async fn all(&mut self) -> anyhow::Result<()> {
        // What fires waits in the queue, so that sources have the cores to themselves.
        self.system.pause_workers()?;
        let fired = self.schedules().await;
        self.system.resume_workers()?;
        fired?;
        self.until_worked_off().await
    }

    async fn schedules(&mut self) -> anyhow::Result<()> {
        self.add(1, FEW, &never()).await?;
        self.until_planned().await?;
        let few = self.look().await?;
        progress("making 100,000 schedules");
        self.add(FEW + 1, MANY - AT_ONCE, &never()).await?;
        self.until_planned().await?;
        let many = self.look().await?;
        self.findings.figures.push(
            Figure::new("finding the schedules that are due, p50, of 100,000", many.p50(), "ms")
                .against(few.p50())
                .goal(Goal::RatioAtMost(2.0)),
        );
        let bare = self.bare().await?;
        self.fire(bare).await
    }

    /// Puts schedules `first` to `last` into the database, copies of one that is made for that.
    async fn add(
        &self,
        first: usize,
        last: usize,
        config: &serde_json::Value,
    ) -> anyhow::Result<()> {
        let seed = self.system.fixtures.trigger(config).await?;
        let copies = format!(
            "INSERT INTO triggers (id, tenant_id, project_id, agent_id, name, trigger_type,
                                   trigger_config, webhook_secret_key_id, webhook_secret_sealed,
                                   created_at, updated_at)
             SELECT gen_random_uuid(), tenant_id, project_id, agent_id, 'Schedule ' || n,
                    trigger_type, trigger_config, webhook_secret_key_id, webhook_secret_sealed,
                    created_at, updated_at
               FROM triggers, generate_series({first}, {last}) AS n WHERE id = '{}'
              OFFSET 1;
             ANALYZE triggers; ANALYZE sources",
            seed.trigger
        );
        Ok(sql::execute(&self.system.database_url(), &copies).await?)
    }

    /// Waits until it is known of all schedules when they are due.
    async fn until_planned(&self) -> anyhow::Result<()> {
        let url = self.system.database_url();
        let unplanned = "SELECT count(*) FROM sources WHERE due_at <= now()";
        let planned = async || match sql::count(&url, unplanned).await {
            Ok(0) => Some(()),
            _ => None,
        };
        wait_for("all schedules to be planned", PATIENCE, planned).await
    }

    /// How long it takes to find that nothing is due, and what is due next.
    async fn look(&self) -> anyhow::Result<Latencies> {
        let (store, clock) = (self.system.fixtures.store(), SystemClock::default());
        let mut took = Vec::with_capacity(LOOKS);
        for _ in 0..LOOKS {
            let (now, began) = (clock.now(), Instant::now());
            let lease = Duration::from_mins(1);
            let claimed = sources::claim(store, SourceKind::Schedule, now, 500, lease, &[]).await?;
            anyhow::ensure!(claimed.is_empty(), "something is due that should not be");
            sources::next_due(store, SourceKind::Schedule, now).await?;
            took.push(began.elapsed());
        }
        Ok(Latencies::from(took))
    }

    async fn bare(&mut self) -> anyhow::Result<f64> {
        progress("publishing with a bare program");
        let measured = self
            .system
            .with_bare_publisher(async |publisher| publisher.saturate(IN_FLIGHT, BARE).await);
        let per_second = measured.await?.per_second();
        let name = "bare publisher: confirmed, 64 in flight";
        self.findings.figures.push(Figure::new(name, per_second, "/s"));
        Ok(per_second)
    }

    async fn fire(&mut self, bare: f64) -> anyhow::Result<()> {
        progress("firing 10,000 of 100,000 schedules at once");
        let (before, _) = self.system.role_mib(Role::Sources)?;
        let due_at = SystemClock::default().now() + SOON;
        self.add(1, AT_ONCE, &once(due_at)).await?;
        self.until_planned().await?;
        let published = self.system.n_fired().await?;
        let until = due_at.signed_duration_since(SystemClock::default().now());
        let until = until.to_std().context("planning took longer than it was due in")?;
        tokio::time::sleep(until).await;
        let began = Instant::now();
        wait_for("all of them to be published", PATIENCE, async || {
            let fired = self.system.n_fired().await.ok()? - published;
            (fired >= count(AT_ONCE)).then_some(())
        })
        .await?;
        let took = began.elapsed().as_secs_f64();
        let (after, peak) = self.system.role_mib(Role::Sources)?;
        self.findings.figures.extend([
            Figure::new(
                "10,000 schedules due in one second: published",
                ratio(count(AT_ONCE), took),
                "/s",
            )
            .against(bare)
            .goal(Goal::RatioAtLeast(0.3)),
            Figure::new("  the last of them after", took * 1_000.0, "ms"),
            Figure::new("  memory of sources, afterwards", after, "MiB").against(before),
            Figure::new("  memory of sources, at most", peak, "MiB"),
        ]);
        Ok(())
    }

    /// What was published is run, so that the system ends in good order.
    async fn until_worked_off(&self) -> anyhow::Result<()> {
        progress("working off what was fired");
        let url = self.system.database_url();
        let done = "SELECT count(*) FROM executions WHERE finished_at IS NOT NULL";
        let done = async || match sql::count(&url, done).await {
            Ok(n) if usize::try_from(n).is_ok_and(|n| n >= AT_ONCE) => Some(()),
            _ => None,
        };
        wait_for("all executions", PATIENCE, done).await
    }
}

/// A schedule that is not due while this runs.
fn never() -> serde_json::Value {
    json!({ "schedule": { "cron": "0 9 1 1 *", "time_zone": "America/Sao_Paulo" } })
}

fn once(at: DateTime<Utc>) -> serde_json::Value {
    json!({ "schedule": { "at": at.to_rfc3339() } })
}
