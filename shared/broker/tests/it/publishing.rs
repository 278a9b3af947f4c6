//! What "published" means.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use lapin::options::QueueDeleteOptions;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use recado_broker::topology::INBOUND;
use recado_broker::{Config, Handler, Link, OnError, PublishError, Received};
use recado_messages::Message;
use recado_testkit::{vhost, wait_for};
use recado_types::SessionId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use uuid::Uuid;

use crate::support::{Amqp, Bench, Letter, NOTES, Note, Reaction, Recorder, SOON, is_up, notes};

#[tokio::test]
async fn what_is_confirmed_arrives_once_and_in_order() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let recorder = Recorder::new(|_| Reaction::Take);
    bench.consume(&NOTES, &recorder).await?;

    // More than one flight.
    let notes = notes(600);
    bench.publish(&notes).await?;
    assert_eq!(recorder.has_taken(600).await?, notes);

    bench.finish().await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    assert_eq!(amqp.count(NOTES.name).await?, 0, "all is acknowledged");
    Ok(())
}

/// What each author wrote must have been taken in the order of its numbers.
fn assert_in_order(taken: &[Note]) {
    for author in taken.iter().map(|note| note.author).collect::<HashSet<_>>() {
        let numbers: Vec<u32> =
            taken.iter().filter(|note| note.author == author).map(|note| note.n).collect();
        assert!(numbers.is_sorted(), "author {author}: {numbers:?}");
    }
}

/// Publishes notes of seven authors, a few per call, all calls overlapping but begun in order: in
/// a test with one thread, tasks start in the order in which they are spawned.
async fn publish_overlapping(bench: &Bench, n_calls: u32, n_each: u32) -> anyhow::Result<()> {
    let tasks = TaskTracker::new();
    let calls: Vec<_> = (0..n_calls)
        .map(|call| {
            let publisher = bench.publisher.clone();
            tasks.spawn(async move {
                let numbers = call * n_each..(call + 1) * n_each;
                let notes: Vec<Note> = numbers.map(|n| Note { author: n % 7, n }).collect();
                publisher.publish_all(&notes).await
            })
        })
        .collect();
    for outcomes in join_all(calls).await {
        let outcomes = outcomes?;
        assert_eq!(outcomes.len(), n_each as usize);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn overlapping_publications_keep_the_order_of_each_session() -> anyhow::Result<()> {
    for (n_calls, n_each) in [(2000, 1), (10, 300)] {
        let vhost = vhost().await;
        let bench = Bench::start(vhost.url());
        let recorder = Recorder::new(|_| Reaction::Take);
        bench.consume(&NOTES, &recorder).await?;
        is_up(&bench.publisher.link()).await?;
        publish_overlapping(&bench, n_calls, n_each).await?;
        assert_in_order(&recorder.has_taken((n_calls * n_each) as usize).await?);
        bench.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn those_who_wait_for_a_connection_keep_their_order() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let mut config = Config::new(vhost.url(), "test");
    config.publish_timeout = SOON;
    let bench = Bench::with(config);
    // The connection takes longer than to begin all of them.
    publish_overlapping(&bench, 300, 1).await?;
    let recorder = Recorder::new(|_| Reaction::Take);
    bench.consume(&INBOUND, &recorder).await?;
    assert_in_order(&recorder.has_taken(300).await?);
    bench.finish().await
}

#[tokio::test]
async fn what_is_too_large_is_not_sent_and_takes_nobody_along() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let recorder = Recorder::new(|_| Reaction::Take);
    bench.consume(&NOTES, &recorder).await?;
    is_up(&bench.publisher.link()).await?;
    let sizes = [10, 8 << 20, 10];
    let letters: Vec<_> =
        sizes.iter().zip(notes(3)).map(|(size, note)| Letter::new(note, *size)).collect();
    let outcomes = bench.publisher.publish_all(&letters).await;
    assert!(matches!(outcomes[..], [Ok(()), Err(PublishError::TooLarge { .. }), Ok(())]));
    assert!(!outcomes[1].as_ref().is_err_and(PublishError::is_outcome_unknown));
    assert_eq!(recorder.has_taken(2).await?, [notes(3)[0], notes(3)[2]]);
    bench.finish().await
}

#[tokio::test]
async fn large_messages_take_several_flights_and_keep_their_order() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let mut config = Config::new(vhost.url(), "test");
    config.publish_timeout = SOON;
    let bench = Bench::with(config);
    let recorder = Recorder::new(|_| Reaction::Take);
    bench.consume(&NOTES, &recorder).await?;
    is_up(&bench.publisher.link()).await?;
    let publish = async |note| bench.publisher.publish(&Letter::new(note, 3 << 20)).await;
    let outcomes = join_all(notes(12).into_iter().map(publish)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(recorder.has_taken(12).await?, notes(12));
    bench.finish().await
}

#[tokio::test]
async fn many_tasks_share_the_channels() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    let started = Instant::now();
    let publishing = (0..2000).map(async |n| bench.publisher.publish(&Note { author: n, n }).await);
    let outcomes = join_all(publishing).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    // One by one they would take longer than that.
    assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
    bench.finish().await
}

#[derive(Serialize, Deserialize)]
struct Unwanted;

impl Message for Unwanted {
    const ROUTING_KEY: &'static str = "nobody.asked";

    fn message_id(&self) -> Uuid {
        Uuid::nil()
    }

    fn session_id(&self) -> SessionId {
        SessionId(Uuid::nil())
    }
}

#[tokio::test]
async fn an_unroutable_message_is_an_error_and_its_neighbours_are_not() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    is_up(&bench.publisher.link()).await?;
    let pairs = notes(300).into_iter().map(async |note| {
        join(bench.publisher.publish(&Unwanted), bench.publisher.publish(&note)).await
    });
    for (unwanted, wanted) in join_all(pairs).await {
        assert!(matches!(unwanted, Err(PublishError::Unroutable)), "{unwanted:?}");
        assert!(wanted.is_ok(), "{wanted:?}");
    }
    bench.finish().await
}

