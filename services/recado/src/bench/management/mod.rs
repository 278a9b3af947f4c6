//! What looking things up costs: lists and details among a thousand executions and among a million,
//! beside a bare lookup by primary key; and what webhooks notice of many who look.
//!
//! On a system of its own, over the real management process, as one tenant of a hundred. What is
//! looked at is put into the database as the other roles would have left it.

mod acceptance;
mod api;
mod questions;
mod rows;

use std::sync::Arc;

use recado_testkit::app::Role;

use super::report::{Figure, Findings};
use super::sink::Sink;
use super::system::System;
use super::{fixtures, progress};
use api::Api;
use questions::{Known, Measured};
use rows::{FEW, MANY, NONE, Observed};

/// Nobody is told to come back later; and housekeeping, which looks at all tenants once a minute,
/// does not come between.
const SETTINGS: [(&str, &str); 2] =
    [("RECADO_MANAGEMENT_RATE_PER_MINUTE", "0"), ("RECADO_HOUSEKEEPING_INTERVAL_S", "3600")];

/// The system, and what was found out so far.
struct Bench {
    system: System,
    findings: Findings,
}

/// Measures, on servers and processes that are gone afterwards.
pub(super) async fn measure() -> anyhow::Result<Findings> {
    progress("starting private servers and the six roles, for management");
    let unused = Sink::unused().await?;
    let system = System::start(unused.address, &SETTINGS).await?;
    let mut bench = Bench { system, findings: Findings::default() };
    let measured = Box::pin(bench.all()).await;
    let Bench { system, findings } = bench;
    findings.ended(system, measured).await
}

impl Bench {
    async fn all(&mut self) -> anyhow::Result<()> {
        let observed = self.observed().await?;
        let url = self.system.database_url();
        observed.prepare(&url).await?;

        observed.fill(&url, NONE, FEW).await?;
        let (few, _) = self.look(&observed).await?;
        let took = observed.fill(&url, FEW, MANY).await?;
        let (many, known) = self.look(&observed).await?;
        self.findings.figures.push(Figure::new(
            "1,000,000 executions of 100 tenants: made in",
            took,
            "s",
        ));
        self.findings.figures.extend(questions::figures(&few, &many));

        self.acceptance(Arc::new(known)).await
    }

    /// The tenant that is looked at, with the agent and the trigger that others are copies of.
    async fn observed(&self) -> anyhow::Result<Observed> {
        let management = self.system.management();
        let agent = management.create_agent("Echo", "builtin.echo", "You repeat.").await?;
        let trigger = management.create_trigger(&agent, "Bench", &fixtures::unanswered()).await?;
        let tenant = management.tenant().to_string();
        Ok(Observed { tenant, agent, trigger: trigger.id })
    }

    /// Asks everything of a process that has just been started.
    async fn look(&mut self, observed: &Observed) -> anyhow::Result<(Measured, Known)> {
        self.system.end(Role::Management).await?;
        self.system.begin(Role::Management).await?;
        progress("looking things up");
        let url = self.system.database_url();
        let known = Known::of(observed, &url).await?;
        let mut api = Api::of(&self.system)?;
        let measured = Box::pin(questions::ask(&url, &known, &mut api)).await?;
        Ok((measured, known))
    }
}
