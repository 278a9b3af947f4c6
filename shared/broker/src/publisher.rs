//! Publishing: a message is published when the broker has confirmed it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use lapin::types::ShortString;
use recado_clock::Clock;
use recado_messages::Message;
use recado_trace::spans::{self, Sending};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::config::Config;
use crate::connection::{Connection, ConnectionError};
use crate::flight::{Job, Lane, WAITING_JOBS};
use crate::link::{Link, LinkSender};
use crate::load;
use crate::metrics::{PUBLISH_SECONDS, PUBLISHED};
use crate::parcel::{EncodeError, Parcel};
use crate::supervisor::{Session, supervise};
use crate::topology;

/// The largest message that is sent, in bytes of JSON.
///
/// Half of what a broker takes by default (`max_message_size`: 16 MiB since 4.0, 128 MiB before).
/// For a larger one it closes the channel, and everything else in flight would go down with it.
pub const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Why a message is not known to be published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// It cannot be written as JSON, or its routing key is too long: a bug.
    #[error("failed to encode the message")]
    Encode(#[source] Arc<dyn Error + Send + Sync>),
    /// It is larger than [`MAX_MESSAGE_BYTES`]. It was not sent, and never will be.
    #[error("the message has {size_bytes} bytes, more than {MAX_MESSAGE_BYTES}")]
    TooLarge {
        /// Its size as JSON.
        size_bytes: usize,
    },
    /// The broker is short of memory or disk and takes nothing. The message was not sent.
    #[error("the broker takes no messages at present")]
    Blocked,
    /// There was no connection in time, or we are shutting down. The message was not sent.
    #[error("the broker cannot be reached")]
    Unavailable,
    /// The connection was lost before the confirm. The broker may or may not have the message.
    #[error("the connection was lost before the message was confirmed")]
    Disconnected,
    /// There was no confirm in time, or the broker blocked us before it came. The broker may or
    /// may not have the message, now or when it goes on.
    #[error("the message was not confirmed in time")]
    Timeout,
    /// It is work, and no queue wants it. The topology is being declared again.
    #[error("no queue is bound for the message")]
    Unroutable,
    /// The broker said no: a queue is full, or has no leader.
    #[error("the broker refused the message")]
    Refused,
}

impl PublishError {
    /// Whether the broker may have taken the message in spite of the error. Who publishes it
    /// again must do so under the same message id.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::Disconnected | Self::Timeout)
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Encode(_) => "encode",
            Self::TooLarge { .. } => "too_large",
            Self::Blocked => "blocked",
            Self::Unavailable => "unavailable",
            Self::Disconnected => "disconnected",
            Self::Timeout => "timeout",
            Self::Unroutable => "unroutable",
            Self::Refused => "refused",
        }
    }
}

/// Publishes messages, over a connection of its own that is kept up for ever.
///
/// Clones share the connection.
#[derive(Clone, Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lanes: Vec<Entrance>,
    link: watch::Receiver<Link>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

/// Where jobs for a lane stand in line.
#[derive(Debug)]
struct Entrance {
    /// One after the other, also while there is no connection: who waits for that does so at the
    /// head of the line. It is a fair lock.
    line: Mutex<()>,
    jobs: mpsc::Sender<Job>,
}

impl Publisher {
    /// Starts to connect, and returns at once.
    ///
    /// After `shutdown` it goes on for as long as the connection lasts and somebody publishes, and
    /// ends after a second of silence or with the last clone: whoever drains may still publish.
    pub fn start(config: Config, tracker: &TaskTracker, shutdown: CancellationToken) -> Self {
        let (sender, link) = LinkSender::new("publisher");
        let channels = (0..config.publish_channels.max(1)).map(|_| mpsc::channel(WAITING_JOBS));
        let (senders, receivers): (Vec<_>, Vec<_>) = channels.unzip();
        let entrance = |jobs| Entrance { line: Mutex::new(()), jobs };
        let shared = Shared {
            lanes: senders.into_iter().map(entrance).collect(),
            link: link.clone(),
            timeout: config.publish_timeout,
            clock: Arc::clone(&config.clock),
        };
        let lane = |jobs| Lane::new(jobs, link.clone(), shutdown.clone());
        let mut lanes = Lanes(receivers.into_iter().map(lane).collect());
        tracker.spawn(async move { supervise(&config, &sender, &shutdown, &mut lanes).await });
        Self { shared: Arc::new(shared) }
    }

