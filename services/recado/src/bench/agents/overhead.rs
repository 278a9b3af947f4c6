//! What an execution costs besides its model and its tools: from its admission until delivery has
//! been asked to send its answer.
//!
//! Delivery is ended meanwhile, so that nothing of what it does is counted. The runner polls only
//! while it has nothing to do, so what polling costs is read while the runner is ended too: that
//! is what the other roles take, whatever it does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::app::Role;
use recado_testkit::wait_for;

use super::{Bench, PATIENCE};
use crate::bench::cpu::{self, Reading};
use crate::bench::load::{Answers, Plan};
use crate::bench::report::{Figure, Goal, Statement};
use crate::bench::statements::Statements;
use crate::bench::system::System;
use crate::bench::{count, progress, ratio};

/// One at a time: far enough from each other that each is admitted, claimed and ended by itself.
const ALONE: u32 = 200;
const ALONE_PER_SECOND: f64 = 20.0;

/// As many sessions as come at once.
const CROWD: u32 = 500;
const CROWD_PER_SECOND: f64 = 2_000.0;

const IDLE: Duration = Duration::from_secs(6);

/// What follows the last answer is done by then.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Whose CPU time is an execution's.
const GROUPS: [&str; 3] = ["agent-runner", "PostgreSQL", "RabbitMQ"];

/// All counters at one moment.
struct Snapshot {
    at: Instant,
    cpu: Reading,
    /// Transactions that wrote something.
    commits: f64,
    statements: Option<Statements>,
}

/// What the other roles use per second while nothing happens.
struct Idle {
    cpu: Vec<f64>,
    commits: f64,
    statements: Option<Statements>,
}

/// What one execution uses.
struct Cost {
    commits: f64,
    statements: Option<Statements>,
    /// In milliseconds, in the order of [`GROUPS`].
    cpu: [f64; 3],
}

impl Bench {
    pub(super) async fn overhead(&mut self) -> anyhow::Result<()> {
        self.system.end(Role::Delivery).await?;
        let measured = Box::pin(self.without_delivery()).await;
        self.system.begin(Role::Delivery).await?;
        for answers in measured? {
            self.settle(&answers).await?;
        }
        Ok(())
    }

    /// Answers what is still to be called back.
    async fn without_delivery(&mut self) -> anyhow::Result<Vec<Answers>> {
        progress("doing nothing, without agent-runner and delivery");
        self.system.end(Role::AgentRunner).await?;
        tokio::time::sleep(AFTERMATH).await;
        let idle = Idle::read(&self.system).await;
        self.system.begin(Role::AgentRunner).await?;
        let idle = idle?;

        progress("running a script, to warm up");
        let warm = [self.at_once().await?, self.one_by_one().await?];
        progress("running a script, one execution at a time");
        let (alone, alone_cost) =
            self.cost_of(&idle, async |bench| bench.one_by_one().await).await?;
        progress("running a script in 500 sessions at once");
        let (crowd, crowd_cost) = self.cost_of(&idle, async |bench| bench.at_once().await).await?;
        self.report(&alone_cost, &crowd_cost);
        Ok(warm.into_iter().chain([alone, crowd]).collect())
    }

    /// Each has the runner to itself.
    async fn one_by_one(&mut self) -> anyhow::Result<Answers> {
        let ended = self.system.executions_ended().await?;
        let target = Arc::clone(&self.targets.script);
        let answers = self.post(Plan::sessions(ALONE, ALONE_PER_SECOND), &target).await?;
        self.until_ended(ended, &answers).await?;
        Ok(answers)
    }

    /// All are there before the first is admitted.
    async fn at_once(&mut self) -> anyhow::Result<Answers> {
        let ended = self.system.executions_ended().await?;
        let target = Arc::clone(&self.targets.script);
        self.system.pause_runner()?;
        let answers = self.post(Plan::sessions(CROWD, CROWD_PER_SECOND), &target).await;
        self.system.resume_runner()?;
        let answers = answers?;
        self.until_ended(ended, &answers).await?;
        Ok(answers)
    }

    async fn until_ended(&self, before: f64, answers: &Answers) -> anyhow::Result<()> {
        let wanted = before + count(answers.latencies.len());
        let ended = wait_for("executions to end", PATIENCE, async || {
            let now = self.system.executions_ended().await.ok()?;
            (now >= wanted).then_some(())
        });
        ended.await
    }

    async fn cost_of(
        &mut self,
        idle: &Idle,
        run: impl AsyncFnOnce(&mut Self) -> anyhow::Result<Answers>,
    ) -> anyhow::Result<(Answers, Cost)> {
        tokio::time::sleep(AFTERMATH).await;
        let before = Snapshot::take(&self.system).await?;
        let answers = run(self).await?;
        let after = Snapshot::take(&self.system).await?;
        let n = count(answers.latencies.len());
        let cost = Cost {
            commits: before.commits_until(&after, idle) / n,
            statements: before.statements_until(&after, idle, n),
            cpu: before.cpu_until(&after, idle, &self.system).map(|ms| ms / n),
        };
        Ok((answers, cost))
    }

