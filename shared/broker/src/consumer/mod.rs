//! Consuming: batches of one queue, strictly one after the other, acknowledged once durable.

mod batch;
mod handling;

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::message::Delivery;
use opentelemetry::Context;
use recado_messages::Message;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::connection::{ANSWER_TIMEOUT, Connection, ConnectionError, within};
use crate::headers;
use crate::link::{Link, LinkSender};
use crate::metrics::CONSUMED;
use crate::publisher::Publisher;
use crate::supervisor::{Session, report, supervise};
use crate::topology::Queue;

use batch::{Batch, Interrupted};

/// A message as a handler gets it.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// Whether the broker may have delivered it before; if not, nobody has seen it.
    pub redelivered: bool,
    /// The trace it was published in, for a link or as a parent.
    pub trace: Context,
}

/// Handles the messages of one queue.
pub trait Handler: Send + Sync + 'static {
    /// What the queue holds.
    type Message: Message;
    /// Why a batch could not be handled. Its `Display` is shown to operators and put on
    /// dead-lettered messages, so it must not contain what users wrote.
    type Error: Error + Send + Sync + 'static;

    /// Handles messages, in the order of the queue. `Ok` means that the effects of all of them
    /// are durable: they are acknowledged.
    ///
    /// Must be idempotent: after a crash, an error, or a lost connection, messages come again, in
    /// other batches. A panic is contained and treated like an error to isolate.
    fn handle(
        &self,
        batch: Vec<Received<Self::Message>>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What an error means for the messages. Exhaustive, please: no wildcard arm.
    fn on_error(&self, error: &Self::Error) -> OnError;
}

/// What to do with a batch that could not be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// What we depend on is away: keep the messages, pause (100 ms doubling to 2 s), and try the
    /// same batch again, until it works. Nothing overtakes it.
    Hold,
    /// Something is wrong with a message: try each alone. One that fails alone waits in the
    /// retry queues, while others go on, and is dead-lettered after the last of them.
    Isolate,
}

/// Consumes `queue` on a connection of its own, which is kept up for ever, until `shutdown`.
///
/// Returns at once; the link says how the connection is. On shutdown the batch in hand is
/// finished and acknowledged, unless it is being held.
pub fn consume<H: Handler>(
    config: Config,
    queue: &'static Queue,
    publisher: Publisher,
    handler: Arc<H>,
    tracker: &TaskTracker,
    shutdown: CancellationToken,
) -> watch::Receiver<Link> {
    let (link, receiver) = LinkSender::new(queue.name);
    tracker.spawn(async move {
        let (prefetch, limit) = (config.prefetch, config.batch.max(1));
        let stopping = shutdown.clone();
        let mut consuming =
            Consuming { queue, publisher, handler, prefetch, limit, shutdown: stopping };
        supervise(&config, &link, &shutdown, &mut consuming).await;
    });
    receiver
}

/// One queue and its handler; it outlives connections.
struct Consuming<H> {
    queue: &'static Queue,
    publisher: Publisher,
    handler: Arc<H>,
    prefetch: u16,
    limit: usize,
    shutdown: CancellationToken,
}

impl<H: Handler> Session for Consuming<H> {
    async fn run(
        &mut self,
        connection: &Connection,
        link: &LinkSender,
    ) -> Result<(), ConnectionError> {
        // It need not be one of the product's, and is there before the link is said to be up.
        connection.declare(std::slice::from_ref(self.queue)).await?;
        let lost = CancellationToken::new();
        let mut following = pin!(connection.follow(link));
        let mut working = pin!(self.work(connection, &lost));
        tokio::select! {
            biased;
            result = &mut working => result,
            error = &mut following => {
                report(link, &error);
                // The batch in hand is finished although it cannot be acknowledged any more:
                // otherwise its effects could come after those of the next one.
                lost.cancel();
                let _ = working.await;
                Err(error)
            }
        }
    }
}

impl<H: Handler> Consuming<H> {
    /// Consumes carefully first, then at full speed. `Ok` on shutdown.
    async fn work(
        &self,
        connection: &Connection,
        lost: &CancellationToken,
    ) -> Result<(), ConnectionError> {
        let ended = match self.consume_carefully(connection, lost).await {
            Ok(()) => self.consume_fast(connection, lost).await,
            Err(interrupted) => Err(interrupted),
        };
        match ended {
            Ok(()) | Err(Interrupted::Stopping) => Ok(()),
            Err(Interrupted::Lost(error)) => Err(error),
        }
    }

