//! What ingress holds in memory: with many connections that say nothing, with many triggers that
//! it remembers, and with both.
//!
//! Each begins with a process that has just been started, so that nothing hides in memory which a
//! load before has left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::fixtures;
use super::http1::Wire;
use super::load::{self, IN_FLIGHT};
use super::message::Target;
use super::report::Figure;
use super::system::System;
use super::{count, progress, ratio};

const CONNECTIONS: usize = 10_000;

/// As many as ingress keeps, unless configured otherwise.
const TRIGGERS: usize = 100_000;

/// What is freed after the last answer is freed by then.
const AFTERMATH: Duration = Duration::from_secs(1);

const KIB_PER_MIB: f64 = 1024.0;

/// Lets this process, and those that it starts, open as many files as the operator allows.
pub(super) fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it is refused, fewer connections are opened, and that is reported.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Measures. To be the last phase: ingress is another process afterwards.
pub(super) async fn measure(system: &mut System) -> anyhow::Result<Vec<Figure>> {
    progress("making triggers");
    let targets = system.fixtures.triggers(TRIGGERS, fixtures::unanswered()).await?;
    let targets: Arc<[Arc<Target>]> = targets.into();
    system.pause_workers()?;
    let measured = Box::pin(grow(system, &targets)).await;
    let purged = system.purge().await;
    system.resume_workers()?;
    purged?;
    measured
}

async fn grow(system: &mut System, targets: &Arc<[Arc<Target>]>) -> anyhow::Result<Vec<Figure>> {
    progress("opening connections to ingress");
    system.restart_ingress().await?;
    let fresh = settled_mib(system).await?;
    let idle = connect(CONNECTIONS, targets).await?;
    let with_connections = settled_mib(system).await?;
    let n_connections = count(idle.len());
    drop(idle);

    progress("posting to every trigger");
    system.restart_ingress().await?;
    post_to_each(targets).await?;
    let with_triggers = settled_mib(system).await?;
    let idle = connect(CONNECTIONS, targets).await?;
    let with_both = settled_mib(system).await?;
    let n_both = count(idle.len());
    drop(idle);

    let each = |mib: f64, n: f64| ratio((mib - fresh) * KIB_PER_MIB, n);
    Ok(vec![
        Figure::new("ingress just started: resident", fresh, "MiB"),
        Figure::new("  idle connections", n_connections, ""),
        Figure::new("  resident with them", with_connections, "MiB"),
        Figure::new("  each", each(with_connections, n_connections), "KiB"),
        Figure::new("ingress just started: cached triggers", count(targets.len()), ""),
        Figure::new("  resident with them", with_triggers, "MiB"),
        Figure::new("  each", each(with_triggers, count(targets.len())), "KiB"),
        Figure::new("  and idle connections", n_both, ""),
        Figure::new("  resident with both", with_both, "MiB"),
    ])
}

async fn settled_mib(system: &System) -> anyhow::Result<f64> {
    tokio::time::sleep(AFTERMATH).await;
    system.ingress_mib()
}

/// Opens `n` connections, or as many as there can be, and posts once over each: they are idle as a
/// gateway's are between two messages.
async fn connect(n: usize, targets: &Arc<[Arc<Target>]>) -> anyhow::Result<Vec<Wire>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut opening = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (next, targets) = (Arc::clone(&next), Arc::clone(targets));
        opening.spawn(async move {
            let mut opened = Vec::new();
            while let number = next.fetch_add(1, Ordering::Relaxed)
                && number < n
            {
                // A few triggers are enough: these are not what is measured.
                let target = &targets[number % IN_FLIGHT];
                let Ok(stream) = TcpStream::connect(target.address).await else { break };
                let mut wire = Some(Wire::new(stream)?);
                accept(&mut wire, target, number).await?;
                opened.extend(wire);
            }
            Ok::<_, anyhow::Error>(opened)
        });
    }
    let opened = opening.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(opened.into_iter().flatten().collect())
}

/// Posts once to each trigger, so that it is looked up, compiled and remembered.
async fn post_to_each(targets: &Arc<[Arc<Target>]>) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut posting = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (next, targets) = (Arc::clone(&next), Arc::clone(targets));
        posting.spawn(async move {
            let mut wire = None;
            while let number = next.fetch_add(1, Ordering::Relaxed)
                && let Some(target) = targets.get(number)
            {
                accept(&mut wire, target, number).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    posting.join_all().await.into_iter().collect()
}

async fn accept(wire: &mut Option<Wire>, target: &Target, number: usize) -> anyhow::Result<()> {
    let request = target.request(number, number);
    match load::post(wire, target, &request).await.context("a post failed")? {
        200..300 => Ok(()),
        status => bail!("a post was answered {status}"),
    }
}