    /// Whether the broker can be reached, for readiness.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.clone()
    }

    /// Publishes `message` and returns when the broker has confirmed it: when it is on disk in
    /// the queue, on most of the queue's nodes. An event is confirmed also if nobody listens.
    ///
    /// Takes at most [`Config::publish_timeout`], waiting for a connection included; fails at
    /// once if the broker has blocked us.
    pub async fn publish<M: Message>(&self, message: &M) -> Result<(), PublishError> {
        let outcomes = self.publish_all(std::slice::from_ref(message)).await;
        outcomes.into_iter().next().unwrap_or(Err(PublishError::Unavailable))
    }

    /// Publishes all `messages`, each session's in order, without waiting for one before sending
    /// the next.
    ///
    /// What is given earlier is published earlier, by session, whether in one call or in several.
    /// The outcomes are in the order of the messages. A failed one does not stop those after it.
    pub async fn publish_all<M: Message>(&self, messages: &[M]) -> Vec<Result<(), PublishError>> {
        let span = spans::send(sending::<M>(messages.len()));
        if let [message] = messages {
            spans::of_message(&span, message.message_id());
        }
        async {
            let parcels = messages.iter().map(|message| self.encode(message)).collect();
            self.send_encoded(parcels).await
        }
        .instrument(span)
        .await
    }

    /// The same, each message in the trace of its own span, which is made with [`sending`].
    pub async fn publish_each<M: Message>(
        &self,
        messages: &[(M, Span)],
    ) -> Vec<Result<(), PublishError>> {
        let encode = |(message, span): &(M, Span)| {
            spans::of_message(span, message.message_id());
            span.in_scope(|| self.encode(message))
        };
        let parcels = messages.iter().map(encode).collect();
        let outcomes = self.send_encoded(parcels).await;
        for ((_, span), outcome) in messages.iter().zip(&outcomes) {
            if let Err(error) = outcome {
                recado_trace::fail(span, error.code());
            }
        }
        outcomes
    }

    /// Sends `message` to the reply queue called `queue`, and returns when the broker has
    /// confirmed that it put it there, or that there is no such queue.
    ///
    /// It is news, not work: in memory only, and whoever waited for it may be gone. It takes as
    /// long as [`publish`](Self::publish), and fails like it.
    pub async fn reply<M: Message>(&self, queue: &str, message: &M) -> Result<(), PublishError> {
        let Ok(queue) = ShortString::try_new(queue) else {
            // No queue can be called that.
            return Ok(());
        };
        let about =
            Sending { exchange: topology::DEFAULT, routing_key: M::ROUTING_KEY, n_messages: 1 };
        let span = spans::send(about);
        let parcel = span.in_scope(|| Parcel::reply(queue, message, &*self.shared.clock));
        let outcomes = self.send(vec![ready(parcel)?]).instrument(span).await;
        outcomes.into_iter().next().unwrap_or(Err(PublishError::Unavailable))
    }

    fn encode<M: Message>(&self, message: &M) -> Result<Parcel, PublishError> {
        ready(Parcel::new(message, &*self.shared.clock))
    }

    async fn send_encoded(
        &self,
        encoded: Vec<Result<Parcel, PublishError>>,
    ) -> Vec<Result<(), PublishError>> {
        let mut outcomes = Vec::with_capacity(encoded.len());
        let mut parcels = Vec::with_capacity(encoded.len());
        for parcel in encoded {
            outcomes.push(parcel.map(|parcel| parcels.push(parcel)));
        }
        let mut sent = self.send(parcels).await.into_iter();
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
            *outcome = sent.next().unwrap_or(Err(PublishError::Unavailable));
        }
        outcomes
    }

    /// Publishes parcels, each session's in order; one outcome each. They may be of any size: a
    /// copy of what the broker took once, it takes again.
    pub(crate) async fn send(&self, parcels: Vec<Parcel>) -> Vec<Result<(), PublishError>> {
        let started = Instant::now();
        let labels: Vec<_> = parcels.iter().map(|parcel| parcel.label).collect();
        let outcomes = self.submit(parcels, started + self.shared.timeout).await;
        for (label, outcome) in labels.iter().zip(&outcomes) {
            let code = outcome.as_ref().map_or_else(PublishError::code, |()| "confirmed");
            PUBLISHED.with_label_values(&[label, code]).inc();
            let seconds = started.elapsed().as_secs_f64();
            PUBLISH_SECONDS.with_label_values(&[label]).observe(seconds);
        }
        outcomes
    }

    /// Everything of a session on one lane, so that its order is kept, also with what is being
    /// published by others. The lanes do not wait for each other.
    async fn submit(
        &self,
        parcels: Vec<Parcel>,
        deadline: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let lanes = &self.shared.lanes;
        if let [parcel] = parcels.as_slice() {
            let lane = &lanes[parcel.lane(lanes.len())];
            return self.submit_to(lane, parcels, deadline).await;
        }
        let mut outcomes: Vec<_> = parcels.iter().map(|_| Err(PublishError::Unavailable)).collect();
        let mut shares: Vec<(Vec<usize>, Vec<Parcel>)> =
            lanes.iter().map(|_| Default::default()).collect();
        for (position, parcel) in parcels.into_iter().enumerate() {
            let (positions, share) = &mut shares[parcel.lane(lanes.len())];
            positions.push(position);
            share.push(parcel);
        }
        let submitting = lanes.iter().zip(shares).map(async |(lane, (positions, share))| {
            (positions, self.submit_to(lane, share, deadline).await)
        });
        for (positions, share) in join_all(submitting).await {
            for (position, outcome) in positions.into_iter().zip(share) {
                outcomes[position] = outcome;
            }
        }
        outcomes
    }

    async fn submit_to(
        &self,
        lane: &Entrance,
        parcels: Vec<Parcel>,
        deadline: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let mut waiting = Vec::new();
        for part in load::cut(parcels) {
            waiting.push(self.enqueue(lane, part, deadline).await);
        }
        let mut outcomes = Vec::new();
        for part in waiting {
            outcomes.extend(part.outcomes(deadline).await);
        }
        outcomes
    }

    async fn enqueue(&self, lane: &Entrance, parcels: Vec<Parcel>, deadline: Instant) -> Enqueued {
        let n_parcels = parcels.len();
        let sent = Arc::new(AtomicBool::new(false));
        let (outcomes, answer) = oneshot::channel();
        let job = Job { parcels, deadline, sent: Arc::clone(&sent), outcomes };
        let entering = timeout_at(deadline, self.enter(lane, job)).await;
        let state = match entering.unwrap_or(Err(PublishError::Unavailable)) {
            Ok(()) => State::Waiting { sent, answer },
            Err(error) => State::NotSent(error),
        };
        Enqueued { n_parcels, state }
    }

    /// Waits for its turn, for a connection and for a place on the lane.
    async fn enter(&self, lane: &Entrance, job: Job) -> Result<(), PublishError> {
        let _turn = lane.line.lock().await;
        let mut link = self.shared.link.clone();
        let link = link.wait_for(|link| !matches!(link, Link::Down { .. })).await;
        let is_blocked = *link.map_err(|_stopped| PublishError::Unavailable)? == Link::Blocked;
        if is_blocked {
            return Err(PublishError::Blocked);
        }
        lane.jobs.send(job).await.map_err(|_stopped| PublishError::Unavailable)
    }
}

