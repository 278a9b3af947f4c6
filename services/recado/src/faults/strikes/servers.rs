//! `PostgreSQL`, `RabbitMQ` and Redis: killed, frozen, full, wiped.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use recado_broker::topology;
use recado_testkit::app::PrivateServers;
use recado_testkit::servers::ServerError;
use recado_testkit::stub::Fault as OfStub;
use recado_testkit::{sql, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::Stage;
use crate::faults::rows::Server;

/// More than any disk has.
const TOO_MUCH: u64 = 1 << 60;

/// How long it may take until nothing is on its way to the database any more.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);

/// A server that has got over a full disk takes so many messages in this time.
const RECOVERED: usize = 5;
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);

/// Any client of the database but the one who asks.
const A_BACKEND: &str = "\
SELECT pid::bigint FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
 ORDER BY pid";

/// How `RabbitMQ` tells that it has closed a channel, in one version or the other.
const TIMED_OUT: [&str; 3] = [
    "waiting for a consumer acknowledgement timed out",
    "Consumer acknowledgement timed out",
    "timed out waiting for delivery acknowledgement",
];

fn kill_one(servers: &mut PrivateServers, server: Server) -> Result<(), ServerError> {
    match server {
        Server::Postgres => servers.postgres.kill(),
        Server::RabbitMq => servers.rabbitmq.kill(),
        Server::Redis => servers.redis.kill(),
    }
}

async fn start_one(servers: &mut PrivateServers, server: Server) -> Result<(), ServerError> {
    match server {
        Server::Postgres => servers.postgres.restart().await,
        Server::RabbitMq => servers.rabbitmq.restart().await,
        Server::Redis => servers.redis.restart().await,
    }
}

