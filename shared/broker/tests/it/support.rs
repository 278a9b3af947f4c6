//! A message, a handler that does what a test says, and a bench to put them on.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use recado_broker::topology::{Queue, WORK};
use recado_broker::{Config, Handler, Link, OnError, Publisher, Received, Replies, consume};
use recado_messages::Message;
use recado_testkit::wait_for;
use recado_types::SessionId;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Longer than anything takes, on a machine that is busy compiling.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Like the product's queues, but with a short wait before the one retry.
pub(crate) static NOTES: Queue = Queue {
    name: "test.notes",
    exchange: WORK,
    routing_key: Note::ROUTING_KEY,
    delivery_limit: 20,
    single_active_consumer: true,
    retry_delays: &[Duration::from_millis(200)],
};

/// The `n`-th message of `author`, whose session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) author: u32,
    pub(crate) n: u32,
}

impl Message for Note {
    const ROUTING_KEY: &'static str = "message.received";

    fn message_id(&self) -> Uuid {
        Uuid::from_u64_pair(self.author.into(), self.n.into())
    }

    fn session_id(&self) -> SessionId {
        SessionId(Uuid::from_u128(self.author.into()))
    }
}

/// A note with as much on it as a test wants. Whoever reads a [`Note`] can read it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Letter {
    #[serde(flatten)]
    note: Note,
    text: String,
}

impl Letter {
    pub(crate) fn new(note: Note, n_bytes: usize) -> Self {
        Self { note, text: "x".repeat(n_bytes) }
    }
}

impl Message for Letter {
    const ROUTING_KEY: &'static str = Note::ROUTING_KEY;

    fn message_id(&self) -> Uuid {
        self.note.message_id()
    }

    fn session_id(&self) -> SessionId {
        self.note.session_id()
    }
}

/// `0..n` of one author.
pub(crate) fn notes(n: u32) -> Vec<Note> {
    (0..n).map(|n| Note { author: 0, n }).collect()
}

/// What a handler is to do about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    Take,
    Hold,
    Fail,
    Panic,
}

#[derive(Debug, thiserror::Error)]
#[error("told to {0:?}")]
pub(crate) struct Told(Reaction);

/// Takes batches, unless it is told not to take one of the messages in it.
pub(crate) struct Recorder<F> {
    react: F,
    batches: Mutex<Vec<Vec<Note>>>,
}

