//! News for those of this process who wait for an execution to end.
//!
//! The queue lives as long as the connection, so a process that died leaves nothing behind; what
//! is sent to it meanwhile is lost. That is allowed: the row is the truth, and news only says
//! that now is a good time to look at it. After each loss of the connection everybody is told to
//! look, because what was lost cannot be known.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Consumer;
use lapin::message::Delivery;
use lapin::types::ShortString;
use recado_messages::ExecutionFinished;
use recado_trace::spans;
use recado_types::ExecutionId;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::connection::{Connection, ConnectionError};
use crate::consumer::decode;
use crate::link::{Link, LinkSender};
use crate::metrics::CONSUMED;
use crate::supervisor::{Session, supervise};

/// What the link and the counted messages are called: the queue's name is another one in each
/// process.
const NAME: &str = "replies";
/// After shutdown has begun, how long to stay for whoever is about to wait.
const LINGER: Duration = Duration::from_secs(1);

/// The reply queue of this process, and who waits for what comes there.
///
/// Clones share the queue.
#[derive(Clone, Debug)]
pub struct Replies {
    queue: ShortString,
    waiting: Arc<Waiting>,
    link: watch::Receiver<Link>,
}

impl Replies {
    /// Starts to listen on `queue` (see [`topology::reply_queue`](crate::topology::reply_queue)),
    /// on a connection of its own that is kept up for ever, and returns at once.
    ///
    /// The queue is exclusive and goes with the connection. If the broker still believes in a
    /// connection that we have lost, it holds the name for it, for two heartbeats at most; then
    /// the link is down, and it is tried again. After `shutdown` it goes on for as long as the
    /// connection lasts and somebody waits, a second at least.
    ///
    /// # Panics
    /// If `queue` has more than 255 bytes.
    pub fn start(
        config: Config,
        queue: String,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let (sender, link) = LinkSender::new(NAME);
        let replies = Self { queue: queue.into(), waiting: Arc::default(), link };
        let (queue, waiting) = (replies.queue.clone(), Arc::clone(&replies.waiting));
        tracker.spawn(async move {
            let mut listening = Listening { queue, waiting, shutdown: shutdown.clone() };
            supervise(&config, &sender, &shutdown, &mut listening).await;
        });
        replies
    }

    /// Where news for this process is to be sent.
    pub fn queue(&self) -> &str {
        self.queue.as_str()
    }

    /// Whether news arrives at present. Without it everything works, only later.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Waits for news of `execution`, from now on: call it before you ask for the execution.
    ///
    /// There are as many waiters as requests in flight, so who bounds those bounds these.
    pub fn wait_for(&self, execution: impl Into<ExecutionId>) -> Waiter {
        Waiting::add(&self.waiting, execution.into())
    }
}

/// Waits for news of one execution. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Waiter {
    execution: ExecutionId,
    bell: Arc<Notify>,
    waiting: Arc<Waiting>,
}

impl Waiter {
    /// Returns when there is news since the last call: the execution may have ended. Look, and if
    /// it has not, wait again.
    ///
    /// News may be lost, so look from time to time without it, too. Cancelling loses none.
    pub async fn news(&mut self) {
        self.bell.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiting.remove(self.execution, &self.bell);
    }
}

type Bells = HashMap<ExecutionId, Vec<Arc<Notify>>>;

/// Who waits for what. A bell that is rung while nobody listens is heard by the next who does.
#[derive(Debug, Default)]
struct Waiting(watch::Sender<Bells>);

impl Waiting {
    fn add(waiting: &Arc<Self>, execution: ExecutionId) -> Waiter {
        let bell = Arc::new(Notify::new());
        waiting.0.send_modify(|bells| {
            bells.entry(execution).or_default().push(Arc::clone(&bell));
        });
        Waiter { execution, bell, waiting: Arc::clone(waiting) }
    }

    fn remove(&self, execution: ExecutionId, bell: &Arc<Notify>) {
        self.0.send_modify(|bells| {
            let Some(others) = bells.get_mut(&execution) else { return };
            others.retain(|other| !Arc::ptr_eq(other, bell));
            if others.is_empty() {
                bells.remove(&execution);
            }
        });
    }