    /// Takes one message at a time, up to the first that never came back.
    ///
    /// If a message kills the process, all that were with us come back and are counted as
    /// delivered once more. Had the next consumer taken them all again, it would drag them to the
    /// delivery limit together with the guilty one; so it takes the guilty one alone.
    async fn consume_carefully(
        &self,
        connection: &Connection,
        lost: &CancellationToken,
    ) -> Result<(), Interrupted> {
        let mut subscription = Subscription::open(connection, self.queue, 1).await?;
        loop {
            let deliveries = self.next(&mut subscription, lost).await?;
            let is_fresh = deliveries.iter().all(|delivery| !has_returned(delivery));
            self.batch(&subscription.channel, lost).settle(deliveries).await?;
            if is_fresh {
                // Closing the channel, and not the consumer only, gives back what came meanwhile
                // before anyone else gets the message after it.
                subscription.close().await?;
                return Ok(());
            }
        }
    }

    async fn consume_fast(
        &self,
        connection: &Connection,
        lost: &CancellationToken,
    ) -> Result<(), Interrupted> {
        let mut subscription = Subscription::open(connection, self.queue, self.prefetch).await?;
        loop {
            let deliveries = self.next(&mut subscription, lost).await?;
            self.batch(&subscription.channel, lost).settle(deliveries).await?;
        }
    }

    async fn next(
        &self,
        subscription: &mut Subscription,
        lost: &CancellationToken,
    ) -> Result<Vec<Delivery>, Interrupted> {
        let deliveries = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Err(Interrupted::Stopping),
            () = lost.cancelled() => return Err(ConnectionError::Lost(None).into()),
            deliveries = subscription.next(self.limit) => deliveries?,
        };
        CONSUMED.with_label_values(&[self.queue.name]).inc_by(deliveries.len() as u64);
        Ok(deliveries)
    }

    fn batch<'a>(&'a self, channel: &'a Channel, lost: &'a CancellationToken) -> Batch<'a, H> {
        Batch {
            queue: self.queue,
            handler: &self.handler,
            publisher: &self.publisher,
            channel,
            shutdown: &self.shutdown,
            lost,
        }
    }
}

/// Whether the message was with a consumer before that did not settle it.
fn has_returned(delivery: &Delivery) -> bool {
    headers::times_returned(&delivery.properties) > 0
}

/// A consumer on a channel of its own.
struct Subscription {
    channel: Channel,
    deliveries: lapin::Consumer,
    /// The end, if it came behind messages that had to be handed out first.
    ended: Option<ConnectionError>,
}

impl Subscription {
    async fn open(
        connection: &Connection,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<Self, ConnectionError> {
        let (channel, deliveries) = connection.consume(queue, prefetch).await?;
        Ok(Self { channel, deliveries, ended: None })
    }

    /// Waits for a message, and takes what else is there: up to `limit`, never waiting for more.
    async fn next(&mut self, limit: usize) -> Result<Vec<Delivery>, ConnectionError> {
        if let Some(ended) = self.ended.take() {
            return Err(ended);
        }
        let mut deliveries = vec![one(self.deliveries.next().await)?];
        while deliveries.len() < limit {
            match self.deliveries.next().now_or_never().map(one) {
                Some(Ok(delivery)) => deliveries.push(delivery),
                Some(Err(ended)) => {
                    self.ended = Some(ended);
                    break;
                }
                None => break,
            }
        }
        Ok(deliveries)
    }

    async fn close(self) -> Result<(), ConnectionError> {
        drop(self.deliveries);
        let closing = self.channel.close(200, "bye".into());
        within(ANSWER_TIMEOUT, "close a channel", closing).await
    }
}

fn one(item: Option<lapin::Result<Delivery>>) -> Result<Delivery, ConnectionError> {
    match item {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(error)) => Err(ConnectionError::Lost(Some(error))),
        None => Err(ConnectionError::ConsumerEnded),
    }
}
