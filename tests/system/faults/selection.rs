//! A few rows of `recado faults`; `make faults` tries all of them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use recado_testkit::scratch::ScratchDir;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{RECADO, Story};

/// Cheap ones that share one system.
const SELECTION: &str = "kill-ingress,kill-buffer,kill-delivery,flush-redis";

/// Some fifty seconds, and what a busy machine adds.
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

    let report: Value = serde_json::from_slice(&std::fs::read(&json)?)?;
    let outcomes = report["faults"].as_array().context("a report lists faults")?;
    assert_eq!(outcomes.len(), SELECTION.split(',').count());
    for outcome in outcomes {
        assert_eq!(outcome["verdict"], "ok", "{outcome:#}");
        assert_eq!([&outcome["lost"], &outcome["duplicated"]], [0, 0], "{outcome:#}");
        assert_eq!(outcome["executed"], outcome["acknowledged"], "{outcome:#}");
        assert!(outcome["acknowledged"].as_u64() >= Some(60), "{outcome:#}");
        assert!(told.contains(outcome["fault"].as_str().unwrap_or("?")), "{told}");
    }
    Ok(())
}
