//! `recado bench`: what a message costs, beside what the broker alone costs on the same machine.
//!
//! Release builds, each role a process of its own, private servers that wait for the disk, and a
//! bare publisher in the same run as the yardstick: rates depend on the machine, ratios much less.
//! The generator and the sink live in this process; their CPU time is reported and not counted.
//! `docs/performance.md` says what each figure means.

mod agents;
mod alone;
mod cost;
mod cpu;
mod deliveries;
mod fixtures;
mod http1;
mod latency;
mod ledger;
mod load;
mod management;
mod measure;
mod memory;
mod message;
mod report;
mod sink;
mod soak;
mod sources;
mod spent;
mod statements;
mod system;
mod text;
mod windows;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use recado_clock::{Clock as _, SystemClock};
use tokio::runtime::Runtime;

use crate::cli::BenchPart;
use crate::json_file::JsonFile;
use crate::{cli, say};
use ledger::Ledger;
use measure::Measurement;
use report::{Findings, Machine, Report};
use sink::Sink;
use system::System;

/// The window of the buffered trigger.
const WINDOW: Duration = Duration::from_millis(500);

/// Measures and prints. Exit code 0 unless something was lost, repeated or refused: whether the
/// goals are met is for the reader to judge.
pub(crate) fn main(options: &cli::Bench) -> ExitCode {
    match measure_and_tell(options) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("recado: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_and_tell(options: &cli::Bench) -> anyhow::Result<ExitCode> {
    let json = JsonFile::open(options.json.as_deref())?;
    let runtime = Runtime::new().context("failed to start the runtime")?;
    let report = runtime.block_on(Box::pin(run(options)))?;
    say(&report.print());
    json.write(&report)?;
    Ok(if report.findings.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &cli::Bench) -> anyhow::Result<Report> {
    let load_before = load_average();
    memory::raise_open_files();
    let mut findings = Findings::default();
    if matches!(
        options.only,
        None | Some(BenchPart::Pipeline | BenchPart::Ingress | BenchPart::Memory)
    ) {
        findings.add(Box::pin(messages(options)).await?);
    }
    if matches!(options.only, None | Some(BenchPart::Windows)) {
        findings.add(Box::pin(windows::measure()).await?);
    }
    if matches!(options.only, None | Some(BenchPart::Agents)) {
        findings.add(Box::pin(agents::measure()).await?);
    }
    if matches!(options.only, None | Some(BenchPart::Deliveries)) {
        findings.add(Box::pin(deliveries::measure()).await?);
    }
    if matches!(options.only, None | Some(BenchPart::Management)) {
        findings.add(Box::pin(management::measure()).await?);
    }
    if matches!(options.only, None | Some(BenchPart::Sources)) {
        findings.add(Box::pin(sources::measure()).await?);
    }
    if matches!(options.only, None | Some(BenchPart::Text)) {
        progress("cutting texts");
        findings.add(text::measure());
    }
    let machine = Machine {
        measured_at: SystemClock::default().now().format("%Y-%m-%d %H:%M UTC").to_string(),
        build: if cfg!(debug_assertions) { "debug (its figures mean nothing)" } else { "release" },
        processor: processor(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        load_before,
        load_after: load_average(),
    };
    Ok(Report { machine, seconds_per_phase: options.seconds, findings })
}

/// What becomes of messages, whatever agents do with them.
async fn messages(options: &cli::Bench) -> anyhow::Result<Findings> {
    progress("starting private servers and the six roles");
    let ledger = Arc::new(Ledger::new());
    let sink = Sink::start(Arc::clone(&ledger)).await.context("there is no place to call back")?;
    let mut system = System::start(sink.address, &[]).await?;
    let phase = Duration::from_secs(options.seconds);
    let mut measurement = Measurement::new(&system, Arc::clone(&ledger), phase);
    let soak = Duration::from_secs(options.soak);
    let measured = match options.only {
        None => Box::pin(measurement.all(soak)).await,
        Some(BenchPart::Pipeline) => Box::pin(measurement.pipeline_only()).await,
        Some(BenchPart::Ingress) => Box::pin(measurement.ingress_only(soak)).await,
        Some(_) => Ok(()),
    };
    let Measurement { figures, processes, faults, .. } = measurement;
    let mut findings = Findings { figures, processes, faults, ..Findings::default() };
    let measured = match measured {
        Ok(()) if matches!(options.only, None | Some(BenchPart::Memory)) => {
            let more = Box::pin(memory::measure(&mut system)).await;
            more.map(|more| findings.figures.extend(more))
        }
        measured => measured,
    };
    let measured = match measured {
        Ok(()) if matches!(options.only, None | Some(BenchPart::Pipeline)) => {
            let more = Box::pin(spent::measure(&mut system, &ledger, phase)).await;
            more.map(|more| findings.add(more))
        }
        measured => measured,
    };
    findings.ended(system, measured).await
}

/// Tells whoever waits what is being done.
fn progress(what: &str) {
    eprintln!("recado bench: {what} …");
}

/// Of the last minute.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

/// A count as a number to reckon with.
fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

/// 0 of nothing is 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
