//! How a process ends, for every way of ending.

use std::future::pending;
use std::process::Command;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::signals::Signals;
use super::*;
use crate::config::MapEnv;

const GRACE: Duration = Duration::from_secs(30);

impl Signals for mpsc::Receiver<&'static str> {
    async fn next(&mut self) -> &'static str {
        match self.recv().await {
            Some(signal) => signal,
            None => pending().await,
        }
    }
}

/// Runs `main` under signals that come after the given seconds.
async fn ending<F>(
    after_seconds: &[u64],
    main: impl FnOnce(Context) -> F,
) -> anyhow::Result<Outcome>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let (sender, signals) = mpsc::channel(8);
    let context = Context::with_clock(Arc::new(SystemClock::default()));
    let send = async {
        for &seconds in after_seconds {
            sleep(Duration::from_secs(seconds)).await;
            sender.send("SIGTERM").await.unwrap();
        }
        pending::<()>().await;
    };
    let main = Box::pin(main(context.clone()));
    tokio::select! {
        outcome = supervise(&context, main, signals, GRACE) => outcome,
        () = send => unreachable!("it waits for ever"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_ends_by_itself_ends_the_process_well() {
    assert_eq!(ending(&[], async |_| Ok(())).await.unwrap(), Outcome::Done);
}

#[tokio::test(start_paused = true)]
async fn a_signal_drains_the_tasks() {
    let begun = Instant::now();
    let outcome = ending(&[5], async |context| {
        let shutdown = context.shutdown.clone();
        let health = context.health.clone();
        context.started();
        context.spawn("worker", async move {
            shutdown.cancelled().await;
            assert!(!health.is_ready());
            sleep(Duration::from_secs(20)).await;
        });
        context.shutdown.cancelled().await;
        Ok(())
    });
    assert_eq!(outcome.await.unwrap(), Outcome::Done);
    assert_eq!(begun.elapsed(), Duration::from_secs(25));
}

#[tokio::test(start_paused = true)]
async fn an_overrun_grace_period_is_a_failure() {
    let begun = Instant::now();
    let outcome = ending(&[5], async |context| {
        context.spawn("stuck", pending());
        pending().await
    });
    assert_eq!(outcome.await.unwrap(), Outcome::Failed);
    assert_eq!(begun.elapsed(), Duration::from_secs(35));
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_the_process_at_once() {
    let begun = Instant::now();
    let outcome = ending(&[5, 1], async |_| pending().await).await;
    assert_eq!(outcome.unwrap(), Outcome::Failed);
    assert_eq!(begun.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_task_shuts_the_process_down() {
    let outcome = ending(&[], async |context| {
        context.spawn("worker", async { panic!("a bug") });
        context.shutdown.cancelled().await;
        Ok(())
    });
    assert_eq!(outcome.await.unwrap(), Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_failing_task_shuts_the_process_down() {
    let outcome = ending(&[], async |context| {
        context.try_spawn("worker", async { anyhow::bail!("lost the lock") });
        context.shutdown.cancelled().await;
        Ok(())
    });
    assert_eq!(outcome.await.unwrap(), Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_failing_role_still_drains_its_tasks() {
    let begun = Instant::now();
    let outcome = ending(&[], async |context| {
        context.spawn("worker", sleep(Duration::from_secs(3)));
        anyhow::bail!("no broker")
    });
    assert_eq!(outcome.await.unwrap_err().to_string(), "no broker");
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

fn env() -> MapEnv {
    MapEnv::from([("RECADO_METRICS_LISTEN", "127.0.0.1:0"), ("RECADO_LOG", "off")])
}

#[test]
fn mistakes_in_the_settings_exit_with_78() {
    let mut env = env();
    env.set("RECADO_GRACE_MS", "soon");
    let code = Process::new("test", &env).run(async |_, (): ()| Ok(()));
    assert_eq!(code, ExitCode::from(78));

    let late = ConfigError { mistakes: Vec::new() };
    let code = Process::new("test", &self::env()).run(async |_, (): ()| Err(late.into()));
    assert_eq!(code, ExitCode::from(78));
}

#[test]
fn an_address_in_use_is_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut env = env();
    env.set("RECADO_METRICS_LISTEN", taken.local_addr().unwrap().to_string());
    let code = Process::new("test", &env).run(async |_, (): ()| Ok(()));
    assert_eq!(code, ExitCode::FAILURE);
}

#[test]
fn a_ready_process_tells_where_it_is_and_ends_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ready.json");
    std::fs::write(&path, "stale").unwrap();
    let env = env();
    let process = Process::new("test", &env).ready_file(Some(path.clone()));

    let code = process.run(async |context: Context, (): ()| {
        assert!(!path.exists(), "the stale file is gone before the role starts");
        let component = context.health.component("broker");
        context.announce("ingress_url", "http://127.0.0.1:1");
        context.started();
        component.ready();
        let ready = tokio::time::timeout(GRACE, async {
            while !path.exists() {
                sleep(Duration::from_millis(5)).await;
            }
        });
        ready.await.context("no ready file")?;
        let facts: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        assert_eq!(facts["ingress_url"], "http://127.0.0.1:1");
        assert_eq!(facts["pid"], std::process::id());
        assert!(facts["metrics_url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        // `Process::run` listens for it, so it does not kill the tests.
        let pid = std::process::id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status()?.success());
        context.shutdown.cancelled().await;
        Ok(())
    });
    assert_eq!(code, ExitCode::SUCCESS);
}
