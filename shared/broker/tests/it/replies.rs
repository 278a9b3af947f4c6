//! What those who wait for an execution hear of its end.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use recado_broker::topology::{INBOUND, reply_queue};
use recado_broker::{Config, Link};
use recado_messages::ExecutionFinished;
use recado_testkit::vhost;
use recado_types::{ExecutionId, SessionId};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Amqp, Bench, SOON, comes_to, is_up, notes};

/// News of the end of execution `n`.
fn news(n: u128) -> ExecutionFinished {
    let session_id = SessionId(Uuid::from_u128(1_000 + n));
    ExecutionFinished { session_id, execution_id: ExecutionId(Uuid::from_u128(n)) }
}

#[tokio::test]
async fn news_reaches_all_who_wait_for_it_each_time() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let replies = bench.listen(reply_queue("me")).await?;
    let execution = news(1).execution_id;
    let (mut first, mut second) = (replies.wait_for(execution), replies.wait_for(execution));
    let mut other = replies.wait_for(news(2).execution_id);
    for _ in 0..2 {
        bench.publisher.reply(replies.queue(), &news(1)).await?;
        timeout(SOON, first.news()).await?;
        timeout(SOON, second.news()).await?;
    }
    // What comes later comes later: the other's news would have been here by now.
    assert!(timeout(Duration::ZERO, other.news()).await.is_err(), "it is not for this one");
    drop((first, second, other));
    bench.finish().await
}

#[tokio::test]
async fn a_reply_that_nobody_waits_for_is_no_error() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    let long = "x".repeat(1_000);
    for queue in [reply_queue("gone"), long] {
        bench.publisher.reply(&queue, &news(1)).await?;
    }
    // With a queue but no waiter it is dropped there, and those after it arrive.
    let replies = bench.listen(reply_queue("me")).await?;
    let mut waiter = replies.wait_for(news(2).execution_id);
    for n in [1, 2] {
        bench.publisher.reply(replies.queue(), &news(n)).await?;
    }
    timeout(SOON, waiter.news()).await?;
    drop(waiter);
    bench.finish().await
}

#[tokio::test]
async fn a_reply_to_nobody_does_not_disturb_its_neighbours() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    let gone = reply_queue("gone");
    for note in notes(50) {
        let lost = news(note.n.into());
        let both =
            tokio::join!(bench.publisher.reply(&gone, &lost), bench.publisher.publish(&note));
        assert!(matches!(both, (Ok(()), Ok(()))), "{both:?}");
    }
    amqp.counts(INBOUND.name, 50).await?;
    bench.finish().await
}

#[tokio::test]
async fn what_cannot_be_read_is_dropped() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let replies = bench.listen(reply_queue("me")).await?;
    let mut waiter = replies.wait_for(news(1).execution_id);
    bench.publisher.reply(replies.queue(), &notes(1)[0]).await?;
    bench.publisher.reply(replies.queue(), &news(1)).await?;
    timeout(SOON, waiter.news()).await?;
    drop(waiter);
    bench.finish().await
}

#[tokio::test]
async fn a_name_that_is_still_held_is_tried_again_until_it_is_free() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    // As our own connection does that we have lost and the broker has not.
    let late = Amqp::connect(vhost.url()).await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let name = reply_queue("me");
    late.channel.queue_declare(name.as_str().into(), exclusive, FieldTable::default()).await?;
    let replies = bench.start_to_listen(name);
    let is_locked = |link: &Link| {
        matches!(link, Link::Down { reason } if reason.contains("RESOURCE_LOCKED")
            || reason.contains("RESOURCE-LOCKED"))
    };
    comes_to(&replies.link(), "the name to be refused", is_locked).await?;
    late.connection.close(200, "bye".into()).await?;
    is_up(&replies.link()).await?;
    bench.finish().await
}

#[tokio::test]
async fn without_a_broker_it_waits_and_ends_on_shutdown() -> anyhow::Result<()> {
    let bench = Bench::with(Config::new("amqp://127.0.0.1:1", "test"));
    let replies = bench.start_to_listen(reply_queue("me"));
    let mut waiter = replies.wait_for(news(1).execution_id);
    assert!(timeout(Duration::from_millis(100), waiter.news()).await.is_err());
    bench.finish().await
}

#[tokio::test]
async fn after_shutdown_those_who_wait_still_get_their_news() -> anyhow::Result<()> {
    let vhost = vhost().await;
    // One process answers, the other one is asked to end.
    let (runner, bench) = (Bench::start(vhost.url()), Bench::start(vhost.url()));
    let replies = bench.listen(reply_queue("me")).await?;
    is_up(&runner.publisher.link()).await?;
    let mut waiter = replies.wait_for(news(1).execution_id);
    bench.shut_down();
    runner.publisher.reply(replies.queue(), &news(1)).await?;
    timeout(SOON, waiter.news()).await?;
    drop(waiter);
    bench.finish().await?;
    runner.finish().await
}