/// SIGKILL, some seconds without it, and up again with its data.
pub(super) async fn kill(stage: &mut Stage<'_>, server: Server) -> anyhow::Result<()> {
    loop {
        stage.moment(100..1_000).await;
        kill_one(stage.app.servers(), server)?;
        match server {
            Server::RabbitMq => stage.moment(2_900..3_100).await,
            Server::Postgres | Server::Redis => stage.moment(500..3_000).await,
        }
        start_one(stage.app.servers(), server).await?;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

/// SIGSTOP: its connections stay open, and nothing answers.
pub(super) async fn freeze(stage: &mut Stage<'_>, server: Server) -> anyhow::Result<()> {
    loop {
        stage.moment(100..1_000).await;
        let servers = stage.app.servers();
        match server {
            Server::Postgres => servers.postgres.stop()?,
            Server::RabbitMq => servers.rabbitmq.stop()?,
            Server::Redis => servers.redis.stop()?,
        }
        stage.moment(1_000..7_000).await;
        let servers = stage.app.servers();
        match server {
            Server::Postgres => servers.postgres.cont()?,
            Server::RabbitMq => servers.rabbitmq.cont()?,
            Server::Redis => servers.redis.cont()?,
        }
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

/// `PostgreSQL` ends all sessions when one dies, and recovers by itself.
pub(super) async fn kill_backend(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let mut n_killed = 0;
    loop {
        stage.moment(300..1_500).await;
        let url = stage.app.database_url();
        let offset = stage.one_of(10);
        let one = format!("{A_BACKEND} OFFSET {offset} LIMIT 1");
        // It may be recovering from the last one.
        if let Ok(pid) = sql::count(&url, &one).await {
            let pid = Pid::from_raw(i32::try_from(pid)?).context("a backend without a pid")?;
            // It may have ended meanwhile.
            n_killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
        }
        if !stage.goes_on() {
            break;
        }
    }
    stage.struck(n_killed, "backends killed");
    Ok(())
}

/// Between two of them lies less than a window: each falls into many open ones.
pub(super) async fn flush_redis(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    loop {
        stage.moment(30..250).await;
        stage.app.redis().command("FLUSHALL").await?;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

/// Nothing more may be written, everything may be read and deleted.
pub(super) async fn fill_redis(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    loop {
        stage.moment(100..1_000).await;
        stage.app.redis().command("CONFIG SET maxmemory 1").await?;
        stage.moment(1_000..3_000).await;
        stage.app.redis().command("CONFIG SET maxmemory 0").await?;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

/// Publishers are blocked; nothing may be acknowledged.
pub(super) async fn disk_alarm(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    loop {
        stage.app.servers().rabbitmq.set_disk_free_limit(TOO_MUCH).await?;
        no_false_acknowledgement(stage).await;
        stage.app.servers().rabbitmq.set_disk_free_limit(0).await?;
        stage.moment(100..1_000).await;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

/// The same for another reason.
pub(super) async fn memory_alarm(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let watermark = "set_vm_memory_high_watermark";
    loop {
        stage.app.servers().rabbitmq.ctl(&[watermark, "absolute", "1"]).await?;
        no_false_acknowledgement(stage).await;
        stage.app.servers().rabbitmq.ctl(&[watermark, "absolute", "1GB"]).await?;
        stage.moment(100..1_000).await;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

/// Lets the alarm reach everybody, and those under way be answered; then looks.
async fn no_false_acknowledgement(stage: &mut Stage<'_>) {
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = stage.load.ledger.n_acknowledged();
    stage.moment(1_500..3_000).await;
    let n_false = stage.load.ledger.n_acknowledged() - before;
    if n_false > 0 {
        stage.load.object(format!("{n_false} messages were acknowledged by a blocked broker"));
    }
}

/// Consumers hold what they cannot write, and `RabbitMQ` loses its patience with them.
pub(super) async fn consumer_timeout(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let before = n_timed_out(stage)?;
    set_consumer_timeout(stage, 1_000, 500).await?;
    stage.until = Instant::now() + stage.lasting;
    loop {
        stage.app.servers().postgres.stop()?;
        stage.moment(4_000..6_000).await;
        stage.app.servers().postgres.cont()?;
        stage.moment(500..1_500).await;
        if !stage.goes_on() {
            break;
        }
    }
    set_consumer_timeout(stage, 1_800_000, 60_000).await?;
    let after = n_timed_out(stage)?;
    stage.struck(after.saturating_sub(before), "channels timed out");
    Ok(())
}

/// How many channels `RabbitMQ` says to have closed because their consumers were too slow.
fn n_timed_out(stage: &mut Stage<'_>) -> anyhow::Result<usize> {
    let log = stage.app.servers().rabbitmq.dir().join("rabbitmq.log");
    let log = std::fs::read(log).context("RabbitMQ keeps no log")?;
    let log = String::from_utf8_lossy(&log);
    Ok(TIMED_OUT.iter().map(|told| log.matches(told).count()).sum())
}

/// Channels learn of it when they are opened, so all are.
async fn set_consumer_timeout(stage: &mut Stage<'_>, ms: u32, tick: u32) -> anyhow::Result<()> {
    let set = format!(
        "application:set_env(rabbit, consumer_timeout, {ms}), \
         application:set_env(rabbit, channel_tick_interval, {tick})."
    );
    let rabbitmq = &stage.app.servers().rabbitmq;
    rabbitmq.ctl(&["eval", &set]).await?;
    rabbitmq.ctl(&["close_all_connections", "settings have changed"]).await?;
    Ok(())
}

/// What only the broker knew would be lost: so nobody writes until it knows nothing alone.
pub(super) async fn wipe_rabbitmq(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    loop {
        // Answers wait in the database.
        let sink = &stage.load.cast.sink;
        sink.fail_always(OfStub::Delay(Duration::from_secs(3)));
        stage.load.acknowledges(10).await?;
        stage.load.pause(true);
        drained(stage).await?;
        stage.app.servers().rabbitmq.wipe().await?;
        stage.load.cast.heal();
        stage.load.pause(false);
        stage.load.acknowledges(10).await?;
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

async fn drained(stage: &Stage<'_>) -> anyhow::Result<()> {
    let url = stage.app.database_url();
    let [direct, buffered, scripted] = stage.load.cast.triggers();
    // Those of windows need not be in an execution yet.
    let written = format!(
        "SELECT count(*) FROM messages
          WHERE trigger_id IN ('{direct}', '{scripted}') AND execution_id IS NOT NULL
             OR trigger_id = '{buffered}'"
    );
    wait_for("the queues to be worked off", DRAINED_WITHIN, async || {
        let depths = stage.app.queue_depths().await.ok()?;
        let of = |name| depths.iter().find(|(queue, _)| queue == name).map_or(0, |(_, n)| *n);
        let n_written = sql::count(&url, &written).await.ok()?;
        let n_written = usize::try_from(n_written).ok()?;
        let waiting = of(topology::INBOUND.name) + of(topology::EXECUTIONS.name);
        (waiting == 0 && n_written >= stage.load.ledger.n_acknowledged()).then_some(())
    })
    .await
}

/// Not a byte is left; whoever ends because of that is started again when there is room.
pub(super) async fn fill_disk(stage: &mut Stage<'_>, server: Server) -> anyhow::Result<()> {
    loop {
        stage.moment(100..1_000).await;
        disk(stage, server).fill().context("the disk was not filled")?;
        stage.moment(3_000..6_000).await;
        disk(stage, server).free()?;
        let servers = stage.app.servers();
        let has_ended = match server {
            Server::Postgres => servers.postgres.has_ended()?,
            Server::RabbitMq => servers.rabbitmq.has_ended()?,
            Server::Redis => servers.redis.has_ended()?,
        };
        let comes_back = stage.load.acknowledges(RECOVERED);
        if has_ended || timeout(RECOVERED_WITHIN, comes_back).await.is_err() {
            stage.notes.push("the server had to be started again".to_owned());
            start_one(stage.app.servers(), server).await?;
        }
        if !stage.goes_on() {
            return Ok(());
        }
    }
}

fn disk<'a>(stage: &'a Stage<'_>, server: Server) -> &'a recado_testkit::disk::SmallDisk {
    let disks = stage.app.disks();
    match server {
        Server::Postgres | Server::Redis => &disks.postgres,
        Server::RabbitMq => &disks.rabbitmq,
    }
}
