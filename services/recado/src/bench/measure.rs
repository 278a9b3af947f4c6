//! The phases, in the order in which they run. Each leaves the system idle for the next.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::baseline::{Pace, bare_commits};

use super::cost::{Cost, Snapshot};
use super::cpu::{self, Reading};
use super::latency::Latencies;
use super::ledger::{Ledger, Tally};
use super::load::{self, Answers, IN_FLIGHT, Plan};
use super::message::{BODY_BYTES, Target};
use super::report::{Figure, Goal, Process};
use super::system::System;
use super::{WINDOW, count, progress, ratio};

/// Enough to open connections, fill caches and prepare statements.
const WARM_UP: Duration = Duration::from_millis(500);

/// Without load, to see what polling costs.
const IDLE: Duration = Duration::from_secs(3);

/// As many as a role keeps, unless configured otherwise.
const CONNECTIONS: usize = 16;
const COMMITTING: Duration = Duration::from_secs(2);

/// What follows the last callback is done by then, and PostgreSQL's backends, which report what
/// they did once a second, have reported it.
pub(super) const AFTERMATH: Duration = Duration::from_millis(1_500);

/// Nothing more comes after so long a silence.
const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// What is buffered: sessions that send a few messages each.
const BURSTS: u32 = 300;
const BURSTS_PER_SECOND: u32 = 50;
const BURST_SIZE: usize = 3;

/// A measurement under way.
pub(super) struct Measurement<'a> {
    pub(super) system: &'a System,
    pub(super) ledger: Arc<Ledger>,
    pub(super) seconds: Duration,
    pub(super) figures: Vec<Figure>,
    pub(super) processes: Vec<Process>,
    /// What must not have happened, in words.
    pub(super) faults: Vec<String>,
}

/// The bare publisher, as fast as it gets.
pub(super) struct Bare {
    pub(super) per_second: f64,
    pub(super) latencies: Latencies,
}