/// A parcel that can be sent.
/// What the span of publishing `n_messages` of a kind tells.
pub fn sending<M: Message>(n_messages: usize) -> Sending<'static> {
    let exchange = topology::exchange(M::EXCHANGE);
    Sending { exchange, routing_key: M::ROUTING_KEY, n_messages }
}

fn ready(parcel: Result<Parcel, EncodeError>) -> Result<Parcel, PublishError> {
    let parcel = parcel.map_err(|error| PublishError::Encode(error.into()))?;
    match parcel.size_bytes() {
        ..=MAX_MESSAGE_BYTES => Ok(parcel),
        size_bytes => Err(PublishError::TooLarge { size_bytes }),
    }
}

/// A part of a publication that a lane has, or has not, been given.
struct Enqueued {
    n_parcels: usize,
    state: State,
}

enum State {
    NotSent(PublishError),
    Waiting { sent: Arc<AtomicBool>, answer: oneshot::Receiver<Vec<Result<(), PublishError>>> },
}

impl Enqueued {
    async fn outcomes(self, deadline: Instant) -> Vec<Result<(), PublishError>> {
        let error = match self.state {
            State::NotSent(error) => error,
            State::Waiting { sent, answer } => match timeout_at(deadline, answer).await {
                Ok(Ok(outcomes)) => return outcomes,
                _ if !sent.load(Ordering::Acquire) => PublishError::Unavailable,
                Ok(Err(_dropped)) => PublishError::Disconnected,
                Err(_elapsed) => PublishError::Timeout,
            },
        };
        (0..self.n_parcels).map(|_| Err(error.clone())).collect()
    }
}

/// All publishing channels of one connection.
struct Lanes(Vec<Lane>);

impl Session for Lanes {
    async fn run(
        &mut self,
        connection: &Connection,
        link: &LinkSender,
    ) -> Result<(), ConnectionError> {
        let lanes = try_join_all(self.0.iter_mut().map(|lane| lane.run(connection)));
        tokio::select! {
            biased;
            error = connection.follow(link) => Err(error),
            finished = lanes => finished.map(|_| ()),
        }
    }
}