#[tokio::test]
async fn a_queue_that_vanished_is_declared_again() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    bench.publish(&notes(1)).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    amqp.channel.queue_delete(INBOUND.name.into(), QueueDeleteOptions::default()).await?;

    let outcome = bench.publisher.publish(&Note { author: 0, n: 1 }).await;
    assert!(matches!(outcome, Err(PublishError::Unroutable)), "{outcome:?}");
    let publish = async || bench.publisher.publish(&Note { author: 0, n: 1 }).await.ok();
    wait_for("the queue to be back", Duration::from_secs(10), publish).await?;
    bench.finish().await
}

#[tokio::test]
async fn without_a_broker_publishing_fails_within_its_timeout() -> anyhow::Result<()> {
    let mut config = Config::new("amqp://127.0.0.1:1", "test");
    config.publish_timeout = Duration::from_millis(300);
    let bench = Bench::with(config);
    let started = Instant::now();
    let outcome = bench.publisher.publish(&Note { author: 0, n: 0 }).await;
    assert!(matches!(outcome, Err(PublishError::Unavailable)), "{outcome:?}");
    let took = started.elapsed();
    assert!((300..2000).contains(&took.as_millis()), "took {took:?}");
    assert!(matches!(&*bench.publisher.link().borrow(), Link::Down { .. }));
    bench.finish().await
}

#[tokio::test]
async fn after_shutdown_publishing_fails_at_once() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    bench.publish(&notes(1)).await?;
    let publisher = bench.publisher.clone();
    bench.finish().await?;
    let started = Instant::now();
    let outcome = publisher.publish(&Note { author: 0, n: 1 }).await;
    assert!(matches!(outcome, Err(PublishError::Unavailable)), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(1));
    Ok(())
}

/// Sends the trace of each message back.
struct TraceOf(mpsc::UnboundedSender<String>);

impl Handler for TraceOf {
    type Message = Note;
    type Error = std::io::Error;

    async fn handle(&self, batch: Vec<Received<Note>>) -> Result<(), Self::Error> {
        for received in batch {
            let parent = received.trace.as_ref().map(|trace| trace.parent().to_owned());
            self.0.send(parent.unwrap_or_default()).map_err(std::io::Error::other)?;
        }
        Ok(())
    }

    fn on_error(&self, _: &Self::Error) -> OnError {
        OnError::Hold
    }
}

#[tokio::test]
async fn the_trace_travels_with_the_message() -> anyhow::Result<()> {
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    recado_trace::switch_on();

    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let (sender, mut traces) = mpsc::unbounded_channel();
    bench.consume(&NOTES, &std::sync::Arc::new(TraceOf(sender))).await?;
    let span = tracing::info_span!("request");
    let trace = span.context().span().span_context().trace_id().to_string();
    bench.publish(&notes(1)).instrument(span).await?;
    let parent = traces.recv().await.unwrap_or_default();
    assert!(parent.starts_with(&format!("00-{trace}-")), "{parent}");
    bench.finish().await
}
