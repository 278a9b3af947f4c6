//! A hundred thousand open windows, and how late each is flushed.
//!
//! agent-runner is ended, and what it would be sent is taken by this program: how late an execution
//! is requested is a matter of buffer alone.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use recado_testkit::app::Role;
use recado_testkit::sql;
use tokio::time::timeout;

use super::cpu;
use super::fixtures;
use super::latency::Latencies;
use super::ledger::Ledger;
use super::load::{self, Answers, Plan};
use super::message::numbers_in;
use super::progress;
use super::report::{Figure, Findings, Goal};
use super::sink::Sink;
use super::system::System;

/// How many sessions write one message each.
const WINDOWS: u32 = 100_000;
/// The longest window there is: all of them are open before the first is due.
const WINDOW: Duration = Duration::from_mins(1);
/// How many are opened in a second, and so how many are due in one.
const PER_SECOND: f64 = 2_000.0;
/// How long the last flush may take after the last window was opened.
const PATIENCE: Duration = Duration::from_mins(3);

/// Measures, on servers and processes that are gone afterwards.
pub(super) async fn measure() -> anyhow::Result<Findings> {
    progress("starting private servers and the six roles, for windows");
    let unused = Sink::start(Arc::new(Ledger::unkept())).await;
    let unused = unused.context("there is no place to call back")?;
    let mut system = System::start(unused.address, &[]).await?;
    let mut findings = Findings::default();
    let measured = Box::pin(flushes(&mut system, unused.address, &mut findings)).await;
    // Nobody runs what was requested here.
    let emptied = sql::execute(&system.database_url(), "DELETE FROM messages").await;
    findings.ended(system, measured.and(emptied.context("what was recorded stays"))).await
}

async fn flushes(
    system: &mut System,
    callback: SocketAddr,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    system.end(Role::AgentRunner).await?;
    let configuration = fixtures::buffered_for(callback, WINDOW);
    let target = system.fixtures.trigger(&configuration).await?;
    let ledger = Arc::new(Ledger::new());
    let taking = timeout(PATIENCE * 2, take_all(system, &ledger));
    let posting = async {
        progress("opening 100,000 windows");
        let before = cpu::read(&system.groups)?;
        let answers = load::run(Plan::sessions(WINDOWS, PER_SECOND), &target, &ledger).await?;
        let memory = system.role_mib(Role::Buffer)?;
        let open = sql::count(&system.database_url(), OPEN).await?;
        progress("waiting for the last of them");
        anyhow::Ok((before, answers, memory, open))
    };
    let (taken, posted) = tokio::join!(taking, posting);
    let (before, answers, (resident, _), open) = posted?;
    let used = cpu::read(&system.groups)?.since(&before);
    let busy = system.groups.iter().zip(used).filter(|(group, _)| group.name == "buffer");
    let micros: f64 = busy.map(|(_, used)| used.as_secs_f64() * 1e6).sum();
    note_faults(&answers, &ledger, taken.is_ok(), findings);

    let late = answers.numbers.clone().filter_map(|number| ledger.end_to_end(number));
    let late = Latencies::from(late.map(|took| took.saturating_sub(WINDOW)).collect::<Vec<_>>());
    let n_open = u32::try_from(open).map_or(f64::INFINITY, f64::from);
    findings.figures.extend([
        Figure::new("windows of 60 s: opened, one message each", answers.per_second(), "/s"),
        Figure::new("  open at the same time", n_open, "").goal(Goal::ValueAtLeast(99_000.0)),
        Figure::new("  memory of buffer with them", resident, "MiB"),
        Figure::new("  flushed too late by, p50", late.p50(), "ms"),
        Figure::new("  flushed too late by, p99", late.p99(), "ms").goal(Goal::ValueAtMost(250.0)),
        Figure::new("  CPU time of buffer for each", micros / f64::from(WINDOWS), "µs"),
    ]);
    Ok(())
}

const OPEN: &str = "SELECT count(*) FROM messages WHERE requested_at IS NULL";

async fn take_all(system: &System, ledger: &Ledger) -> anyhow::Result<()> {
    let taken = system.take_requests(|request| {
        ledger.called_back(numbers_in(request));
        let are_all = ledger.n_callbacks() >= usize::try_from(WINDOWS).unwrap_or(usize::MAX);
        if are_all { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    taken.await
}

fn note_faults(answers: &Answers, ledger: &Ledger, ended: bool, findings: &mut Findings) {
    if let Some(error) = &answers.error {
        findings.faults.push(format!("{} errors, the first: {error}", answers.n_errors));
    }
    let tally = ledger.tally(answers.numbers.clone());
    if tally.n_missing > 0 || !ended {
        findings.faults.push(format!("{} windows were never flushed", tally.n_missing));
    }
}
