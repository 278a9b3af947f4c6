//! Consuming: batches of one queue, strictly one after the other, acknowledged once durable.

mod batch;
mod depth;
mod handling;
mod subscription;

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lapin::Channel;
use lapin::message::Delivery;
use recado_clock::Clock;
use recado_messages::Message;
use recado_types::TraceContext;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::config::Config;
use crate::connection::{Connection, ConnectionError};
use crate::headers;
use crate::link::{Link, LinkSender};
use crate::metrics::{self, AGE_SECONDS, CONSUMED};
use crate::publisher::Publisher;
use crate::supervisor::{Session, report, supervise};
use crate::topology::Queue;

use batch::{Batch, Interrupted};
pub(crate) use handling::decode;
use handling::{Sample, Unhandled, handle};
use subscription::Subscription;

/// A message as a handler gets it.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// Whether the broker may have delivered it before; if not, nobody has seen it.
    pub redelivered: bool,
    /// Where in a trace it was published, if that is recorded: for a row, a link, or as a parent.
    pub trace: Option<TraceContext>,
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
    ///
    /// After [`Config::hold_for`] the messages are given back: it may be our own way there that is
    /// broken, and somebody else's is not. The first of them is tried on, without the queue, and
    /// once it works we take part again; so it may be handled here and elsewhere.
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
    metrics::of_queue(queue.name);
    tracker.spawn(async move {
        let mut consuming = Consuming {
            queue,
            publisher,
            handler,
            prefetch: config.prefetch,
            limit: config.batch.max(1),
            hold_for: config.hold_for,
            given_back: None,
            clock: Arc::clone(&config.clock),
            shutdown: shutdown.clone(),
        };
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
    hold_for: Duration,
    /// The message that showed us that we cannot handle any at present; none if we can.
    given_back: Option<Box<Sample>>,
    clock: Arc<dyn Clock>,
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
        let mut watching = Box::pin(depth::watch(connection, self.queue));
        let mut working = pin!(self.work(connection, &lost));
        tokio::select! {
            biased;
            result = &mut working => result,
            never = &mut watching => match never {},
            error = &mut following => {
                report(link, &error);
                drop(watching);
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
    /// Consumes whenever messages can be handled. `Ok` on shutdown.
    async fn work(
        &mut self,
        connection: &Connection,
        lost: &CancellationToken,
    ) -> Result<(), ConnectionError> {
        loop {
            let ended = match self.regain(lost).await {
                Ok(()) => self.consume(connection, lost).await,
                Err(interrupted) => Err(interrupted),
            };
            match ended {
                Ok(()) => {}
                Err(Interrupted::Unable(given_back)) => self.given_back = given_back,
                Err(Interrupted::Stopping) => return Ok(()),
                Err(Interrupted::Lost(error)) => return Err(error),
            }
        }
    }

    /// Waits until the message that could not be handled can be, which is at once if there is none.
    ///
    /// Not by consuming it again: each time that costs it one of its deliveries, and an outage
    /// would use up all of them. Whoever else has the queue by now may have handled it already, or
    /// be about to; then the same message comes twice, as after a crash.
    async fn regain(&mut self, lost: &CancellationToken) -> Result<(), Interrupted> {
        let mut backoff = Backoff::default();
        while let Some(sample) = &self.given_back {
            pause(backoff.next(), &self.shutdown, lost).await?;
            match handle(self.queue, &*self.handler, sample.batch()).await {
                Err(Unhandled::Hold(_)) => {}
                // Whatever is wrong with the message itself shows again when it is consumed.
                Ok(()) | Err(Unhandled::Isolate(_)) => {
                    let queue = self.queue.name;
                    tracing::info!(broker.queue = queue, "{queue} is consumed again");
                    self.given_back = None;
                }
            }
        }
        Ok(())
    }

    /// Consumes carefully first, then at full speed. What is in hand at the end is given back.
    async fn consume(
        &self,
        connection: &Connection,
        lost: &CancellationToken,
    ) -> Result<(), Interrupted> {
        let mut careful = Subscription::open(connection, self.queue, 1).await?;
        let ended = self.consume_carefully(&mut careful, lost).await;
        careful.close_after(ended).await?;
        let mut fast = Subscription::open(connection, self.queue, self.prefetch).await?;
        let ended = self.consume_fast(&mut fast, lost).await;
        fast.close_after(ended).await
    }

    /// Takes one message at a time, up to the first that never came back.
    ///
    /// If a message kills the process, all that were with us come back and are counted as
    /// delivered once more. Had the next consumer taken them all again, it would drag them to the
    /// delivery limit together with the guilty one; so it takes the guilty one alone.
    async fn consume_carefully(
        &self,
        subscription: &mut Subscription,
        lost: &CancellationToken,
    ) -> Result<(), Interrupted> {
        loop {
            let deliveries = self.next(subscription, lost).await?;
            let is_fresh = deliveries.iter().all(|delivery| !has_returned(delivery));
            self.batch(&subscription.channel, lost).settle(deliveries).await?;
            if is_fresh {
                return Ok(());
            }
        }
    }

    async fn consume_fast(
        &self,
        subscription: &mut Subscription,
        lost: &CancellationToken,
    ) -> Result<(), Interrupted> {
        loop {
            let deliveries = self.next(subscription, lost).await?;
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
        self.note_ages(&deliveries);
        Ok(deliveries)
    }

    /// How long the messages were on their way, redeliveries included. Clocks of two machines may
    /// differ: less than nothing is nothing.
    fn note_ages(&self, deliveries: &[Delivery]) {
        let (now, ages) = (self.clock.now().timestamp_millis(), &AGE_SECONDS);
        let ages = ages.with_label_values(&[self.queue.name]);
        let published = deliveries.iter().filter_map(|it| headers::published_ms(&it.properties));
        for published_ms in published {
            let age_ms = u64::try_from(now.saturating_sub(published_ms)).unwrap_or_default();
            ages.observe(Duration::from_millis(age_ms).as_secs_f64());
        }
    }

    fn batch<'a>(&'a self, channel: &'a Channel, lost: &'a CancellationToken) -> Batch<'a, H> {
        Batch {
            queue: self.queue,
            handler: &self.handler,
            publisher: &self.publisher,
            channel,
            hold_for: self.hold_for,
            shutdown: &self.shutdown,
            lost,
        }
    }
}

/// Whether the message was with a consumer before that did not settle it.
fn has_returned(delivery: &Delivery) -> bool {
    headers::times_returned(&delivery.properties) > 0
}

/// Waits, unless there is a reason not to go on at all.
async fn pause(
    pause: Duration,
    shutdown: &CancellationToken,
    lost: &CancellationToken,
) -> Result<(), Interrupted> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => Err(Interrupted::Stopping),
        () = lost.cancelled() => Err(ConnectionError::Lost(None).into()),
        () = tokio::time::sleep(pause) => Ok(()),
    }
}
