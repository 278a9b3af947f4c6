//! Consumers that cannot handle anything: what becomes of their messages, and of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use recado_broker::Config;
use recado_broker::topology::{INBOUND, Queue, WORK};
use recado_messages::Message;
use recado_testkit::{vhost, wait_for};

use crate::support::{Amqp, Bench, NOTES, Note, Reaction, Recorder, SOON, notes};

/// What a handler depends on, and how often it was asked for.
#[derive(Default)]
struct Dependency {
    is_there: AtomicBool,
    n_attempts: AtomicUsize,
}

impl Dependency {
    fn react(&self) -> Reaction {
        self.n_attempts.fetch_add(1, Ordering::Relaxed);
        if self.is_there.load(Ordering::Relaxed) { Reaction::Take } else { Reaction::Hold }
    }

    fn recorder(self: &Arc<Self>) -> Arc<Recorder<impl Fn(&Note) -> Reaction + use<>>> {
        let dependency = Arc::clone(self);
        Recorder::new(move |_| dependency.react())
    }

    async fn was_tried(&self, n: usize) -> anyhow::Result<()> {
        let tried = async || (self.n_attempts.load(Ordering::Relaxed) >= n).then_some(());
        wait_for(&format!("{n} attempts"), SOON, tried).await
    }

    fn comes_back(&self) {
        self.is_there.store(true, Ordering::Relaxed);
    }
}

/// One that does not hold for long.
fn impatient(url: &str) -> Bench {
    let mut config = Config::new(url, "test");
    config.hold_for = Duration::from_millis(200);
    Bench::with(config)
}

#[tokio::test]
async fn held_messages_keep_their_order_and_nothing_overtakes_them() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let dependency = Arc::new(Dependency::default());
    let recorder = dependency.recorder();
    bench.consume(&NOTES, &recorder).await?;
    let notes = notes(50);
    bench.publish(&notes[..25]).await?;
    dependency.was_tried(3).await?;
    bench.publish(&notes[25..]).await?;
    assert_eq!(recorder.taken(), []);

    dependency.comes_back();
    assert_eq!(recorder.has_taken(50).await?, notes);
    bench.finish().await
}

#[tokio::test]
async fn held_messages_are_given_back_on_shutdown() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = Bench::start(vhost.url());
    let dependency = Arc::new(Dependency::default());
    bench.consume(&INBOUND, &dependency.recorder()).await?;
    bench.publish(&notes(10)).await?;
    dependency.was_tried(1).await?;
    bench.finish().await?;
    Amqp::connect(vhost.url()).await?.counts(INBOUND.name, 10).await
}

#[tokio::test]
async fn who_cannot_handle_messages_leaves_them_to_who_can() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let (cut_off, healthy) = (impatient(vhost.url()), Bench::start(vhost.url()));
    let away = Arc::new(Dependency::default());
    let idle = away.recorder();
    cut_off.consume(&INBOUND, &idle).await?;
    cut_off.publish(&notes(30)).await?;
    away.was_tried(1).await?;
    // The queue has a single active consumer, and that is the other one.
    let recorder = Recorder::new(|_| Reaction::Take);
    healthy.consume(&INBOUND, &recorder).await?;
    assert_eq!(recorder.has_taken(30).await?, notes(30), "each once, in order");
    assert_eq!(idle.taken(), []);

    // It comes back, and has the queue again once the other one is gone.
    away.comes_back();
    idle.has_taken(1).await?;
    healthy.finish().await?;
    let late = Note { author: 1, n: 0 };
    cut_off.publish(&[late]).await?;
    let seen = async || idle.taken().contains(&late).then_some(());
    wait_for("the queue to be consumed again", SOON, seen).await?;
    cut_off.finish().await
}

/// Nothing in it survives being given back three times.
static FRAGILE: Queue = Queue {
    name: "test.fragile",
    exchange: WORK,
    routing_key: Note::ROUTING_KEY,
    delivery_limit: 2,
    single_active_consumer: true,
    retry_delays: &[Duration::from_millis(200)],
};

#[tokio::test]
async fn an_outage_does_not_use_up_the_deliveries() -> anyhow::Result<()> {
    let vhost = vhost().await;
    let bench = impatient(vhost.url());
    let dependency = Arc::new(Dependency::default());
    let recorder = dependency.recorder();
    bench.consume(&FRAGILE, &recorder).await?;
    bench.publish(&notes(10)).await?;
    // Several times as long as it holds.
    dependency.was_tried(8).await?;
    let amqp = Amqp::connect(vhost.url()).await?;
    amqp.counts(FRAGILE.name, 10).await?;
    assert_eq!(recorder.taken(), []);

    dependency.comes_back();
    let done = async || recorder.taken().contains(&notes(10)[9]).then_some(());
    wait_for("the last message", SOON, done).await?;
    let mut taken = recorder.taken();
    taken.dedup();
    assert_eq!(taken, notes(10), "the first may come twice");
    assert_eq!(amqp.count(&FRAGILE.dead_letter_queue()).await?, 0);
    bench.finish().await
}
