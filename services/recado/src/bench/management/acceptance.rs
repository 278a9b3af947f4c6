//! What webhooks notice of those who look things up as fast as they are answered.
//!
//! The roles behind ingress are frozen, so that ingress and management are what shares the cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::baseline::Pace;
use tokio::task::JoinSet;

use super::super::cpu;
use super::super::latency::Latencies;
use super::super::ledger::Ledger;
use super::super::load::{self, Plan};
use super::super::measure::AFTERMATH;
use super::super::report::{Figure, Goal};
use super::super::{count, progress, ratio};
use super::Bench;
use super::api::{Access, Api};
use super::questions::Known;

/// How many look at a time.
const LOOKING: usize = 16;

/// By then each of their connections to the database has its plans, which take longer to make than
/// to follow.
const LOOKING_BEFORE: Duration = Duration::from_secs(2);

/// Alone and beside those who look, by turns, so often each.
const TURNS: usize = 3;
const FLAT_OUT: Duration = Duration::from_secs(2);
const STEADY: Duration = Duration::from_secs(5);

/// What webhooks ask for at a steady pace, of all that is accepted: so much that both fit.
const STEADY_SHARE: f64 = 0.25;

/// What is to be left of what is accepted alone.
const LEAST_LEFT: f64 = 0.8;

/// How webhooks fared.
#[derive(Default)]
struct Fared {
    took: Duration,
    latencies: Vec<Duration>,
    /// How many questions were answered meanwhile.
    n_looked: usize,
    /// CPU time of each group.
    used: Vec<Duration>,
}

impl Fared {
    fn accepted(&self) -> f64 {
        ratio(count(self.latencies.len()), self.took.as_secs_f64())
    }

    fn add(&mut self, more: Self) {
        self.took += more.took;
        self.latencies.extend(more.latencies);
        self.n_looked += more.n_looked;
        self.used.resize(more.used.len(), Duration::ZERO);
        self.used.iter_mut().zip(more.used).for_each(|(used, more)| *used += more);
    }
}

/// Connections over which one question follows the other, until they are told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    n_answered: Arc<AtomicUsize>,
    looking: JoinSet<anyhow::Result<()>>,
}

impl Crowd {
    async fn start(access: &Access, known: &Arc<Known>) -> Self {
        let (stop, n_answered) = (Arc::default(), Arc::default());
        let mut looking = JoinSet::new();
        for first in 0..LOOKING {
            let (stop, n_answered) = (Arc::clone(&stop), Arc::clone(&n_answered));
            let (api, known) = (access.connect(), Arc::clone(known));
            looking.spawn(look(api, known, first, stop, n_answered));
        }
        tokio::time::sleep(LOOKING_BEFORE).await;
        Self { stop, n_answered, looking }
    }

    fn n_answered(&self) -> usize {
        self.n_answered.load(Ordering::Relaxed)
    }

    /// An error if one of them was not answered.
    async fn end(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.join_all().await.into_iter().collect()
    }
}

