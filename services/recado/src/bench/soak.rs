//! Whether ingress grows: its memory, every second, under a load that it can bear for ever.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use recado_testkit::baseline::Pace;
use tokio::time::MissedTickBehavior;

use super::latency::Latencies;
use super::ledger::Ledger;
use super::load::{self, Plan};
use super::measure::{AFTERMATH, Measurement};
use super::report::Figure;
use super::{count, progress, ratio};

/// How often the memory is looked at, and what was published thrown away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const SECONDS_PER_MINUTE: f64 = 60.0;

impl Measurement<'_> {
    /// Posts at half of what ingress alone has `accepted` per second.
    pub(super) async fn soak(&mut self, accepted: f64, duration: Duration) -> anyhow::Result<()> {
        progress("keeping ingress under load");
        let rate = accepted / 2.0;
        self.system.pause_workers()?;
        let soaked = self.sample(rate, duration).await;
        self.system.resume_workers()?;
        let (latencies, mib) = soaked?;
        tokio::time::sleep(AFTERMATH).await;
        self.figures.extend([
            Figure::new("ingress alone, kept under load: posted", rate, "/s"),
            Figure::new("  for", duration.as_secs_f64(), "s"),
            Figure::new("  acknowledged p50", latencies.p50(), "ms"),
            Figure::new("  acknowledged p99", latencies.p99(), "ms"),
            Figure::new("  resident after 10 % of the time", at(&mib, 10), "MiB"),
            Figure::new("  resident after 50 % of the time", at(&mib, 50), "MiB"),
            Figure::new("  resident at the end", at(&mib, 100), "MiB"),
            Figure::new("  growth after the first third", growth(&mib), "MiB/min"),
        ]);
        Ok(())
    }

    /// The times of all answers, and what ingress held at each look.
    async fn sample(
        &mut self,
        rate: f64,
        duration: Duration,
    ) -> anyhow::Result<(Latencies, Vec<f64>)> {
        let ledger = Arc::new(Ledger::unkept());
        let plan = Plan::Keep(Pace::start(rate, duration));
        let mut posting = pin!(load::run(plan, &self.system.targets.unanswered, &ledger));
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mib = Vec::new();
        let answers = loop {
            tokio::select! {
                answers = &mut posting => break answers?,
                _ = looks.tick() => {
                    mib.push(self.system.ingress_mib()?);
                    self.system.purge().await?;
                }
            }
        };
        self.system.purge().await?;
        self.note_errors(&answers);
        Ok((Latencies::from(answers.latencies), mib))
    }
}

/// The sample after so much of the time.
fn at(samples: &[f64], percent: usize) -> Option<f64> {
    let index = samples.len().checked_sub(1)? * percent / 100;
    samples.get(index).copied()
}

/// The slope of the line through what follows the first third, by least squares: until then caches
/// and buffers fill.
fn growth(mib: &[f64]) -> Option<f64> {
    let settled = &mib[mib.len() / 3..];
    if settled.len() < 2 {
        return None;
    }
    let n = count(settled.len());
    let middle = (n - 1.0) / 2.0;
    let mean = settled.iter().sum::<f64>() / n;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (index, mib) in settled.iter().enumerate() {
        let offset = count(index) - middle;
        covariance += offset * (mib - mean);
        variance += offset * offset;
    }
    let per_look = ratio(covariance, variance);
    Some(per_look / LOOK_EVERY.as_secs_f64() * SECONDS_PER_MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_slope_of_what_follows_the_first_third() {
        let warming_then = |slope: f64| -> Vec<f64> {
            let filling = (0..10).map(|second| 5.0 * count(second));
            filling.chain((0..20).map(|second| 60.0 + slope * count(second))).collect()
        };
        assert!(growth(&warming_then(0.0)).unwrap().abs() < 1e-9);
        assert!((growth(&warming_then(0.5)).unwrap() - 30.0).abs() < 1e-9);
        assert_eq!(growth(&[7.0]), None);
        assert_eq!(growth(&[]), None);
    }

    #[test]
    fn samples_are_found_by_how_much_time_has_passed() {
        let samples: Vec<f64> = (0..=200).map(count).collect();
        assert_eq!(
            [at(&samples, 10), at(&samples, 50), at(&samples, 100)],
            [Some(20.0), Some(100.0), Some(200.0)]
        );
        assert_eq!(at(&[], 10), None);
    }
}
