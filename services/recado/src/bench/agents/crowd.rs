//! A thousand executions that wait for a slow model in one runner: what they hold in memory, and
//! what others notice of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use recado_testkit::app::Role;
use recado_testkit::wait_for;

use super::model::THINKING;
use super::{Bench, PATIENCE};
use crate::bench::latency::Latencies;
use crate::bench::load::Plan;
use crate::bench::report::{Figure, Goal};
use crate::bench::{count, progress};

const WAITING: u32 = 1_000;
const POSTED_PER_SECOND: f64 = 1_000.0;

/// How long others are measured without it; with it, as long as all of them wait.
const ALONE: Duration = Duration::from_secs(6);

const BYTES_PER_MIB: f64 = 1_048_576.0;
const BYTES_PER_MB: f64 = 1e6;

impl Bench {
    pub(super) async fn crowd(&mut self) -> anyhow::Result<()> {
        progress("starting agent-runner anew, and echoing");
        self.system.end(Role::AgentRunner).await?;
        self.system.begin(Role::AgentRunner).await?;
        let began = Instant::now();
        let alone = self.echo_while(|_| began.elapsed() < ALONE).await?;
        let (before, _) = self.system.role_mib(Role::AgentRunner)?;

        progress("having 1,000 executions wait for a slow model, and echoing");
        let plan = Plan::sessions(WAITING, POSTED_PER_SECOND);
        let slow = Arc::clone(&self.targets.slow);
        let answers = self.post(plan, &slow).await?;
        let n_waiting = self.until_all_wait(answers.latencies.len()).await;
        let (resident, _) = self.system.role_mib(Role::AgentRunner)?;
        let beside = self.echo_while(|bench| bench.model.n_waiting() >= n_waiting).await?;
        wait_for("the slow model to answer", THINKING + PATIENCE, async || {
            (self.model.n_waiting() == 0).then_some(())
        })
        .await?;
        self.settle(&answers).await?;
        let (_, peak) = self.system.role_mib(Role::AgentRunner)?;

        let (n_beside, alone, beside) =
            (beside.len(), Latencies::from(alone), Latencies::from(beside));
        self.findings.figures.extend([
            Figure::new("executions that wait for a slow model", count(n_waiting), ""),
            Figure::new("  agent-runner before: resident", megabytes(before), "MB"),
            Figure::new("  with them: resident", megabytes(resident), "MB"),
            Figure::new("  most until all have ended", megabytes(peak), "MB")
                .goal(Goal::ValueAtMost(200.0)),
            Figure::new("  echoes in other sessions meanwhile", count(n_beside), ""),
            Figure::new("  webhook to callback of those p50", beside.p50(), "ms")
                .against(alone.p50()),
            Figure::new("  webhook to callback of those p99", beside.p99(), "ms")
                .against(alone.p99()),
        ]);
        if n_waiting < answers.latencies.len() {
            let fault = format!("only {n_waiting} executions waited for the model at a time");
            self.findings.faults.push(fault);
        }
        Ok(())
    }

    /// Posts one message after the other to an agent that echoes, each in a session of its own.
    async fn echo_while(&self, goes_on: impl Fn(&Self) -> bool) -> anyhow::Result<Vec<Duration>> {
        let (mut wire, mut latencies) = (None, Vec::new());
        while goes_on(self) {
            let session = self.ledger.position();
            latencies.push(self.one(&mut wire, &self.system.targets.instant, session).await?);
        }
        Ok(latencies)
    }

    /// Answers how many wait at last.
    async fn until_all_wait(&self, n: usize) -> usize {
        // If they do not within the time that the first one takes, they never will.
        let all = wait_for("all to wait for the model", THINKING, async || {
            (self.model.n_waiting() >= n).then_some(())
        });
        // Not all is a finding, not the end of the run.
        let _ = all.await;
        self.model.n_waiting()
    }
}

fn megabytes(mib: f64) -> f64 {
    mib * BYTES_PER_MIB / BYTES_PER_MB
}