/// CPU time of each group for a message, in microseconds.
pub(super) struct CpuPerMessage(Vec<(&'static str, f64)>);

impl CpuPerMessage {
    pub(super) fn of(&self, group: &str) -> Option<f64> {
        self.0.iter().find(|(name, _)| *name == group).map(|(_, micros)| *micros)
    }
}

impl<'a> Measurement<'a> {
    /// Phases take `seconds` each.
    pub(super) fn new(system: &'a System, ledger: Arc<Ledger>, seconds: Duration) -> Self {
        let (figures, processes, faults) = Default::default();
        Self { system, ledger, seconds, figures, processes, faults }
    }

    /// Runs all phases; the one that looks whether ingress grows takes `soak`.
    pub(super) async fn all(&mut self, soak: Duration) -> anyhow::Result<()> {
        let bare = self.pipeline().await?;
        self.ingress(&bare, soak).await
    }

    /// Runs the phases that go the whole way.
    pub(super) async fn pipeline_only(&mut self) -> anyhow::Result<()> {
        self.pipeline().await.map(|_bare| ())
    }

    async fn pipeline(&mut self) -> anyhow::Result<Bare> {
        let idle = self.idle().await?;
        let bare = self.bare().await?;
        self.bare_commits().await?;
        self.warm_up().await?;
        let sustained = self.saturate(&bare, &idle).await?;
        self.keep_pace("at half of what is executed: posted", sustained / 2.0).await?;
        self.keep_pace("at a fifth of what is executed: posted", sustained / 5.0).await?;
        self.buffered().await?;
        match self.ledger.n_strays() {
            0 => {}
            n => self.faults.push(format!("{n} callbacks brought nothing new")),
        }
        Ok(bare)
    }

    /// Runs the phases that are about ingress.
    pub(super) async fn ingress_only(&mut self, soak: Duration) -> anyhow::Result<()> {
        let bare = self.bare().await?;
        self.warm_up().await?;
        self.ingress(&bare, soak).await
    }

    async fn ingress(&mut self, bare: &Bare, soak: Duration) -> anyhow::Result<()> {
        let accepted = self.ingress_alone(bare).await?;
        if !soak.is_zero() {
            self.soak(accepted, soak).await?;
        }
        Ok(())
    }

    /// CPU time of each group while nobody asks for anything, in milliseconds per second.
    async fn idle(&self) -> anyhow::Result<Vec<f64>> {
        progress("doing nothing");
        let before = cpu::read(&self.system.groups).context("/proc cannot be read")?;
        tokio::time::sleep(IDLE).await;
        let used = cpu::read(&self.system.groups)?.since(&before);
        Ok(used
            .iter()
            .map(|used| ratio(used.as_secs_f64() * 1_000.0, IDLE.as_secs_f64()))
            .collect())
    }

    async fn bare(&mut self) -> anyhow::Result<Bare> {
        progress("publishing with a bare program");
        let before = cpu::read(&self.system.groups).context("/proc cannot be read")?;
        let measured = self.system.with_bare_publisher(async |publisher| {
            let warming = publisher.saturate(IN_FLIGHT, WARM_UP).await?;
            Ok((warming.latencies.len(), publisher.saturate(IN_FLIGHT, self.seconds).await?))
        });
        let (n_warming, full) = measured.await?;
        let used = cpu::read(&self.system.groups).context("/proc cannot be read")?;
        let cpu = self.cpu_between(&before, &used, n_warming + full.latencies.len());
        let half = self.system.with_bare_publisher(async |publisher| {
            let pace = Pace::start(full.per_second() / 2.0, self.seconds);
            publisher.keep_pace(&pace, IN_FLIGHT).await
        });
        let half = half.await?;
        let per_second = full.per_second();
        let (latencies, half) = (Latencies::from(full.latencies), Latencies::from(half.latencies));
        self.figures.extend([
            Figure::new("bare publisher: confirmed, 64 in flight", per_second, "/s"),
            Figure::new("  confirm p50", latencies.p50(), "ms"),
            Figure::new("  confirm p99", latencies.p99(), "ms"),
            Figure::new("  CPU time per message, the program", cpu.of("generator and sink"), "µs"),
            Figure::new("  CPU time per message, RabbitMQ", cpu.of("RabbitMQ"), "µs"),
            Figure::new("  confirm p50 at half of that rate", half.p50(), "ms"),
            Figure::new("  confirm p99 at half of that rate", half.p99(), "ms"),
        ]);
        Ok(Bare { per_second, latencies })
    }

    /// What a step that is written down has to wait for, at the least.
    async fn bare_commits(&mut self) -> anyhow::Result<()> {
        progress("committing with a bare program");
        let url = self.system.database_url();
        let commits = bare_commits(&url, CONNECTIONS, BODY_BYTES, COMMITTING).await?;
        let per_second = commits.per_second();
        let latencies = Latencies::from(commits.latencies);
        self.figures.extend([
            Figure::new("bare program: 1 KiB rows committed, 16 connections", per_second, "/s"),
            Figure::new("  commit p50", latencies.p50(), "ms"),
            Figure::new("  commit p99", latencies.p99(), "ms"),
        ]);
        Ok(())
    }

    pub(super) async fn warm_up(&mut self) -> anyhow::Result<()> {
        progress("warming up");
        let plan = Plan::saturate(&self.ledger, WARM_UP);
        self.post_and_settle(plan, &self.system.targets.instant).await?;
        tokio::time::sleep(AFTERMATH).await;
        Ok(())
    }

    /// Everything at work, as fast as it goes; gives the rate from end to end.
    async fn saturate(&mut self, bare: &Bare, idle: &[f64]) -> anyhow::Result<f64> {
        progress("posting as fast as it is answered, all roles at work");
        let before = Snapshot::take(self.system).await?;
        let plan = Plan::saturate(&self.ledger, self.seconds);
        let (answers, tally) = self.post_and_settle(plan, &self.system.targets.instant).await?;
        tokio::time::sleep(AFTERMATH).await;
        let cost = before.cost(self.system, idle, tally.n_called_back).await?;

        let accepted = answers.per_second();
        let acknowledged = Latencies::from(answers.latencies);
        let sustained = ratio(count(tally.n_called_back), tally.span.as_secs_f64());
        self.figures.extend([
            Figure::new("all roles at work: accepted, 64 in flight", accepted, "/s")
                .against(bare.per_second),
            Figure::new("  acknowledged p50", acknowledged.p50(), "ms")
                .against(bare.latencies.p50()),
            Figure::new("  acknowledged p99", acknowledged.p99(), "ms")
                .against(bare.latencies.p99()),
            Figure::new("  executed, webhook to callback", sustained, "/s")
                .against(bare.per_second)
                .goal(Goal::RatioAtLeast(0.1)),
        ]);
        let Cost { figures, processes } = cost;
        self.figures.extend(figures);
        self.processes = processes;
        Ok(sustained)
    }

    /// Everything at work, as fast as it goes, and nothing measured; answers how many messages went
    /// the whole way.
    pub(super) async fn keep_busy(&mut self) -> anyhow::Result<usize> {
        progress("posting as fast as it is answered, once more");
        let plan = Plan::saturate(&self.ledger, self.seconds);
        let (_, tally) = self.post_and_settle(plan, &self.system.targets.instant).await?;
        tokio::time::sleep(AFTERMATH).await;
        Ok(tally.n_called_back)
    }

    /// At a rate that leaves room, and the bare publisher at the same rate.
    async fn keep_pace(&mut self, what: &'static str, rate: f64) -> anyhow::Result<()> {
        progress(what);
        let bare = self.system.with_bare_publisher(async |publisher| {
            publisher.keep_pace(&Pace::start(rate, self.seconds), IN_FLIGHT).await
        });
        let bare = Latencies::from(bare.await?.latencies);
        let plan = Plan::Keep(Pace::start(rate, self.seconds));
        let (answers, tally) = self.post_and_settle(plan, &self.system.targets.instant).await?;
        let acknowledged = Latencies::from(answers.latencies);
        let called_back = Latencies::from(tally.end_to_end);
        self.figures.extend([
            Figure::new(what, rate, "/s"),
            Figure::new("  acknowledged p50", acknowledged.p50(), "ms").against(bare.p50()),
            Figure::new("  acknowledged p99", acknowledged.p99(), "ms")
                .against(bare.p99())
                .goal(Goal::RatioAtMost(5.0)),
            Figure::new("  webhook to callback p50", called_back.p50(), "ms"),
            Figure::new("  webhook to callback p99", called_back.p99(), "ms"),
        ]);
        Ok(())
    }

    /// Bursts of messages that are to become one execution each.
    async fn buffered(&mut self) -> anyhow::Result<()> {
        progress("posting bursts to a message buffer");
        let n_callbacks = self.ledger.n_callbacks();
        let duration = Duration::from_secs(1) * BURSTS / BURSTS_PER_SECOND;
        let pace = Pace::start(f64::from(BURSTS_PER_SECOND), duration);
        let plan = Plan::Bursts { pace, size: BURST_SIZE };
        let (answers, _) = self.post_and_settle(plan, &self.system.targets.buffered).await?;
        let n_executions = self.ledger.n_callbacks() - n_callbacks;
        let late = Latencies::from(self.lateness(answers.numbers));
        self.figures.extend([
            Figure::new("bursts of 3, window 500 ms: bursts", f64::from(BURSTS), ""),
            Figure::new("  executions", count(n_executions), ""),
            Figure::new("  last message to callback, less the window, p50", late.p50(), "ms"),
            Figure::new("  last message to callback, less the window, p99", late.p99(), "ms")
                .goal(Goal::ValueAtMost(250.0)),
        ]);
        Ok(())
    }

    /// How long after the end of its window each burst was answered.
    fn lateness(&self, numbers: Range<usize>) -> Vec<Duration> {
        let last_of_bursts = numbers.skip(BURST_SIZE - 1).step_by(BURST_SIZE);
        let answered = last_of_bursts.filter_map(|number| self.ledger.end_to_end(number));
        answered.map(|took| took.saturating_sub(WINDOW)).collect()
    }

    /// What each group has used between two readings, for each of so many messages.
    pub(super) fn cpu_between(&self, then: &Reading, now: &Reading, n: usize) -> CpuPerMessage {
        let micros = |used: Duration| ratio(used.as_secs_f64() * 1e6, count(n));
        let used = now.since(then).into_iter().map(micros);
        let groups = self.system.groups.iter().map(|group| group.name);
        CpuPerMessage(groups.zip(used).collect())
    }

    async fn post_and_settle(
        &mut self,
        plan: Plan,
        target: &Arc<Target>,
    ) -> anyhow::Result<(Answers, Tally)> {
        let answers = load::run(plan, target, &self.ledger).await?;
        let tally = self.settle(&answers).await;
        Ok((answers, tally))
    }

    /// Waits until everything that was acknowledged has been called back, or nothing more comes.
    pub(super) async fn settle(&mut self, answers: &Answers) -> Tally {
        let mut heard = (self.ledger.n_callbacks(), Instant::now());
        let tally = loop {
            let tally = self.ledger.tally(answers.numbers.clone());
            let n_callbacks = self.ledger.n_callbacks();
            if n_callbacks != heard.0 {
                heard = (n_callbacks, Instant::now());
            }
            if tally.n_missing == 0 || heard.1.elapsed() >= SILENCE {
                break tally;
            }
            tokio::time::sleep(POLL).await;
        };
        self.note_errors(answers);
        if tally.n_missing > 0 {
            self.faults.push(format!("{} acknowledged messages were lost", tally.n_missing));
        }
        tally
    }

    /// An answer that was not a 2xx must not have been.
    pub(super) fn note_errors(&mut self, answers: &Answers) {
        if let Some(error) = &answers.error {
            self.faults.push(format!("{} errors, the first: {error}", answers.n_errors));
        }
    }
}
