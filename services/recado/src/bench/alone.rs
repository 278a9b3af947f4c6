//! Ingress with the cores to itself: the roles behind it are frozen, and what it publishes waits.
//!
//! What it takes as fast as it can, and how long a sender waits at half of that rate, beside a
//! bare publisher at the same rates. Then the same for a trigger that has Redis asked about every
//! message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::baseline::Pace;

use super::cpu;
use super::latency::Latencies;
use super::ledger::Ledger;
use super::load::{self, Answers, IN_FLIGHT, Plan};
use super::measure::{AFTERMATH, Bare, Measurement};
use super::message::Target;
use super::report::{Figure, Goal};
use super::{count, progress, ratio};

/// As fast as it is answered: short, because all of it is worked off afterwards.
const FLAT_OUT: Duration = Duration::from_secs(2);

impl Measurement<'_> {
    /// Gives what it accepts per second.
    pub(super) async fn ingress_alone(&mut self, bare: &Bare) -> anyhow::Result<f64> {
        let accepted = self.flat_out(bare).await?;
        let unanswered = Arc::clone(&self.system.targets.unanswered);
        let title = "ingress alone, at half of that: posted";
        self.at_half(title, &unanswered, accepted / 2.0, Some(Goal::RatioAtMost(5.0))).await?;
        self.counted(bare).await?;
        Ok(accepted)
    }

    /// What it could take if the others ran elsewhere, and how fast they work off the backlog.
    async fn flat_out(&mut self, bare: &Bare) -> anyhow::Result<f64> {
        progress("posting to ingress, the other roles frozen");
        let before = cpu::read(&self.system.groups).context("/proc cannot be read")?;
        self.system.pause_workers()?;
        let plan = Plan::saturate(&self.ledger, FLAT_OUT);
        let answers = load::run(plan, &self.system.targets.instant, &self.ledger).await;
        let used = cpu::read(&self.system.groups);
        self.system.resume_workers()?;
        let (answers, used) = (answers?, used.context("/proc cannot be read")?);
        let cpu = self.cpu_between(&before, &used, answers.latencies.len());
        let resumed = Instant::now();
        let tally = self.settle(&answers).await;
        let worked_off = ratio(count(tally.n_called_back), resumed.elapsed().as_secs_f64());
        let accepted = answers.per_second();
        let acknowledged = Latencies::from(answers.latencies);
        self.figures.extend([
            Figure::new("ingress alone: accepted, 64 in flight", accepted, "/s")
                .against(bare.per_second)
                .goal(Goal::RatioAtLeast(0.5)),
            Figure::new("  acknowledged p50", acknowledged.p50(), "ms")
                .against(bare.latencies.p50()),
            Figure::new("  acknowledged p99", acknowledged.p99(), "ms")
                .against(bare.latencies.p99()),
            Figure::new("  CPU time per message, ingress", cpu.of("ingress"), "µs"),
            Figure::new("  CPU time per message, RabbitMQ", cpu.of("RabbitMQ"), "µs"),
            Figure::new("  CPU time per message, generator", cpu.of("generator and sink"), "µs"),
            Figure::new("  its backlog worked off by the others", worked_off, "/s"),
        ]);
        Ok(accepted)
    }

    /// One round trip to Redis for every message, flat out and at half of that.
    async fn counted(&mut self, bare: &Bare) -> anyhow::Result<()> {
        progress("posting to ingress alone, with an id and limits to be checked");
        let counted = Arc::clone(&self.system.targets.counted);
        let ledger = Arc::new(Ledger::unkept());
        let plan = Plan::saturate(&ledger, FLAT_OUT);
        let answers = self.post_to_nobody(plan, &counted, &ledger).await?;
        let accepted = answers.per_second();
        self.figures.push(
            Figure::new("ingress alone, id and limits checked: accepted", accepted, "/s")
                .against(bare.per_second),
        );
        let title = "ingress alone, id and limits checked, at half of that: posted";
        self.at_half(title, &counted, accepted / 2.0, None).await
    }

    /// At a rate that leaves room, beside a bare publisher at the same rate.
    async fn at_half(
        &mut self,
        title: &'static str,
        target: &Arc<Target>,
        rate: f64,
        goal: Option<Goal>,
    ) -> anyhow::Result<()> {
        progress("publishing with a bare program, and posting to ingress alone, at half its rate");
        let bare = self.system.with_bare_publisher(async |publisher| {
            publisher.keep_pace(&Pace::start(rate, self.seconds), IN_FLIGHT).await
        });
        let bare = Latencies::from(bare.await?.latencies);
        let plan = Plan::Keep(Pace::start(rate, self.seconds));
        let ledger = Arc::new(Ledger::unkept());
        let answers = self.post_to_nobody(plan, target, &ledger).await?;
        let acknowledged = Latencies::from(answers.latencies);
        let p99 = Figure::new("  acknowledged p99", acknowledged.p99(), "ms").against(bare.p99());
        let p99 = match goal {
            Some(goal) => p99.goal(goal),
            None => p99,
        };
        self.figures.extend([
            Figure::new(title, rate, "/s"),
            Figure::new("  acknowledged p50", acknowledged.p50(), "ms").against(bare.p50()),
            p99,
        ]);
        Ok(())
    }

    /// Posts while the roles behind ingress are frozen, and throws away what it publishes.
    async fn post_to_nobody(
        &mut self,
        plan: Plan,
        target: &Arc<Target>,
        ledger: &Arc<Ledger>,
    ) -> anyhow::Result<Answers> {
        self.system.pause_workers()?;
        let answers = load::run(plan, target, ledger).await;
        let purged = self.system.purge().await;
        self.system.resume_workers()?;
        purged?;
        // They had been handed a few before they were frozen.
        tokio::time::sleep(AFTERMATH).await;
        let answers = answers?;
        self.note_errors(&answers);
        Ok(answers)
    }
}
