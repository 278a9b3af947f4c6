//! The phases, in the order in which they run. Each leaves the system idle for the next.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::baseline::{BarePublisher, Confirms, Pace};

use super::cpu::{self, Reading};
use super::latency::Latencies;
use super::ledger::{Ledger, Tally};
use super::load::{self, Answers, IN_FLIGHT, Plan};
use super::message::{BODY_BYTES, Target};
use super::report::{Figure, Goal, Process};
use super::system::{Counters, System};
use super::{WINDOW, count, progress, ratio};

/// Enough to open connections, fill caches and prepare statements.
const WARM_UP: Duration = Duration::from_millis(500);

/// Without load, to see what polling costs.
const IDLE: Duration = Duration::from_secs(3);

/// Ingress alone: short, because all of it is worked off afterwards.
const ALONE: Duration = Duration::from_secs(2);

/// PostgreSQL's backends report what they did after a second at the latest, when they are used;
/// what follows the last callback is done by then, too.
const AFTERMATH: Duration = Duration::from_millis(1_500);

/// Nothing more comes after so long a silence.
const SILENCE: Duration = Duration::from_secs(30);

/// What is buffered: sessions that send three messages each.
const BURSTS: u32 = 300;
const BURSTS_PER_SECOND: u32 = 50;
const BURST_SIZE: usize = 3;

/// The peers' range ends here (`facts/peers.md`, section 7: svix 2.3 to 3.2).
const PEERS_CPU_MS: f64 = 3.2;

/// A measurement under way.
pub(super) struct Measurement<'a> {
    system: &'a System,
    ledger: Arc<Ledger>,
    seconds: Duration,
    figures: Vec<Figure>,
    processes: Vec<Process>,
    faults: Vec<String>,
}

/// The bare publisher as fast as it gets.
struct Bare {
    per_second: f64,
    latencies: Latencies,
}

impl<'a> Measurement<'a> {
    /// Phases take `seconds` each.
    pub(super) fn new(system: &'a System, ledger: Arc<Ledger>, seconds: Duration) -> Self {
        let (figures, processes, faults) = Default::default();
        Self { system, ledger, seconds, figures, processes, faults }
    }

    /// What was found out so far: figures, costs by process, faults.
    pub(super) fn results(self) -> (Vec<Figure>, Vec<Process>, Vec<String>) {
        (self.figures, self.processes, self.faults)
    }

    /// Runs all phases.
    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        let idle = self.idle().await?;
        let publisher = BarePublisher::connect(&self.system.amqp_url(), BODY_BYTES).await?;
        let bare = self.bare(&publisher).await?;
        self.warm_up().await?;
        let sustained = self.saturate(&bare, &idle).await?;
        self.ingress_alone(&bare).await?;
        self.keep_pace(&publisher, sustained / 2.0).await?;
        self.buffered().await?;
        publisher.close().await?;
        self.count_faults();
        Ok(())
    }

    /// CPU time of each group while nobody asks for anything, in milliseconds per second.
    async fn idle(&self) -> anyhow::Result<Vec<f64>> {
        progress("doing nothing");
        let before = self.cpu()?;
        tokio::time::sleep(IDLE).await;
        let used = self.cpu()?.since(&before);
        Ok(used.iter().map(|used| used.as_secs_f64() * 1_000.0 / IDLE.as_secs_f64()).collect())
    }

    async fn bare(&mut self, publisher: &BarePublisher) -> anyhow::Result<Bare> {
        progress("publishing with a bare program");
        publisher.saturate(IN_FLIGHT, WARM_UP).await?;
        let full = publisher.saturate(IN_FLIGHT, self.seconds).await?;
        let per_second = full.per_second();
        let half = Pace::start(per_second / 2.0, self.seconds);
        let half: Latencies = publisher.keep_pace(&half, IN_FLIGHT).await?.latencies.into();
        let latencies: Latencies = full.latencies.into();
        self.figures.extend([
            Figure::new("bare publisher: confirmed, 64 in flight", per_second, "/s"),
            Figure::new("  confirm p50", latencies.p50(), "ms"),
            Figure::new("  confirm p99", latencies.p99(), "ms"),
            Figure::new("  confirm p50 at half of that rate", half.p50(), "ms"),
            Figure::new("  confirm p99 at half of that rate", half.p99(), "ms"),
        ]);
        Ok(Bare { per_second, latencies })
    }

    async fn warm_up(&mut self) -> anyhow::Result<()> {
        progress("warming up");
        let plan = Plan::saturate(&self.ledger, WARM_UP);
        self.post(plan, &self.system.instant).await?;
        tokio::time::sleep(AFTERMATH).await;
        Ok(())
    }

    /// Everything at work, as fast as it goes; gives the rate from end to end.
    async fn saturate(&mut self, bare: &Bare, idle: &[f64]) -> anyhow::Result<f64> {
        progress("posting as fast as it is answered");
        let (cpu, counters) = (self.cpu()?, self.system.counters().await?);
        let plan = Plan::saturate(&self.ledger, self.seconds);
        let (answers, tally) = self.post(plan, &self.system.instant).await?;
        tokio::time::sleep(AFTERMATH).await;
        let used = self.cpu()?.since(&cpu);
        let accepted = answers.per_second();
        let acknowledged = Latencies::from(answers.latencies);
        let sustained = ratio(count(tally.n_called_back), tally.span.as_secs_f64());
        self.figures.extend([
            Figure::new("accepted, all roles at work", accepted, "/s").against(bare.per_second),
            Figure::new("  acknowledged p50, 64 in flight", acknowledged.p50(), "ms")
                .against(bare.latencies.p50()),
            Figure::new("  acknowledged p99, 64 in flight", acknowledged.p99(), "ms")
                .against(bare.latencies.p99()),
            Figure::new("executed, webhook to callback", sustained, "/s")
                .against(bare.per_second)
                .goal(Goal::RatioAtLeast(0.1)),
        ]);
        self.cost(&used, idle, tally.n_called_back)?;
        let after = self.system.counters().await?;
        self.traffic(&counters, &after, tally.n_called_back);
        Ok(sustained)
    }

    /// What a message cost each process.
    fn cost(&mut self, used: &[Duration], idle: &[f64], n_messages: usize) -> anyhow::Result<()> {
        let mut total = Process {
            name: "all of them",
            cpu_ms_per_message: 0.0,
            idle_cpu_ms_per_second: 0.0,
            resident_mib: None,
        };
        let (ours, n_roles) = (self.system.groups.len(), self.system.groups.len() - 3);
        for (index, group) in self.system.groups.iter().enumerate() {
            let process = Process {
                name: group.name,
                cpu_ms_per_message: ratio(used[index].as_secs_f64() * 1_000.0, count(n_messages)),
                idle_cpu_ms_per_second: idle[index],
                resident_mib: (index < n_roles).then(|| cpu::resident_mib(group.root)).transpose()?,
            };
            total.cpu_ms_per_message += process.cpu_ms_per_message;
            total.idle_cpu_ms_per_second += process.idle_cpu_ms_per_second;
            self.processes.push(process);
        }
        debug_assert_eq!(used.len(), ours);
        let name = "CPU time per message, roles and servers";
        let goal = Goal::ValueAtMost(PEERS_CPU_MS);
        self.figures.push(Figure::new(name, total.cpu_ms_per_message, "ms").goal(goal));
        self.processes.push(total);
        Ok(())
    }
}
