//! Streams on a real broker, behind a gate that makes it go away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use futures_util::FutureExt;
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use recado_broker::topology::EVENTS as EXCHANGE;
use recado_broker::{Config, Link};
use recado_testkit::{Vhost, vhost, wait_for};
use recado_types::{EventId, ToolCallId};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::unconstrained;
use uuid::Uuid;

use super::*;
use crate::events::What;
use crate::events::fixtures::{events, source};

const SOON: Duration = Duration::from_mins(1);

/// A way to the broker that can be shut before it is ever used.
struct Gate {
    url: String,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    /// Forwards to `vhost`, on `tasks` until `end`, whenever it is open.
    async fn to(
        vhost: &Vhost,
        tasks: &TaskTracker,
        end: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut url: url::Url = vhost.url().parse()?;
        let broker = format!("127.0.0.1:{}", url.port().context("a port")?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        url.set_port(Some(listener.local_addr()?.port())).ok().context("a port")?;
        let is_open = Arc::new(AtomicBool::new(false));
        let forwarding =
            forward(listener, broker, Arc::clone(&is_open), tasks.clone(), end.clone());
        let end = end.clone();
        tasks.spawn(async move { end.run_until_cancelled(forwarding).await });
        Ok(Self { url: url.into(), is_open })
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}

async fn forward(
    listener: TcpListener,
    broker: String,
    is_open: Arc<AtomicBool>,
    tasks: TaskTracker,
    end: CancellationToken,
) {
    while let Ok((mut caller, _)) = listener.accept().await {
        if !is_open.load(Ordering::SeqCst) {
            continue;
        }
        let (broker, end) = (broker.clone(), end.clone());
        tasks.spawn(async move {
            let carrying = async {
                let mut broker = TcpStream::connect(broker).await?;
                tokio::io::copy_bidirectional(&mut caller, &mut broker).await
            };
            end.run_until_cancelled(carrying).await
        });
    }
}

/// Somebody who listens to all events, and the process that publishes them.
struct Bench {
    channel: Channel,
    _connection: Connection,
    vhost: Vhost,
    gate: Gate,
    publisher: Publisher,
    events: Events,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let vhost = vhost().await;
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let declaring = Publisher::start(Config::new(vhost.url(), "test"), &tasks, end.clone());
        is_up(&declaring).await?;
        let connection = Connection::connect(vhost.url(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let queue = QueueDeclareOptions::default();
        channel.queue_declare("all".into(), queue, FieldTable::default()).await?;
        let (filter, binding) = ("objective_event.#".into(), QueueBindOptions::default());
        channel
            .queue_bind("all".into(), EXCHANGE.into(), filter, binding, FieldTable::default())
            .await?;

        let gate = Gate::to(&vhost, &tasks, &end).await?;
        let mut config = Config::new(&gate.url, "test");
        config.publish_timeout = Duration::from_millis(200);
        let publisher = Publisher::start(config, &tasks, end.clone());
        let events = Events::new(publisher.clone(), tasks.clone());
        Ok(Self { channel, _connection: connection, vhost, gate, publisher, events, tasks, end })
    }

    /// A bench whose broker can be reached.
    async fn reachable() -> anyhow::Result<Self> {
        let bench = Self::start().await?;
        bench.gate.open();
        is_up(&bench.publisher).await?;
        Ok(bench)
    }

    /// Waits for `n` events, and answers their ids; a repetition counts as one.
    async fn heard(&self, n: usize) -> anyhow::Result<Vec<EventId>> {
        let mut ids: Vec<EventId> = Vec::new();
        while ids.len() < n {
            let no_ack = BasicGetOptions { no_ack: true };
            let got = async || self.channel.basic_get("all".into(), no_ack).await.ok()?;
            let got = wait_for("the next event", SOON, got).await?;
            let event: ObjectiveEvent = serde_json::from_slice(&got.delivery.data)?;
            if !ids.contains(&event.event_id) {
                ids.push(event.event_id);
            }
        }
        Ok(ids)
    }

    async fn finish(self) -> anyhow::Result<()> {
        self.end.cancel();
        self.tasks.close();
        timeout(SOON, self.tasks.wait()).await.context("shutdown hangs")?;
        drop(self.vhost);
        Ok(())
    }
}

async fn is_up(publisher: &Publisher) -> anyhow::Result<()> {
    let link = publisher.link();
    wait_for("the link to be up", SOON, async || Link::is_up(&link.borrow()).then_some(())).await
}

/// Events of which each is another one.
fn many(n: u128) -> Vec<Event> {
    let first = events().remove(0);
    let called = |n| What::ToolCalled { tool_call: ToolCallId(Uuid::from_u128(n)) };
    (0..n).map(|n| Event { what: called(n), ..first.clone() }).collect()
}

fn ids(events: &[Event]) -> Vec<EventId> {
    events.iter().map(|event| event.id(&source())).collect()
}

#[tokio::test]
async fn what_is_flushed_is_published_in_order() -> anyhow::Result<()> {
    let bench = Bench::reachable().await?;
    let stream = bench.events.open(source());
    let told = many(100);
    stream.publish(told[..60].to_vec()).await;
    stream.publish(told[60..].to_vec()).await;
    assert!(stream.flush(SOON).await);
    assert_eq!(bench.heard(100).await?, ids(&told));
    drop(stream);
    bench.finish().await
}

#[tokio::test]
async fn an_outage_delays_events_and_not_the_work() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let stream = bench.events.open(source());
    let told = events();
    assert!(unconstrained(stream.publish(told.clone())).now_or_never().is_some());
    assert!(!stream.flush(Duration::from_millis(300)).await, "nothing can be published");
    bench.gate.open();
    assert!(stream.flush(SOON).await);
    assert_eq!(bench.heard(told.len()).await?, ids(&told));
    drop(stream);
    bench.finish().await
}

#[tokio::test]
async fn who_leaves_does_not_wait_for_an_outage_to_end() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let stream = bench.events.open(source());
    stream.publish(events()).await;
    drop(stream);
    // Shutdown waits for what is being published.
    bench.finish().await
}

#[tokio::test]
async fn what_is_left_behind_is_still_published_while_the_broker_is_there() -> anyhow::Result<()> {
    let bench = Bench::reachable().await?;
    let stream = bench.events.open(source());
    let told = events();
    stream.publish(told.clone()).await;
    drop(stream);
    assert_eq!(bench.heard(told.len()).await?, ids(&told));
    bench.finish().await
}

#[tokio::test]
async fn two_hundred_events_may_wait_and_no_more() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let stream = bench.events.open(source());
    // Nobody else runs on this thread while one future is polled once.
    assert!(unconstrained(stream.publish(many(200))).now_or_never().is_some());
    assert!(unconstrained(stream.publish(many(1))).now_or_never().is_none());
    drop(stream);
    bench.finish().await
}