impl<F: Fn(&Note) -> Reaction + Send + Sync + 'static> Recorder<F> {
    pub(crate) fn new(react: F) -> Arc<Self> {
        Arc::new(Self { react, batches: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<Note>>> {
        self.batches.lock().expect("nobody panics with it")
    }

    /// What it has taken, in order.
    pub(crate) fn taken(&self) -> Vec<Note> {
        self.lock().iter().flatten().copied().collect()
    }

    pub(crate) fn batches(&self) -> Vec<Vec<Note>> {
        self.lock().clone()
    }

    /// Waits until it has taken so many.
    pub(crate) async fn has_taken(&self, n: usize) -> anyhow::Result<Vec<Note>> {
        let what = format!("{n} messages to be taken");
        let enough = async || Some(self.taken()).filter(|taken| taken.len() >= n);
        wait_for(&what, SOON, enough)
            .await
            .with_context(|| format!("taken so far: {}", self.taken().len()))
    }
}

impl<F: Fn(&Note) -> Reaction + Send + Sync + 'static> Handler for Recorder<F> {
    type Message = Note;
    type Error = Told;

    async fn handle(&self, batch: Vec<Received<Note>>) -> Result<(), Told> {
        let batch: Vec<Note> = batch.into_iter().map(|received| received.message).collect();
        for note in &batch {
            match (self.react)(note) {
                Reaction::Take => {}
                Reaction::Panic => panic!("told to panic"),
                told => return Err(Told(told)),
            }
        }
        self.lock().push(batch);
        Ok(())
    }

    fn on_error(&self, Told(reaction): &Told) -> OnError {
        match reaction {
            Reaction::Hold => OnError::Hold,
            Reaction::Fail | Reaction::Take | Reaction::Panic => OnError::Isolate,
        }
    }
}

/// A process, so to speak: a publisher, consumers, and a shutdown.
pub(crate) struct Bench {
    pub(crate) config: Config,
    pub(crate) publisher: Publisher,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Bench {
    pub(crate) fn start(url: &str) -> Self {
        Self::with(Config::new(url, "test"))
    }

    pub(crate) fn with(config: Config) -> Self {
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let publisher = Publisher::start(config.clone(), &tracker, shutdown.clone());
        Self { config, publisher, tracker, shutdown }
    }

    /// Starts a consumer, and waits until it is connected.
    pub(crate) async fn consume<H: Handler>(
        &self,
        queue: &'static Queue,
        handler: &Arc<H>,
    ) -> anyhow::Result<watch::Receiver<Link>> {
        let link = self.start_to_consume(queue, handler);
        is_up(&link).await?;
        Ok(link)
    }

    pub(crate) fn start_to_consume<H: Handler>(
        &self,
        queue: &'static Queue,
        handler: &Arc<H>,
    ) -> watch::Receiver<Link> {
        let (config, publisher) = (self.config.clone(), self.publisher.clone());
        let (handler, shutdown) = (Arc::clone(handler), self.shutdown.clone());
        consume(config, queue, publisher, handler, &self.tracker, shutdown)
    }

    /// Starts to listen for replies, and waits until it is connected.
    pub(crate) async fn listen(&self, queue: String) -> anyhow::Result<Replies> {
        let replies = self.start_to_listen(queue);
        is_up(&replies.link()).await?;
        is_up(&self.publisher.link()).await?;
        Ok(replies)
    }

    pub(crate) fn start_to_listen(&self, queue: String) -> Replies {
        Replies::start(self.config.clone(), queue, &self.tracker, self.shutdown.clone())
    }

    /// Publishes in order; all of them must be confirmed.
    pub(crate) async fn publish(&self, notes: &[Note]) -> anyhow::Result<()> {
        is_up(&self.publisher.link()).await?;
        for outcome in self.publisher.publish_all(notes).await {
            outcome?;
        }
        Ok(())
    }

    /// Asks everything to end.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Shuts down, which must not take long.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        self.shut_down();
        self.tracker.close();
        let within = Duration::from_secs(10);
        tokio::time::timeout(within, self.tracker.wait()).await.context("shutdown hangs")
    }
}

pub(crate) async fn is_up(link: &watch::Receiver<Link>) -> anyhow::Result<()> {
    comes_to(link, "the link to be up", Link::is_up).await
}

pub(crate) async fn is_down(link: &watch::Receiver<Link>) -> anyhow::Result<()> {
    let is_down = |link: &Link| matches!(link, Link::Down { .. });
    comes_to(link, "the link to be down", is_down).await
}

pub(crate) async fn comes_to(
    link: &watch::Receiver<Link>,
    what: &str,
    is: impl Fn(&Link) -> bool,
) -> anyhow::Result<()> {
    wait_for(what, SOON, async || is(&link.borrow()).then_some(())).await
}

/// AMQP without this crate, to put wrong things into queues and to look into them.
pub(crate) struct Amqp {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
}

impl Amqp {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel })
    }

    #[expect(clippy::disallowed_methods, reason = "to publish what the publisher would not")]
    pub(crate) async fn publish(
        &self,
        body: &[u8],
        properties: BasicProperties,
    ) -> anyhow::Result<()> {
        let (exchange, key) = ("recado.work".into(), Note::ROUTING_KEY.into());
        let options = lapin::options::BasicPublishOptions::default();
        self.channel.basic_publish(exchange, key, options, body, properties).await?.await?;
        Ok(())
    }

    /// How many messages wait in `queue`.
    pub(crate) async fn count(&self, queue: &str) -> anyhow::Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.into(), passive, FieldTable::default());
        Ok(declared.await?.message_count())
    }

    /// Waits until so many messages wait in `queue`.
    pub(crate) async fn counts(&self, queue: &str, n: u32) -> anyhow::Result<()> {
        let what = format!("{queue} to hold {n} messages");
        wait_for(&what, SOON, async || (self.count(queue).await.ok()? == n).then_some(())).await
    }

    /// Waits for a message in `queue`, and takes it.
    pub(crate) async fn take(&self, queue: &str) -> anyhow::Result<Delivery> {
        let no_ack = BasicGetOptions { no_ack: true };
        let got = async || self.channel.basic_get(queue.into(), no_ack).await.ok()?;
        let got = wait_for(&format!("a message in {queue}"), SOON, got).await?;
        Ok(got.delivery)
    }
}

/// A header that is a text.
pub(crate) fn text(delivery: &Delivery, header: &str) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?;
    headers.inner().get(header)?.as_long_string().map(ToString::to_string)
}
