//! What becomes of messages that cannot be handled, and of their neighbours.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::StreamExt;
use lapin::BasicProperties;
use lapin::options::BasicConsumeOptions;
use lapin::types::{FieldTable, ShortString};
use recado_broker::topology::INBOUND;
use recado_testkit::{vhost, wait_for};

use crate::support::{Amqp, Bench, NOTES, Note, Reaction, Recorder, SOON, notes, text};

#[tokio::test]
async fn what_cannot_be_read_is_dead_lettered_and_its_neighbours_pass() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let recorder = Recorder::new(|_| Reaction::Take);
    bench.consume(&NOTES, &recorder).await?;
    let amqp = Amqp::connect(vhost.url()).await?;

    let notes = notes(20);
    bench.publish(&notes[..10]).await?;
    let id = BasicProperties::default().with_message_id("odd".into()).with_expiration("9".into());
    amqp.publish(b"{\"author\": \xff", id).await?;
    bench.publish(&notes[10..]).await?;

    assert_eq!(recorder.has_taken(20).await?, notes);
    let dead = amqp.take(&NOTES.dead_letter_queue()).await?;
    assert_eq!(dead.data, b"{\"author\": \xff");
    assert_eq!(dead.properties.message_id().as_ref().map(ShortString::as_str), Some("odd"));
    assert_eq!(text(&dead, "recado-reason").as_deref(), Some("undecodable"));
    assert_eq!(text(&dead, "recado-queue").as_deref(), Some(NOTES.name));
    assert!(text(&dead, "recado-error").is_some_and(|error| error.contains("line 1")));
    bench.finish().await?;
    amqp.counts(NOTES.name, 0).await
}

/// Gives way to nothing but the thirteenth.
async fn the_thirteenth_is_given_up(how: Reaction, reason: &str) -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let attempts = std::sync::Arc::new(AtomicUsize::new(0));
    let seen = std::sync::Arc::clone(&attempts);
    let recorder = Recorder::new(move |note| {
        if note.n != 13 {
            return Reaction::Take;
        }
        seen.fetch_add(1, Ordering::Relaxed);
        how
    });
    bench.consume(&NOTES, &recorder).await?;
    bench.publish(&notes(40)).await?;

    let taken = recorder.has_taken(39).await?;
    let expected: Vec<Note> = notes(40).into_iter().filter(|note| note.n != 13).collect();
    assert_eq!(taken, expected, "each once, in order");

    let amqp = Amqp::connect(vhost.url()).await?;
    let dead = amqp.take(&NOTES.dead_letter_queue()).await?;
    assert_eq!(serde_json::from_slice::<Note>(&dead.data)?, Note { author: 0, n: 13 });
    assert_eq!(text(&dead, "recado-reason").as_deref(), Some(reason));
    let attempts = attempts.load(Ordering::Relaxed);
    assert!((2..=3).contains(&attempts), "alone twice, in a batch at most once: {attempts}");
    bench.finish().await?;
    amqp.counts(NOTES.name, 0).await?;
    assert_eq!(recorder.taken().len(), 39, "a retry brings nobody else back");
    Ok(())
}

#[tokio::test]
async fn a_message_that_fails_alone_is_retried_and_then_dead_lettered() -> anyhow::Result<()> {
    the_thirteenth_is_given_up(Reaction::Fail, "failed").await
}

#[tokio::test]
async fn a_panic_is_contained() -> anyhow::Result<()> {
    the_thirteenth_is_given_up(Reaction::Panic, "panicked").await
}

#[tokio::test]
async fn a_retried_message_may_succeed() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let attempts = AtomicUsize::new(0);
    let recorder = Recorder::new(move |_| match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => Reaction::Fail,
        _ => Reaction::Take,
    });
    bench.consume(&NOTES, &recorder).await?;
    bench.publish(&notes(1)).await?;
    assert_eq!(recorder.has_taken(1).await?, notes(1));
    bench.finish().await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    assert_eq!(amqp.count(&NOTES.dead_letter_queue()).await?, 0);
    Ok(())
}

#[tokio::test]
async fn held_messages_keep_their_order_and_nothing_overtakes_them() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let (is_away, attempts) = (AtomicBool::new(true), AtomicUsize::new(0));
    let state = std::sync::Arc::new((is_away, attempts));
    let seen = std::sync::Arc::clone(&state);
    let recorder = Recorder::new(move |_| {
        seen.1.fetch_add(1, Ordering::Relaxed);
        if seen.0.load(Ordering::Relaxed) { Reaction::Hold } else { Reaction::Take }
    });
    bench.consume(&NOTES, &recorder).await?;
    let notes = notes(50);
    bench.publish(&notes[..25]).await?;
    let tried = async || (state.1.load(Ordering::Relaxed) >= 3).then_some(());
    wait_for("three attempts", SOON, tried).await?;
    bench.publish(&notes[25..]).await?;
    assert_eq!(recorder.taken(), []);

    state.0.store(false, Ordering::Relaxed);
    assert_eq!(recorder.has_taken(50).await?, notes);
    bench.finish().await
}

#[tokio::test]
async fn held_messages_are_given_back_on_shutdown() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let attempts = std::sync::Arc::new(AtomicUsize::new(0));
    let seen = std::sync::Arc::clone(&attempts);
    let recorder = Recorder::new(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        Reaction::Hold
    });
    bench.consume(&INBOUND, &recorder).await?;
    bench.publish(&notes(10)).await?;
    let tried = async || (attempts.load(Ordering::Relaxed) >= 1).then_some(());
    wait_for("an attempt", SOON, tried).await?;
    bench.finish().await?;
    Amqp::connect(vhost.url()).await?.counts(INBOUND.name, 10).await
}

#[tokio::test]
async fn messages_that_came_back_are_handled_one_at_a_time() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    bench.publish(&notes(30)).await?;
    // A consumer that dies with the first ten in its hands.
    let crashing = Amqp::connect(vhost.url()).await?;
    crashing.channel.basic_qos(10, lapin::options::BasicQosOptions::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consuming =
        crashing.channel.basic_consume(INBOUND.name.into(), "".into(), options, arguments);
    let ten: Vec<_> = consuming.await?.take(10).collect().await;
    assert!(ten.iter().all(Result::is_ok));
    crashing.connection.close(200, "bye".into()).await?;

    let recorder = Recorder::new(|_| Reaction::Take);
    bench.consume(&INBOUND, &recorder).await?;
    assert_eq!(recorder.has_taken(30).await?, notes(30));
    let sizes = recorder.batch_sizes();
    assert_eq!(sizes[..10], [1; 10], "{sizes:?}");
    assert!(sizes.len() < 30, "the others come in batches: {sizes:?}");
    bench.finish().await
}
