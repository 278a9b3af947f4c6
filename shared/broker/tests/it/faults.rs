//! The broker is killed, wiped, blocked and frozen, under load, on servers of these tests' own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use recado_broker::topology::{INBOUND, reply_queue};
use recado_broker::{Config, Link, PublishError};
use recado_messages::ExecutionFinished;
use recado_testkit::scratch::ScratchDir;
use recado_testkit::servers::RabbitMq;
use recado_testkit::wait_for;
use recado_types::{ExecutionId, SessionId};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::support::{
    Amqp, Bench, Note, Reaction, Recorder, SOON, comes_to, is_down, is_up, notes,
};

const AUTHORS: u32 = 8;

/// Writes notes, one after the other, each again until it is confirmed. Returns how many.
async fn write(bench: Arc<Bench>, author: u32, stop: CancellationToken) -> u32 {
    let mut n = 0;
    while !stop.is_cancelled() {
        if bench.publisher.publish(&Note { author, n }).await.is_ok() {
            n += 1;
        }
    }
    n
}

/// Where a message was first seen must be after where the one before it was.
fn assert_in_order(taken: &[Note], written: &[u32]) {
    let mut first_seen = HashMap::new();
    for (position, note) in taken.iter().enumerate() {
        first_seen.entry(*note).or_insert(position);
    }
    for (author, n_notes) in (0..).zip(written) {
        let positions: Vec<_> =
            (0..*n_notes).map(|n| first_seen.get(&Note { author, n }).copied()).collect();
        assert!(positions.iter().all(Option::is_some), "author {author} lost a message");
        assert!(positions.is_sorted(), "author {author}'s messages came in another order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_loses_nothing_and_keeps_the_order() -> anyhow::Result<()> {
    let scratch = ScratchDir::new()?;
    let mut server = RabbitMq::start(scratch.path()).await?;
    let bench = Arc::new(Bench::start(&server.url()));
    let recorder = Recorder::new(|_| Reaction::Take);
    let consuming = bench.consume(&INBOUND, &recorder).await?;
    is_up(&bench.publisher.link()).await?;

    let (writers, stop) = (TaskTracker::new(), CancellationToken::new());
    let written: Vec<_> = (0..AUTHORS)
        .map(|author| writers.spawn(write(Arc::clone(&bench), author, stop.clone())))
        .collect();
    for _ in 0..2 {
        let before = recorder.taken().len();
        recorder.has_taken(before + 200).await?;
        server.kill()?;
        is_down(&consuming).await?;
        is_down(&bench.publisher.link()).await?;
        server.restart().await?;
        is_up(&consuming).await?;
        is_up(&bench.publisher.link()).await?;
    }
    let before = recorder.taken().len();
    recorder.has_taken(before + 200).await?;
    stop.cancel();
    let written: Vec<u32> = join_all(written).await.into_iter().collect::<Result<_, _>>()?;

    let amqp = Amqp::connect(&server.url()).await?;
    let last: Vec<Note> = (0..AUTHORS)
        .zip(&written)
        .filter_map(|(author, n)| Some(Note { author, n: n.checked_sub(1)? }))
        .collect();
    let all = async || {
        let taken = recorder.taken();
        last.iter().all(|note| taken.contains(note)).then_some(taken)
    };
    assert_in_order(&wait_for("the last of each author", SOON, all).await?, &written);
    Arc::into_inner(bench).expect("the writers are done").finish().await?;
    amqp.counts(INBOUND.name, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_broker_gets_its_topology_back() -> anyhow::Result<()> {
    let scratch = ScratchDir::new()?;
    let mut server = RabbitMq::start(scratch.path()).await?;
    let bench = Bench::start(&server.url());
    let recorder = Recorder::new(|_| Reaction::Take);
    let consuming = bench.consume(&INBOUND, &recorder).await?;
    bench.publish(&notes(5)).await?;
    recorder.has_taken(5).await?;

    server.kill()?;
    is_down(&consuming).await?;
    is_down(&bench.publisher.link()).await?;
    server.wipe().await?;
    is_up(&consuming).await?;
    bench.publish(&notes(10)[5..]).await?;
    assert_eq!(recorder.has_taken(10).await?, notes(10));
    bench.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_broker_is_told_at_once_and_consumption_goes_on() -> anyhow::Result<()> {
    let scratch = ScratchDir::new()?;
    let server = RabbitMq::start(scratch.path()).await?;
    let bench = Bench::start(&server.url());
    let publishing = bench.publisher.link();
    bench.publish(&notes(200)).await?;
    server.set_disk_free_limit(1 << 60).await?;

    // The broker tells us once we publish something.
    let publish = async || {
        let started = Instant::now();
        let outcome = bench.publisher.publish(&Note { author: 1, n: 0 }).await;
        assert!(started.elapsed() < Duration::from_secs(1), "{outcome:?}: {:?}", started.elapsed());
        (*publishing.borrow() == Link::Blocked).then_some(outcome)
    };
    let outcome = wait_for("the broker to block us", SOON, publish).await?;
    assert!(matches!(outcome, Err(PublishError::Timeout)), "{outcome:?}");
    let started = Instant::now();
    let outcome = bench.publisher.publish(&Note { author: 2, n: 0 }).await;
    assert!(matches!(outcome, Err(PublishError::Blocked)), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_millis(500), "took {:?}", started.elapsed());

    let recorder = Recorder::new(|_| Reaction::Take);
    let consuming = bench.consume(&INBOUND, &recorder).await?;
    assert_eq!(recorder.has_taken(200).await?[..200], notes(200));
    assert!(consuming.borrow().is_up());
    assert_eq!(*publishing.borrow(), Link::Blocked);

    server.set_disk_free_limit(0).await?;
    is_up(&publishing).await?;
    let late = Note { author: 3, n: 0 };
    bench.publish(&[late]).await?;
    let seen = async || recorder.taken().contains(&late).then_some(());
    wait_for("a message after the alarm", SOON, seen).await?;
    let unblocked = Note { author: 2, n: 0 };
    assert!(!recorder.taken().contains(&unblocked), "what was refused was not sent");
    bench.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_is_noticed_and_comes_back() -> anyhow::Result<()> {
    let scratch = ScratchDir::new()?;
    let server = RabbitMq::start(scratch.path()).await?;
    let mut config = Config::new(server.url(), "test");
    config.heartbeat = Duration::from_secs(1);
    let bench = Bench::with(config);
    let recorder = Recorder::new(|_| Reaction::Take);
    let consuming = bench.consume(&INBOUND, &recorder).await?;
    bench.publish(&notes(5)).await?;

    server.stop()?;
    let started = Instant::now();
    let outcome = bench.publisher.publish(&Note { author: 1, n: 0 }).await;
    let unknown = outcome.as_ref().is_err_and(PublishError::is_outcome_unknown);
    assert!(unknown, "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "took {:?}", started.elapsed());
    is_down(&consuming).await?;
    is_down(&bench.publisher.link()).await?;

    server.cont()?;
    comes_to(&consuming, "the consumer to be back", Link::is_up).await?;
    bench.publish(&[Note { author: 2, n: 0 }]).await?;
    let seen = async || recorder.taken().contains(&Note { author: 2, n: 0 }).then_some(());
    wait_for("a message after the freeze", SOON, seen).await?;
    bench.finish().await
}

const NEWS: ExecutionFinished = ExecutionFinished {
    session_id: SessionId(Uuid::from_u128(1)),
    execution_id: ExecutionId(Uuid::from_u128(2)),
};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_replies_arrive_again() -> anyhow::Result<()> {
    let scratch = ScratchDir::new()?;
    let mut server = RabbitMq::start(scratch.path()).await?;
    let bench = Bench::start(&server.url());
    let replies = bench.listen(reply_queue("me")).await?;
    let mut waiter = replies.wait_for(NEWS.execution_id);

    server.kill()?;
    is_down(&replies.link()).await?;
    is_down(&bench.publisher.link()).await?;
    server.restart().await?;
    timeout(SOON, waiter.news()).await.expect("whoever may have missed news is told to look");
    is_up(&bench.publisher.link()).await?;
    bench.publisher.reply(replies.queue(), &NEWS).await?;
    timeout(SOON, waiter.news()).await?;
    drop(waiter);
    bench.finish().await
}

/// Whether the broker has a queue called `name`, those that belong to one connection included.
async fn has_queue(server: &RabbitMq, name: &str) -> Option<bool> {
    let queues = server.ctl(&["list_queues", "name", "--silent"]).await.ok()?;
    Some(queues.lines().any(|line| line.trim() == name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_queue_goes_with_its_connection_and_comes_with_the_next() -> anyhow::Result<()> {
    let scratch = ScratchDir::new()?;
    let server = RabbitMq::start(scratch.path()).await?;
    let bench = Bench::start(&server.url());
    let name = reply_queue("me");
    let process = Runtime::new()?;
    let replies = {
        let _in_the_process = process.enter();
        bench.start_to_listen(name.clone())
    };
    is_up(&replies.link()).await?;
    is_up(&bench.publisher.link()).await?;

    let mut waiter = replies.wait_for(NEWS.execution_id);
    server.ctl(&["close_all_connections", "a test"]).await?;
    timeout(SOON, waiter.news()).await.expect("whoever may have missed news is told to look");
    let reply = async || {
        bench.publisher.reply(replies.queue(), &NEWS).await.ok()?;
        timeout(Duration::from_secs(1), waiter.news()).await.ok()
    };
    wait_for("news over a new connection", SOON, reply).await?;
    assert_eq!(has_queue(&server, &name).await, Some(true));

    // As SIGKILL would.
    process.shutdown_background();
    let is_gone = async || has_queue(&server, &name).await.filter(|has| !has);
    wait_for("the queue to be gone", SOON, is_gone).await?;
    bench.publisher.reply(&name, &NEWS).await?;
    drop(waiter);
    bench.finish().await
}
