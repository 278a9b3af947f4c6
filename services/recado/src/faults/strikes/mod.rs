//! What happens to the system while the load goes on.

mod clock;
mod network;
mod outside;
mod roles;
mod senders;
mod servers;

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::RngExt as _;
use rand::rngs::StdRng;
use recado_testkit::app::TestApp;
use recado_testkit::disk::SmallDisk;
use recado_testkit::skew::SkewedClock;

use super::load::Load;
use super::rows::Fault;

/// Where a fault strikes, when, and what is to be said about it.
pub(super) struct Stage<'a> {
    pub(super) app: &'a mut TestApp,
    pub(super) load: &'a Load,
    pub(super) notes: Vec<String>,
    /// Who wrote meanwhile besides, and has stopped: to be judged like the load itself.
    pub(super) neighbours: Vec<Load>,
    rng: StdRng,
    lasting: Duration,
    until: Instant,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        app: &'a mut TestApp,
        load: &'a Load,
        rng: StdRng,
        lasting: Duration,
    ) -> Self {
        let until = Instant::now() + lasting;
        Self { app, load, notes: Vec::new(), neighbours: Vec::new(), rng, lasting, until }
    }

    /// Whether the time of this fault is not over yet.
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// One of so many.
    fn one_of(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n.max(1))
    }

    /// Notes how often a fault was there; never is a mistake, or the row would prove nothing.
    fn struck(&mut self, n: usize, what: &str) {
        self.notes.push(format!("{n} {what}"));
        if n == 0 {
            self.load.object(format!("nothing was tried: {n} {what}"));
        }
    }

    /// Waits for a random time of so many milliseconds.
    async fn moment(&mut self, ms: Range<u64>) {
        let ms = self.rng.random_range(ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Why a fault cannot be tried here, if so; an error if it could not be found out.
pub(super) fn obstacle(fault: Fault) -> anyhow::Result<Option<&'static str>> {
    Ok(match fault {
        Fault::Missing(why) => Some(why),
        Fault::ClockOf(_) if !SkewedClock::is_possible() => {
            Some("libfaketime is missing: run scripts/install-fault-tools.sh")
        }
        Fault::FullDisk(_) if !SmallDisk::may_be_mounted().context("failed to mount a disk")? => {
            Some("mounting is refused to this process")
        }
        _ => None,
    })
}

/// Lets a fault happen, at least once and then for as long as the stage says.
pub(super) async fn strike(fault: Fault, stage: &mut Stage<'_>) -> anyhow::Result<()> {
    match fault {
        Fault::Nothing => tokio::time::sleep(stage.lasting).await,
        Fault::KillRole(role) => roles::kill(stage, role).await?,
        Fault::KillAllRoles => roles::kill_all(stage).await?,
        Fault::FreezeRole(role) => roles::freeze(stage, role).await?,
        Fault::RollingRestart => roles::restart_one_by_one(stage).await?,
        Fault::ClockOf(role) => clock::jump(stage, role).await?,
        Fault::Kill(server) => servers::kill(stage, server).await?,
        Fault::Freeze(server) => servers::freeze(stage, server).await?,
        Fault::KillBackend => servers::kill_backend(stage).await?,
        Fault::FlushRedis => servers::flush_redis(stage).await?,
        Fault::FullRedis => servers::fill_redis(stage).await?,
        Fault::DiskAlarm => servers::disk_alarm(stage).await?,
        Fault::MemoryAlarm => servers::memory_alarm(stage).await?,
        Fault::ConsumerTimeout => servers::consumer_timeout(stage).await?,
        Fault::WipeRabbitMq => servers::wipe_rabbitmq(stage).await?,
        Fault::FullDisk(server) => servers::fill_disk(stage, server).await?,
        Fault::Network(server, network) => network::misbehave(stage, server, network).await,
        Fault::Callbacks(kind) => outside::callbacks(stage, kind).await?,
        Fault::HangingModel => outside::hanging_model(stage).await?,
        Fault::Poison => senders::poison(stage).await?,
        Fault::Duplicates => senders::duplicates(stage).await?,
        Fault::Missing(why) => anyhow::bail!("{why}"),
    }
    Ok(())
}
