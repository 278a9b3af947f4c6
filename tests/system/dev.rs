//! `recado dev` and `recado demo`: everything on one machine, and nothing left of it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use recado_testkit::scratch::ScratchDir;
use recado_testkit::servers::{Launch, Ready, ServerProcess, Signals, processes_of};
use recado_testkit::{http_client, wait_for};
use serde_json::{Value, json};

use crate::support::{Answer, RECADO, SOON, Story};

/// Three servers and six roles, on a machine that is busy.
const UP_WITHIN: Duration = Duration::from_secs(90);
const DOWN_WITHIN: Duration = Duration::from_mins(1);

/// What design section 8 promises to be in `dev.json`.
const FACTS: [&str; 12] = [
    "ingress_url",
    "management_url",
    "metrics_url",
    "tenant_id",
    "project_id",
    "agent_id",
    "jwt",
    "api_key",
    "database_url",
    "amqp_url",
    "redis_url",
    "pid",
];

fn launch(arguments: Vec<OsString>, scratch: &ScratchDir) -> anyhow::Result<ServerProcess> {
    let temporary = scratch.path().join("temporary");
    fs::create_dir_all(&temporary)?;
    Ok(ServerProcess::spawn(&Launch {
        program: RECADO.into(),
        arguments,
        environment: vec![
            ("RECADO_INGRESS_LISTEN", "127.0.0.1:0".into()),
            ("RECADO_MANAGEMENT_LISTEN", "127.0.0.1:0".into()),
            ("RECADO_METRICS_LISTEN", "127.0.0.1:0".into()),
            ("TMPDIR", temporary.into()),
        ],
        log: log(scratch),
        signals: Signals::Usual,
        ready: Ready::Serving,
    })?)
}

fn log(scratch: &ScratchDir) -> PathBuf {
    scratch.path().join("recado.log")
}

/// A running `recado dev`.
struct Dev {
    process: ServerProcess,
    facts: Value,
}

impl Dev {
    async fn start(scratch: &ScratchDir, data: &Path) -> anyhow::Result<Self> {
        let arguments = vec!["dev".into(), "--data-dir".into(), data.into()];
        let mut process = launch(arguments, scratch)?;
        let facts = wait_for("dev.json", UP_WITHIN, async || {
            if let Ok(Some(status)) = process.exit_status() {
                return Some(Err(anyhow::anyhow!("it ended: {status}")));
            }
            let facts = fs::read(data.join("dev.json")).ok()?;
            Some(serde_json::from_slice(&facts).context("dev.json is no JSON"))
        });
        let facts = facts.await.and_then(|facts| facts);
        let told = || fs::read_to_string(log(scratch)).unwrap_or_default();
        Ok(Self { facts: facts.with_context(told)?, process })
    }

    fn fact(&self, name: &str) -> anyhow::Result<&str> {
        self.facts[name].as_str().with_context(|| format!("{name} is missing in {}", self.facts))
    }

    /// The executions of a demo trigger.
    async fn executions(&self, trigger: &str) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/api/triggers/{trigger}/executions", self.fact("management_url")?);
        let request = http_client().get(url).bearer_auth(self.fact("jwt")?);
        let mut page: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(serde_json::from_value(page["data"].take())?)
    }

    async fn ended_executions(&self, trigger: &str, n: usize) -> anyhow::Result<Vec<Value>> {
        wait_for(&format!("{n} executions"), SOON, async || {
            let listed = self.executions(trigger).await.ok()?;
            let all = listed.iter().all(|execution| execution["status"] == "success");
            (all && listed.len() == n).then_some(listed)
        })
        .await
    }

    async fn stop(self, data: &Path) -> anyhow::Result<()> {
        let mut process = self.process;
        process.terminate()?;
        let ended = wait_for("its end", DOWN_WITHIN, async || process.exit_status().transpose());
        assert_eq!(ended.await??.code(), Some(0));
        assert!(!data.join("dev.json").exists(), "it tells of what runs, and nothing does");
        assert_eq!(processes_of(data), [""; 0]);
        Ok(())
    }
}

async fn chat(dev: &Dev, text: &str) -> anyhow::Result<()> {
    let trigger = dev.facts["triggers"]["chat"].as_str().context("there is a demo trigger")?;
    let url = format!("{}/api/triggers/webhook/{trigger}", dev.fact("ingress_url")?);
    let post = http_client().post(url).json(&json!({"user": "ana", "text": text}));
    let answer = Answer::of(post.send().await?).await?;
    assert_eq!(answer.status, 202, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn dev_runs_everything_keeps_its_data_and_leaves_nothing_running() -> Story {
    let scratch = ScratchDir::new()?;
    // Not the scratch directory itself: that is on the command line of our own guard.
    let data = scratch.path().join("data");

    let dev = Dev::start(&scratch, &data).await?;
    for fact in FACTS {
        assert!(!dev.facts[fact].is_null(), "{fact} is missing in {}", dev.facts);
    }
    assert_eq!(dev.facts["pid"], dev.process.id());
    let trigger = dev.facts["triggers"]["chat"].as_str().context("a demo trigger")?.to_owned();
    chat(&dev, "Olá").await?;
    chat(&dev, "tudo bem?").await?;
    let first = dev.ended_executions(&trigger, 1).await?;
    assert_eq!(first[0]["message_count"], 2);
    let (tenant, api_key) = (dev.facts["tenant_id"].clone(), dev.facts["api_key"].clone());
    dev.stop(&data).await?;

    let dev = Dev::start(&scratch, &data).await?;
    assert_eq!((&dev.facts["tenant_id"], &dev.facts["api_key"]), (&tenant, &api_key));
    assert_eq!(dev.executions(&trigger).await?, first, "the data was kept");
    chat(&dev, "de novo").await?;
    dev.ended_executions(&trigger, 2).await?;
    dev.stop(&data).await?;
    Ok(())
}

#[tokio::test]
async fn the_demo_shows_a_conversation_and_ends_by_itself() -> Story {
    let scratch = ScratchDir::new()?;
    let mut demo = launch(vec!["demo".into()], &scratch)?;
    let status = wait_for("its end", UP_WITHIN, async || demo.exit_status().transpose());
    let status = status.await??;
    let told = fs::read_to_string(log(&scratch))?;
    assert_eq!(status.code(), Some(0), "{told}");

    let mut rest = told.as_str();
    for step in ["received 1", "received 3", "executing", "executed", "chunk 1", "chunk 3"] {
        let (_, after) = rest.split_once(step).with_context(|| format!("{step}:\n{told}"))?;
        rest = after;
    }
    assert!(rest.contains("/api/triggers/"), "it says where to look:\n{told}");

    let temporary = scratch.path().join("temporary");
    assert_eq!(processes_of(&temporary), [""; 0]);
    assert_eq!(fs::read_dir(&temporary)?.count(), 0, "it cleans up");
    Ok(())
}