    fn report(&mut self, alone: &Cost, crowd: &Cost) {
        let limit = Goal::ValueAtMost;
        let [runner, postgres, rabbitmq] = alone.cpu;
        self.findings.figures.extend([
            Figure::new("script, one at a time: statements per execution", alone.work(), "")
                .goal(limit(8.0)),
            Figure::new("  with BEGIN and COMMIT", alone.total(), ""),
            Figure::new("  commits per execution", tenths(alone.commits), "").goal(limit(3.0)),
            Figure::new("  CPU time per execution", alone.cpu_ms(), "ms"),
            Figure::new("    of agent-runner", runner, "ms"),
            Figure::new("    of PostgreSQL", postgres, "ms"),
            Figure::new("    of RabbitMQ", rabbitmq, "ms"),
        ]);
        let [runner, postgres, rabbitmq] = crowd.cpu;
        self.findings.figures.extend([
            Figure::new("script, 500 sessions at once: statements per execution", crowd.work(), "")
                .goal(limit(8.0)),
            Figure::new("  with BEGIN and COMMIT", crowd.total(), ""),
            Figure::new("  commits per execution", tenths(crowd.commits), "").goal(limit(3.0)),
            Figure::new("  CPU time per execution", crowd.cpu_ms(), "ms"),
            Figure::new("    of agent-runner", runner, "ms"),
            Figure::new("    of PostgreSQL", postgres, "ms"),
            Figure::new("    of RabbitMQ", rabbitmq, "ms"),
        ]);
        if let (Some(alone), Some(crowd)) = (&alone.statements, &crowd.statements) {
            let names: BTreeSet<&str> = alone.names().chain(crowd.names()).collect();
            let statements = names.into_iter().map(|name| Statement {
                name: name.to_owned(),
                one_at_a_time: alone.of(name),
                many_at_once: crowd.of(name),
            });
            self.findings.statements.extend(statements);
        }
    }
}

impl Idle {
    async fn read(system: &System) -> anyhow::Result<Self> {
        let before = Snapshot::take(system).await?;
        tokio::time::sleep(IDLE).await;
        let after = Snapshot::take(system).await?;
        let per_second = 1.0 / before.seconds_until(&after);
        let used = after.cpu.since(&before.cpu);
        let nothing = Statements::default();
        let statements = before.statements.as_ref().zip(after.statements.as_ref());
        Ok(Self {
            cpu: used.iter().map(|used| used.as_secs_f64() * 1_000.0 * per_second).collect(),
            commits: (after.commits - before.commits) * per_second,
            statements: statements
                .map(|(before, after)| after.since(before, &nothing, 1.0).times(per_second)),
        })
    }
}

impl Snapshot {
    async fn take(system: &System) -> anyhow::Result<Self> {
        let at = Instant::now();
        let cpu = cpu::read(&system.groups).context("/proc cannot be read")?;
        let statements = Statements::read(&system.database_url()).await?;
        Ok(Self { at, cpu, commits: system.n_written().await?, statements })
    }

    fn seconds_until(&self, later: &Self) -> f64 {
        (later.at - self.at).as_secs_f64()
    }

    fn commits_until(&self, later: &Self, idle: &Idle) -> f64 {
        later.commits - self.commits - idle.commits * self.seconds_until(later)
    }

    fn statements_until(&self, later: &Self, idle: &Idle, n: f64) -> Option<Statements> {
        let idle = idle.statements.as_ref()?.times(self.seconds_until(later));
        Some(later.statements.as_ref()?.since(self.statements.as_ref()?, &idle, n))
    }

    /// In milliseconds, in the order of [`GROUPS`].
    fn cpu_until(&self, later: &Self, idle: &Idle, system: &System) -> [f64; 3] {
        let used = later.cpu.since(&self.cpu);
        let seconds = self.seconds_until(later);
        GROUPS.map(|name| {
            let place = system.groups.iter().position(|group| group.name == name);
            place.map_or(0.0, |at| used[at].as_secs_f64() * 1_000.0 - idle.cpu[at] * seconds)
        })
    }
}

impl Cost {
    fn work(&self) -> Option<f64> {
        self.statements.as_ref().map(Statements::work)
    }

    fn total(&self) -> Option<f64> {
        self.statements.as_ref().map(Statements::total)
    }

    fn cpu_ms(&self) -> f64 {
        self.cpu.iter().sum()
    }
}

/// Hundredths are what a sweep or a vacuum in between writes.
fn tenths(value: f64) -> f64 {
    ratio((value * 10.0).round(), 10.0)
}
