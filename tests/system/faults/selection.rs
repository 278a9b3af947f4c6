//! A few rows of `recado faults`; `make faults` tries all of them.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use recado_testkit::scratch::ScratchDir;
use recado_testkit::servers::processes_of;
use recado_testkit::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{RECADO, Story};

/// Cheap ones that share one system.
const SELECTION: &str = "kill-ingress,kill-buffer,kill-delivery,flush-redis";

/// A minute, and what a busy machine adds.
const PATIENCE: Duration = Duration::from_mins(3);

#[tokio::test]
async fn a_selection_of_faults_violates_nothing() -> Story {
    let directory = ScratchDir::new()?;
    let json = directory.path().join("faults.json");
    let mut faults = Command::new(RECADO);
    faults.args(["faults", "--only", SELECTION, "--seconds", "3", "--seed", "1", "--json"]);
    faults.arg(&json).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, faults.output()).await;
    let output = output.context("it does not come to an end")??;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));

    let report: Value = serde_json::from_slice(&fs::read(&json)?)?;
    let outcomes = report["faults"].as_array().context("a report lists faults")?;
    assert_eq!(outcomes.len(), SELECTION.split(',').count());
    for outcome in outcomes {
        assert_eq!(outcome["verdict"], "ok", "{outcome:#}");
        let measured = &outcome["measured"];
        assert_eq!([&measured["lost"], &measured["duplicated"]], [0, 0], "{outcome:#}");
        assert_eq!(measured["executed"], measured["acknowledged"], "{outcome:#}");
        assert!(measured["acknowledged"].as_u64() >= Some(60), "{outcome:#}");
        assert!(told.contains(outcome["fault"].as_str().unwrap_or("?")), "{told}");
    }
    assert_eq!([&report["left_behind"], &report["interrupted"]], [&json!([]); 2], "{report:#}");
    Ok(())
}

#[tokio::test]
async fn whoever_is_interrupted_tells_what_is_finished_and_leaves_nothing_running() -> Story {
    let directory = ScratchDir::new()?;
    // Not the scratch directory itself: that is on the command line of our own guard.
    let temporary = directory.path().join("temporary");
    fs::create_dir(&temporary)?;
    let json = directory.path().join("faults.json");
    let mut faults = Command::new(RECADO);
    faults.args(["faults", "--only", "nothing,freeze-postgres", "--seconds", "1", "--seed", "1"]);
    faults.arg("--json").arg(&json).env("TMPDIR", &temporary);
    faults.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let faults = faults.spawn()?;
    let pid = faults.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    // Whoever is frozen does not hear that it is to end.
    wait_for("a frozen server", PATIENCE, async || is_one_frozen(&temporary).then_some(())).await?;
    kill_process(pid.context("it has ended")?, Signal::TERM)?;
    let output = tokio::time::timeout(PATIENCE, faults.wait_with_output()).await;
    let output = output.context("it does not come to an end")??;
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("1 ok") && told.contains("freeze-postgres"), "{told}");

    let report: Value = serde_json::from_slice(&fs::read(&json)?)?;
    assert_eq!(report["interrupted"], json!(["freeze-postgres"]));
    assert_eq!(report["faults"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(report["faults"][0]["verdict"], "ok", "{report:#}");
    assert_eq!(processes_of(&temporary), [""; 0]);
    assert_eq!(fs::read_dir(&temporary)?.count(), 0);
    Ok(())
}

/// Whether one of the processes that have to do with `directory` is stopped.
fn is_one_frozen(directory: &Path) -> bool {
    let is_frozen = |process: &Path| {
        let read = |name| fs::read(process.join(name)).unwrap_or_default();
        let (command, status) = (read("cmdline"), read("status"));
        String::from_utf8_lossy(&command).contains(&*directory.to_string_lossy())
            && String::from_utf8_lossy(&status).contains("State:\tT")
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.map(|process| process.path()).any(|process| is_frozen(&process))
}
