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
mod ticking;
mod trial;
mod verdict;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_testkit::app::{Role, TestApp};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit_code::USAGE;
use crate::json_file::JsonFile;
use crate::table::table;
use crate::{cli, say};
use report::{Outcome, Report};
use rows::{Row, System};

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
    match try_and_tell(options, &chosen) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("recado: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_and_tell(options: &cli::Faults, chosen: &[&'static Row]) -> anyhow::Result<ExitCode> {
    let json = JsonFile::open(options.json.as_deref())?;
    let runtime = Runtime::new().context("failed to start the runtime")?;
    let report = runtime.block_on(Box::pin(run(options, chosen)))?;
    say(&report.print());
    json.write(&report)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &cli::Faults, chosen: &[&'static Row]) -> anyhow::Result<Report> {
    let seed = options.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut report = Report {
        seed,
        seconds_per_fault: options.seconds,
        faults: Vec::new(),
        left_behind: Vec::new(),
        interrupted: Vec::new(),
    };
    let mut interruption = Interruption::listen()?;
    progress(&format!("seed {seed}, {} faults", chosen.len()));
    for system in [System::Usual, System::BehindProxies, System::OnSmallDisks] {
        let rows = chosen.iter().copied().filter(|row| row.on == system);
        try_all(rows, &mut report, &mut interruption).await;
    }
    Ok(report)
}

/// Tries rows on a system, which is replaced whenever one was of no more use afterwards. Once
/// somebody interrupts, nothing more is tried, and what is known by then is kept.
async fn try_all(
    rows: impl Iterator<Item = &'static Row>,
    report: &mut Report,
    interruption: &mut Interruption,
) {
    let (seed, lasting) = (report.seed, Duration::from_secs(report.seconds_per_fault));
    let mut running = None;
    for row in rows {
        if !report.interrupted.is_empty() {
            report.interrupted.push(row.name);
            continue;
        }
        let began = Instant::now();
        let outcome = tokio::select! {
            outcome = Box::pin(try_one(row, &mut running, seed, lasting)) => outcome,
            () = interruption.comes() => {
                progress("interrupted: everything is ended");
                report.interrupted.push(row.name);
                if let Some(app) = running.take() {
                    app.abandon();
                }
                continue;
            }
        };
        let took = began.elapsed().as_secs_f64();
        progress(&format!("{}: {} ({took:.0} s)", row.name, outcome.word()));
        if !outcome.left_the_system_at_rest {
            report.left_behind.extend(end(running.take()).await);
        }
        report.faults.push(outcome);
    }
    report.left_behind.extend(end(running).await);
}

async fn try_one(
    row: &'static Row,
    running: &mut Option<TestApp>,
    seed: u64,
    lasting: Duration,
) -> Outcome {
    match strikes::obstacle(row.fault) {
        Ok(None) => {}
        Ok(Some(why)) => return Outcome::skipped(row, why),
        Err(error) => return Outcome::failed(row, &error),
    }
    let tried = async {
        let app = started(running, row.on).await?;
        progress(&format!("{}: {}", row.name, row.what));
        trial::run(row, app, seed, lasting).await
    };
    tried.await.unwrap_or_else(|error| Outcome::failed(row, &error))
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

/// Ends a system, and answers what it had left, or how else it did not end in good order.
async fn end(running: Option<TestApp>) -> Option<String> {
    let left = Box::pin(running?.finish()).await.err()?;
    let left = format!("{left:#}");
    progress(&format!("the system did not end in good order: {left}"));
    Some(left)
}

/// What makes this program end before its time.
struct Interruption {
    interrupt: Signal,
    terminate: Signal,
}

impl Interruption {
    /// From now on these signals do not kill this process.
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("there is no way to hear of signals");
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self { interrupt: listen(interrupt)?, terminate: listen(terminate)? })
    }

    async fn comes(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Tells whoever waits what is being done.
fn progress(what: &str) {
    eprintln!("recado faults: {what} …");
}