    /// Tells all who wait for `execution`.
    fn ring(&self, execution: ExecutionId) {
        let bells = self.0.borrow();
        bells.get(&execution).into_iter().flatten().for_each(|bell| bell.notify_one());
    }

    /// Tells all.
    fn ring_all(&self) {
        self.0.borrow().values().flatten().for_each(|bell| bell.notify_one());
    }

    /// Returns when nobody waits.
    async fn is_over(&self) {
        // We hold the sender, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(HashMap::is_empty).await;
    }
}

/// The queue and those who wait; it outlives connections.
struct Listening {
    queue: ShortString,
    waiting: Arc<Waiting>,
    shutdown: CancellationToken,
}

impl Session for Listening {
    async fn run(
        &mut self,
        connection: &Connection,
        link: &LinkSender,
    ) -> Result<(), ConnectionError> {
        let (_channel, mut replies) = connection.consume_replies(&self.queue).await?;
        self.waiting.ring_all();
        let mut listening = pin!(self.listen(&mut replies));
        tokio::select! {
            biased;
            () = self.done() => Ok(()),
            error = connection.follow(link) => Err(error),
            error = &mut listening => Err(error),
        }
    }
}

impl Listening {
    /// Returns when we are shutting down and nobody waits any more.
    async fn done(&self) {
        self.shutdown.cancelled().await;
        sleep(LINGER).await;
        self.waiting.is_over().await;
    }

    async fn listen(&self, replies: &mut Consumer) -> ConnectionError {
        while let Some(reply) = replies.next().await {
            match reply {
                Ok(delivery) => self.tell(&delivery),
                Err(error) => return ConnectionError::Lost(Some(error)),
            }
        }
        ConnectionError::ConsumerEnded
    }

    fn tell(&self, delivery: &Delivery) {
        CONSUMED.with_label_values(&[NAME]).inc();
        match decode::<ExecutionFinished>(delivery) {
            Ok(received) => {
                let _handled = spans::process(NAME, 1, received.trace.iter()).entered();
                self.waiting.ring(received.message.execution_id);
            }
            Err(fault) => {
                tracing::warn!(fault.error, "a reply that cannot be read is dropped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use uuid::Uuid;

    use super::*;

    const EXECUTION: ExecutionId = ExecutionId(Uuid::from_u128(1));
    const OTHER: ExecutionId = ExecutionId(Uuid::from_u128(2));

    /// Whether there is news by now.
    async fn has_news(waiter: &mut Waiter) -> bool {
        let mut news = pin!(waiter.news());
        poll_fn(|context| Poll::Ready(news.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn news_reaches_all_who_wait_for_it_and_nobody_else() {
        let waiting = Arc::new(Waiting::default());
        let mut waiters = [EXECUTION, EXECUTION, OTHER].map(|id| Waiting::add(&waiting, id));
        waiting.ring(EXECUTION);
        let mut reached = Vec::new();
        for waiter in &mut waiters {
            reached.push(has_news(waiter).await);
        }
        assert_eq!(reached, [true, true, false]);
    }

    #[tokio::test]
    async fn news_that_comes_between_two_waits_is_not_lost_and_told_once() {
        let waiting = Arc::new(Waiting::default());
        let mut waiter = Waiting::add(&waiting, EXECUTION);
        assert!(!has_news(&mut waiter).await, "and that wait was given up");
        waiting.ring(EXECUTION);
        waiting.ring_all();
        assert!(has_news(&mut waiter).await);
        assert!(!has_news(&mut waiter).await);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_nothing_behind() {
        let waiting = Arc::new(Waiting::default());
        let mut first = Waiting::add(&waiting, EXECUTION);
        let second = Waiting::add(&waiting, EXECUTION);
        drop(second);
        waiting.ring(EXECUTION);
        assert!(has_news(&mut first).await);
        drop(first);
        waiting.ring(EXECUTION);
        assert!(waiting.0.borrow().is_empty());
        waiting.is_over().await;
    }
}