async fn look(
    mut api: Api,
    known: Arc<Known>,
    first: usize,
    stop: Arc<AtomicBool>,
    n_answered: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    for n in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        api.get(&known.mixed(n)).await?;
        n_answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

impl Bench {
    pub(super) async fn acceptance(&mut self, known: Arc<Known>) -> anyhow::Result<()> {
        progress("posting alone, and while the API is under full load");
        let access = Access::of(&self.system)?;
        let flat_out = |ledger: &Ledger| Plan::saturate(ledger, FLAT_OUT);
        // Opens connections, fills caches.
        self.accept(&flat_out, None).await?;
        let (alone, beside) = self.by_turns(&flat_out, &access, &known).await?;
        let (rate, left) = (alone.accepted(), beside.accepted());
        let goal = Goal::RatioAtLeast(LEAST_LEFT);
        self.findings.figures.extend([
            Figure::new("webhooks accepted flat out, alone", rate, "/s"),
            Figure::new("  while 16 look things up as fast as they are answered", left, "/s")
                .against(rate)
                .goal(goal),
        ]);
        self.tell_cores(&alone, &beside);

        let steady = |_: &Ledger| Plan::Keep(Pace::start(rate * STEADY_SHARE, STEADY));
        let (alone, beside) = self.by_turns(&steady, &access, &known).await?;
        self.findings.figures.extend([
            Figure::new("a quarter of that posted: accepted alone", alone.accepted(), "/s"),
            Figure::new("  while 16 look things up", beside.accepted(), "/s")
                .against(alone.accepted())
                .goal(goal),
        ]);
        self.tell_cores(&alone, &beside);
        let (alone, beside) = (Latencies::from(alone.latencies), Latencies::from(beside.latencies));
        self.findings.figures.extend([
            Figure::new("  acknowledged p50", beside.p50(), "ms").against(alone.p50()),
            Figure::new("  acknowledged p99", beside.p99(), "ms").against(alone.p99()),
        ]);
        Ok(())
    }

    /// Alone, and beside a crowd.
    async fn by_turns(
        &mut self,
        plan: &impl Fn(&Ledger) -> Plan,
        access: &Access,
        known: &Arc<Known>,
    ) -> anyhow::Result<(Fared, Fared)> {
        let (mut alone, mut beside) = (Fared::default(), Fared::default());
        for _ in 0..TURNS {
            alone.add(self.accept(plan, None).await?);
            let crowd = Crowd::start(access, known).await;
            let fared = self.accept(plan, Some(&crowd)).await;
            crowd.end().await?;
            beside.add(fared?);
        }
        Ok((alone, beside))
    }

    /// Posts what `plan` says, beside a crowd if there is one, and throws it away.
    async fn accept(
        &mut self,
        plan: &impl Fn(&Ledger) -> Plan,
        crowd: Option<&Crowd>,
    ) -> anyhow::Result<Fared> {
        self.system.pause_workers()?;
        let before = cpu::read(&self.system.groups).context("/proc cannot be read")?;
        let n_looked = || crowd.map_or(0, Crowd::n_answered);
        let (began, n_looked_before) = (Instant::now(), n_looked());
        let ledger = Arc::new(Ledger::unkept());
        let answers = load::run(plan(&ledger), &self.system.targets.unanswered, &ledger).await;
        let took = began.elapsed();
        let n_looked = n_looked() - n_looked_before;
        let after = cpu::read(&self.system.groups);
        let purged = self.system.purge().await;
        self.system.resume_workers()?;
        purged?;
        // They had been handed a few before they were frozen.
        tokio::time::sleep(AFTERMATH).await;
        let answers = answers?;
        if let Some(error) = &answers.error {
            let n_errors = answers.n_errors;
            self.findings.faults.push(format!("{n_errors} errors, the first: {error}"));
        }
        let used = after.context("/proc cannot be read")?.since(&before);
        Ok(Fared { took, latencies: answers.latencies, n_looked, used })
    }

    /// Who had the cores, alone and then.
    fn tell_cores(&mut self, alone: &Fared, beside: &Fared) {
        let looked = ratio(count(beside.n_looked), beside.took.as_secs_f64());
        self.findings.figures.push(Figure::new("  looked up meanwhile", looked, "/s"));
        for (group, title) in [
            ("ingress", "  cores used: ingress"),
            ("RabbitMQ", "  cores used: RabbitMQ"),
            ("management", "  cores used: management"),
            ("PostgreSQL", "  cores used: PostgreSQL"),
            ("generator and sink", "  cores used: generator"),
        ] {
            let at = self.system.groups.iter().position(|known| known.name == group);
            let cores = |fared: &Fared| {
                let used = at.and_then(|at| fared.used.get(at))?;
                Some(ratio(used.as_secs_f64(), fared.took.as_secs_f64()))
            };
            let figure = Figure::new(title, cores(beside), "").against(cores(alone));
            self.findings.figures.push(figure);
        }
    }
}
