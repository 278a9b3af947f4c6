//! What becomes of messages that cannot be handled, and of their neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::BasicProperties;
use lapin::options::BasicConsumeOptions;
use lapin::types::{FieldTable, ShortString};
use recado_broker::topology::{INBOUND, Queue, WORK};
use recado_broker::{Handler, OnError, Received};
use recado_messages::Message;
use recado_testkit::vhost;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::support::{Amqp, Bench, Letter, NOTES, Note, Reaction, Recorder, is_up, notes, text};

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
    let attempts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&attempts);
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
async fn a_batch_is_bounded_by_its_bytes() -> anyhow::Result<()> {
    const MIB: usize = 1 << 20;
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let attempts = AtomicUsize::new(0);
    // The second is held for a while, so that everything behind it is there when it is taken.
    let recorder = Recorder::new(move |note| match note.n {
        1 if attempts.fetch_add(1, Ordering::Relaxed) < 4 => Reaction::Hold,
        _ => Reaction::Take,
    });
    is_up(&bench.publisher.link()).await?;
    let sizes = [1, 4 * MIB, 5 * MIB, MIB, 2 * MIB, 2 * MIB, MIB, 1, 1];
    for (note, size) in notes(9).into_iter().zip(sizes) {
        bench.publisher.publish(&Letter::new(note, size)).await?;
    }
    bench.consume(&INBOUND, &recorder).await?;
    assert_eq!(recorder.has_taken(9).await?, notes(9));
    for batch in recorder.batches() {
        let n_bytes: usize = batch.iter().map(|note| sizes[note.n as usize]).sum();
        assert!(n_bytes <= 4 * MIB || batch.len() == 1, "{n_bytes} bytes: {batch:?}");
    }
    bench.finish().await
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
    let sizes: Vec<usize> = recorder.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes[..10], [1; 10], "{sizes:?}");
    assert!(sizes.len() < 30, "the others come in batches: {sizes:?}");
    bench.finish().await
}

static DEADLY: Queue = Queue {
    name: "test.deadly",
    exchange: WORK,
    routing_key: Note::ROUTING_KEY,
    delivery_limit: 3,
    single_active_consumer: true,
    retry_delays: &[Duration::from_millis(200)],
};

type React = fn(&Note) -> Reaction;

/// Handles everything but the fourth; with that one in hand it never gets anywhere.
struct Mortal {
    recorder: Arc<Recorder<React>>,
    dying: Arc<Notify>,
}

impl Handler for Mortal {
    type Message = Note;
    type Error = std::io::Error;

    async fn handle(&self, batch: Vec<Received<Note>>) -> Result<(), Self::Error> {
        if batch.iter().any(|received| received.message.n == 4) {
            self.dying.notify_one();
            return std::future::pending().await;
        }
        self.recorder.handle(batch).await.map_err(std::io::Error::other)
    }

    fn on_error(&self, _: &Self::Error) -> OnError {
        OnError::Hold
    }
}

#[tokio::test]
async fn a_message_that_kills_processes_is_dead_lettered_alone() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let recorder: Arc<Recorder<React>> = Recorder::new(|_| Reaction::Take);
    let amqp = Amqp::connect(vhost.url()).await?;
    for process in 0.. {
        assert!(process < 10, "it should be dead-lettered by now");
        let dying = Arc::new(Notify::new());
        let recorder = Arc::clone(&recorder);
        let mortal = Arc::new(Mortal { recorder, dying: Arc::clone(&dying) });
        // Everything of a process lives in its runtime, and ends with it, sockets included.
        let runtime = Runtime::new()?;
        let link = {
            let _inside = runtime.enter();
            Bench::start(vhost.url()).start_to_consume(&DEADLY, &mortal)
        };
        is_up(&link).await?;
        if process == 0 {
            bench.publish(&notes(10)).await?;
        }
        let died = tokio::time::timeout(Duration::from_secs(3), dying.notified()).await;
        runtime.shutdown_background();
        if died.is_err() {
            break;
        }
    }
    let dead = amqp.take(&DEADLY.dead_letter_queue()).await?;
    assert_eq!(serde_json::from_slice::<Note>(&dead.data)?, Note { author: 0, n: 4 });

    bench.consume(&DEADLY, &recorder).await?;
    let survivors: Vec<Note> = notes(10).into_iter().filter(|note| note.n != 4).collect();
    assert_eq!(recorder.has_taken(9).await?, survivors);
    assert_eq!(amqp.count(&DEADLY.dead_letter_queue()).await?, 0);
    bench.finish().await
}
