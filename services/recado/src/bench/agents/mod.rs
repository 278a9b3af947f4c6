//! What agents cost: an execution that does nothing but answer, a thousand that wait for a model,
//! and the next one of a session with a long past.
//!
//! On a system of its own, whose runner has room for a thousand and whose database counts what it
//! is asked.

mod crowd;
mod long_session;
mod model;
mod overhead;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use recado_testkit::wait_for;
use serde_json::json;

use super::fixtures;
use super::http1::Wire;
use super::ledger::Ledger;
use super::load::{self, Answers, Plan};
use super::message::Target;
use super::progress;
use super::report::Findings;
use super::sink::Sink;
use super::system::System;
use model::Model;

/// Room for all that wait at a time, and for some more.
const SETTINGS: [(&str, &str); 2] =
    [("RECADO_RUNNER_SLOTS", "1100"), ("RECADO_RUNNER_TENANT_SLOTS", "1100")];

/// How long an answer may take that is on its way.
const PATIENCE: Duration = Duration::from_mins(1);

/// Short, so that it costs nothing to look, and hardly anything is slept away.
const POLL: Duration = Duration::from_millis(1);

/// The system, and what was found out so far.
struct Bench {
    system: System,
    ledger: Arc<Ledger>,
    model: Model,
    targets: Targets,
    findings: Findings,
}

/// What is posted to, by what its agent does.
struct Targets {
    /// Answers at once, and is called back: the loop without a tool and without a network.
    script: Arc<Target>,
    /// Asks a model that takes its time.
    slow: Arc<Target>,
    /// Two that ask a model that answers at once.
    quick: [Arc<Target>; 2],
}

/// Measures, on servers and processes that are gone afterwards.
pub(super) async fn measure() -> anyhow::Result<Findings> {
    progress("starting private servers and the six roles, for agents");
    let ledger = Arc::new(Ledger::new());
    let sink = Sink::start(Arc::clone(&ledger)).await.context("there is no place to call back")?;
    let model = Model::start(Arc::clone(&ledger)).await.context("there is no model to ask")?;
    let mut system = System::start(sink.address, &SETTINGS).await?;
    let targets = match Box::pin(prepare(&mut system, &sink, &model)).await {
        Ok(targets) => targets,
        Err(error) => {
            system.finish().await?;
            return Err(error);
        }
    };
    let mut bench = Bench { system, ledger, model, targets, findings: Findings::default() };
    let measured = Box::pin(bench.all()).await;
    let Bench { system, findings, .. } = bench;
    findings.ended(system, measured).await
}

async fn prepare(system: &mut System, sink: &Sink, model: &Model) -> anyhow::Result<Targets> {
    if !system.count_statements().await? {
        progress("pg_stat_statements is not installed: statements are not counted");
    }
    let fixtures = &system.fixtures;
    let say = json!({"model": "builtin.script", "system_prompt": "say: You said: $input"});
    let script = fixtures.with_agent("Script", &say).await?;
    let mut asking = Vec::new();
    for name in [model::SLOW, model::QUICK] {
        fixtures.provider(name, model.base_url(name)).await?;
        let spec = json!({"model": format!("{name}.model"), "system_prompt": "You are terse."});
        asking.push(fixtures.with_agent(name, &spec).await?);
    }
    let unanswered = fixtures::unanswered();
    Ok(Targets {
        script: script.trigger(&fixtures::answered(sink.address)).await?,
        slow: asking[0].trigger(&unanswered).await?,
        quick: [asking[1].trigger(&unanswered).await?, asking[1].trigger(&unanswered).await?],
    })
}

impl Bench {
    async fn all(&mut self) -> anyhow::Result<()> {
        self.overhead().await?;
        self.long_session().await?;
        self.crowd().await?;
        match self.ledger.n_strays() {
            0 => {}
            n => self.findings.faults.push(format!("{n} callbacks brought nothing new")),
        }
        Ok(())
    }

    /// Posts what `plan` says, and returns when everything was accepted.
    async fn post(&mut self, plan: Plan, target: &Arc<Target>) -> anyhow::Result<Answers> {
        let answers = load::run(plan, target, &self.ledger).await?;
        if let Some(error) = &answers.error {
            let n_errors = answers.n_errors;
            self.findings.faults.push(format!("{n_errors} errors, the first: {error}"));
        }
        Ok(answers)
    }

    /// Returns when everything that was accepted has been called back, or asked.
    async fn settle(&self, answers: &Answers) -> anyhow::Result<()> {
        let settled = wait_for("answers to all that was accepted", PATIENCE, async || {
            (self.ledger.tally(answers.numbers.clone()).n_missing == 0).then_some(())
        });
        settled.await
    }

    /// Posts one message and waits for what becomes of it; answers how long that took.
    async fn one(
        &self,
        wire: &mut Option<Wire>,
        target: &Target,
        session: usize,
    ) -> anyhow::Result<Duration> {
        let number = self.ledger.take(1).context("the run has used up its numbers")?.start;
        let request = target.request(number, session);
        let began = Instant::now();
        self.ledger.posted(number, began);
        match load::post(wire, target, &request).await.context("a post failed")? {
            200..300 => self.ledger.acknowledged(number),
            status => bail!("a post was answered {status}"),
        }
        loop {
            if let Some(took) = self.ledger.end_to_end(number) {
                return Ok(took);
            }
            if began.elapsed() > PATIENCE {
                bail!("a message was accepted and led to nothing for {PATIENCE:?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
