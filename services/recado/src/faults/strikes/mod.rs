//! What happens to the system while the load goes on.

mod clock;
mod network;
mod outside;
mod roles;
mod senders;
mod servers;

use std::ops::Range;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;
use recado_testkit::app::TestApp;

use super::load::Load;
use super::rows::Fault;

/// Where a fault strikes, when, and what is to be said about it.
pub(super) struct Stage<'a> {
    pub(super) app: &'a mut TestApp,
    pub(super) load: &'a Load,
    pub(super) notes: Vec<String>,
    rng: StdRng,
    lasting: Duration,
    until: Instant,
}

/// How it went.
pub(super) enum Struck {
    /// The fault was there, and is over.
    Done,
    /// It cannot be tried here.
    Skipped(String),
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        app: &'a mut TestApp,
        load: &'a Load,
        rng: StdRng,
        lasting: Duration,
    ) -> Self {
        let until = Instant::now() + lasting;
        Self { app, load, notes: Vec::new(), rng, lasting, until }
    }

    /// Whether the time of this fault is not over yet.
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// One of so many.
    fn one_of(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n.max(1))
    }

    /// Waits for a random time of so many milliseconds.
    async fn moment(&mut self, ms: Range<u64>) {
        let ms = self.rng.random_range(ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Lets a fault happen, at least once and then for as long as the stage says.
pub(super) async fn strike(fault: Fault, stage: &mut Stage<'_>) -> anyhow::Result<Struck> {
    match fault {
        Fault::Nothing => tokio::time::sleep(stage.lasting).await,
        Fault::KillRole(role) => roles::kill(stage, role).await?,
        Fault::KillAllRoles => roles::kill_all(stage).await?,
        Fault::FreezeRole(role) => roles::freeze(stage, role).await?,
        Fault::RollingRestart => roles::restart_one_by_one(stage).await?,
        Fault::ClockOf(role) => return clock::jump(stage, role).await,
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
        Fault::Missing(why) => return Ok(Struck::Skipped(why.to_owned())),
    }
    Ok(Struck::Done)
}
