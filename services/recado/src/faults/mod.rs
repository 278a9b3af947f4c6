//! `recado faults`: what becomes of messages when something dies, hangs, fills up, forgets or lies.
//!
//! Private servers, each role as processes of its own, and for each fault a steady load of signed
//! webhooks whose every callback is kept. The fault strikes at moments that a seed decides; then
//! everything has to come to rest, and the history checker judges what was seen from outside.
//! `docs/faults.md` says what each row does and what must hold.

mod cast;
mod ledger;
mod load;
mod post;
mod report;
mod rows;
mod strikes;
mod trial;
mod verdict;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::app::{Role, TestApp};
use tokio::runtime::Runtime;

use crate::exit_code::USAGE;
use crate::table::table;
use crate::{cli, say};
use report::{Outcome, Report};
use rows::{Fault, Row, System};

/// The room for a server's data, where that is to be filled.
const DISK_MIB: u32 = 320;

/// Tries what was chosen, and prints. Exit code 0 unless something was violated.
pub(crate) fn main(options: &cli::Faults) -> ExitCode {
    let chosen = match rows::chosen(&options.only) {
        Ok(chosen) => chosen,
        Err(error) => {
            eprintln!("recado: {error}");
            return ExitCode::from(USAGE);
        }
    };
    if options.list {
        let row = |row: &&Row| [row.name.to_owned(), row.what.to_owned()];
        say(&table(["fault", "what happens"], chosen.iter().map(row).collect()));
        return ExitCode::SUCCESS;
    }
    let done = Runtime::new()
        .context("failed to start the runtime")
        .and_then(|runtime| runtime.block_on(Box::pin(run(options, &chosen))));
    match done.and_then(|report| publish(&report, options)) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("recado: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn publish(report: &Report, options: &cli::Faults) -> anyhow::Result<ExitCode> {
    say(&report.print());
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_vec_pretty(report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &cli::Faults, chosen: &[&'static Row]) -> anyhow::Result<Report> {
    let seed = options.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut report = Report { seed, seconds_per_fault: options.seconds, faults: Vec::new() };
    progress(&format!("seed {seed}, {} faults", chosen.len()));
    for system in [System::Usual, System::BehindProxies, System::OnSmallDisks] {
        let rows: Vec<_> = chosen.iter().copied().filter(|row| row.on == system).collect();
        // What a ctrl-c leaves behind ends by itself: every process and mount has a guard.
        tokio::select! {
            outcomes = try_all(system, &rows, seed, Duration::from_secs(options.seconds)) => {
                report.faults.extend(outcomes);
            }
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    }
    Ok(report)
}

/// Tries rows on a system, which is replaced whenever one was of no more use afterwards.
async fn try_all(
    system: System,
    rows: &[&'static Row],
    seed: u64,
    lasting: Duration,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut running = None;
    for row in rows {
        if let Fault::Missing(why) = row.fault {
            outcomes.push(Outcome::skipped(row, why.to_owned()));
            continue;
        }
        let outcome = match started(&mut running, system).await {
            Ok(app) => {
                let began = Instant::now();
                progress(&format!("{}: {}", row.name, row.what));
                let tried = Box::pin(trial::run(row, app, seed, lasting)).await;
                let outcome =
                    tried.unwrap_or_else(|error| Outcome::failed(row, format!("{error:#}")));
                let took = began.elapsed().as_secs_f64();
                progress(&format!("{}: {} ({took:.0} s)", row.name, outcome.word()));
                outcome
            }
            Err(error) if system == System::OnSmallDisks => {
                Outcome::skipped(row, format!("{error:#}"))
            }
            Err(error) => Outcome::failed(row, format!("{error:#}")),
        };
        if !outcome.left_the_system_at_rest {
            end(running.take()).await;
        }
        outcomes.push(outcome);
    }
    end(running).await;
    outcomes
}

/// The system that runs, or a new one.
async fn started(running: &mut Option<TestApp>, system: System) -> anyhow::Result<&mut TestApp> {
    if running.is_none() {
        progress("starting private servers and two instances of each role");
        *running = Some(start(system).await?);
    }
    running.as_mut().context("it was just started")
}

async fn start(system: System) -> anyhow::Result<TestApp> {
    let binary = std::env::current_exe().context("this program is not found")?;
    let binary = binary.to_str().context("this program has no plain path")?;
    let builder = TestApp::builder(binary).private_servers();
    let builder = Role::ALL.into_iter().fold(builder, |builder, role| builder.instances(role, 2));
    let builder = builder.settle_within(Duration::from_secs(5));
    let builder = match system {
        System::Usual => builder,
        System::BehindProxies => builder.through_proxies(),
        System::OnSmallDisks => builder.small_disks(DISK_MIB),
    };
    Box::pin(builder.start()).await
}

/// What is left in a system that was of no more use has been told already.
async fn end(running: Option<TestApp>) {
    if let Some(app) = running
        && let Err(error) = Box::pin(app.finish()).await
    {
        progress(&format!("the system did not end in good order: {error:#}"));
    }
}

/// Tells whoever waits what is being done.
fn progress(what: &str) {
    eprintln!("recado faults: {what} …");
}
