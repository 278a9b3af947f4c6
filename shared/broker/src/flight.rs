//! Publishing on one channel: flight after flight.
//!
//! A flight is whatever waits at its start, published back to back and confirmed as a whole; what
//! comes meanwhile is the next flight. That is a group commit: one message alone does not wait,
//! and thousands per second share the broker's fsyncs.
//!
//! Why as a whole: the broker names a message it could not route only by address, and lapin gives
//! it to whichever publication is confirmed next. So nobody is told anything before the whole
//! flight is settled, and then everybody who had that address is told it was unroutable.

use std::collections::HashSet;
use std::future::{poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::Either;
use futures_util::stream::FuturesUnordered;
use lapin::{Channel, Confirmation};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, ConnectionError};
use crate::link::Link;
use crate::load::Load;
use crate::parcel::Parcel;
use crate::publisher::PublishError;
use crate::topology;

/// Jobs that wait for the next flight; whoever finds it full waits within its own timeout.
pub(crate) const WAITING_JOBS: usize = 1024;
/// For confirms that are on their way when the broker blocks us.
const BLOCKED_GRACE: Duration = Duration::from_millis(100);
/// After shutdown has begun, how long a lane waits for work that is still being finished.
const LINGER: Duration = Duration::from_secs(1);

/// Messages to publish one after the other.
#[derive(Debug)]
pub(crate) struct Job {
    /// No more than fit into one flight: see [`load::cut`](crate::load::cut).
    pub(crate) parcels: Vec<Parcel>,
    /// When the caller stops waiting.
    pub(crate) deadline: Instant,
    /// Whether a byte of it may have reached the broker.
    pub(crate) sent: Arc<AtomicBool>,
    /// One outcome per parcel.
    pub(crate) outcomes: oneshot::Sender<Vec<Result<(), PublishError>>>,
}

impl Job {
    fn refuse(self, error: &PublishError) {
        let outcomes = self.parcels.iter().map(|_| Err(error.clone())).collect();
        // A caller that has gone needs no answer.
        let _ = self.outcomes.send(outcomes);
    }
}

/// One publishing channel and what waits for it; it outlives connections.
#[derive(Debug)]
pub(crate) struct Lane {
    jobs: mpsc::Receiver<Job>,
    /// A job for which there was no room in the flight before: the first of the next one.
    left_behind: Option<Job>,
    link: watch::Receiver<Link>,
    shutdown: CancellationToken,
}

/// What a flight says about the channel it went over.
enum Landing {
    /// All well, or not the channel's fault.
    Settled,
    /// Something had no queue to go to: the topology is not what we declared.
    Unroutable,
    /// Confirms are missing. Late ones would be taken for the next flight's, so there must be no
    /// next flight on this channel; and whether the connection is alive is to be found out.
    Overdue,
    /// The channel is gone.
    Lost(lapin::Error),
}

impl Lane {
    pub(crate) fn new(
        jobs: mpsc::Receiver<Job>,
        link: watch::Receiver<Link>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { jobs, left_behind: None, link, shutdown }
    }

    /// Publishes until there is no more to do, or the connection fails.
    pub(crate) async fn run(&mut self, connection: &Connection) -> Result<(), ConnectionError> {
        let mut channel = connection.publishing_channel().await?;
        while let Some(jobs) = self.board().await {
            match fly(jobs, &channel, self.link.clone()).await {
                Landing::Settled => {}
                Landing::Unroutable => connection.declare(topology::QUEUES).await?,
                Landing::Overdue => {
                    tracing::warn!("confirms are overdue, changing the channel");
                    if !self.await_unblocked().await {
                        return Ok(());
                    }
                    channel = connection.publishing_channel().await?;
                }
                Landing::Lost(source) => {
                    return Err(ConnectionError::Failed { operation: "publish", source });
                }
            }
        }
        Ok(())
    }

    /// Waits for a job, and takes what else is there and has room. `None` if there is no more to
    /// do.
    async fn board(&mut self) -> Option<Vec<Job>> {
        loop {
            let mut waiting = Some(self.next_job().await?);
            let mut jobs = Vec::new();
            let mut load = Load::default();
            while let Some(job) = waiting {
                if self.is_blocked() {
                    job.refuse(&PublishError::Blocked);
                } else if !job.outcomes.is_closed() {
                    if !load.take(Load::of(&job.parcels)) {
                        self.left_behind = Some(job);
                        break;
                    }
                    jobs.push(job);
                }
                waiting = self.jobs.try_recv().ok();
            }
            if !jobs.is_empty() {
                return Some(jobs);
            }
        }
    }

    /// The next job; `None` once every publisher is gone, or shutdown began and it is quiet.
    async fn next_job(&mut self) -> Option<Job> {
        if let Some(job) = self.left_behind.take() {
            return Some(job);
        }
        let quiet = async {
            self.shutdown.cancelled().await;
            sleep(LINGER).await;
        };
        tokio::select! {
            biased;
            job = self.jobs.recv() => job,
            () = quiet => {
                self.jobs.close();
                self.jobs.try_recv().ok()
            }
        }
    }

    fn is_blocked(&self) -> bool {
        *self.link.borrow() == Link::Blocked
    }

    /// Waits until the broker takes messages again, telling everyone that it does not.
    /// `false` if there is no more to do.
    async fn await_unblocked(&mut self) -> bool {
        let mut link = self.link.clone();
        let unblocked = link.wait_for(|link| *link != Link::Blocked);
        let mut unblocked = pin!(unblocked);
        loop {
            tokio::select! {
                biased;
                _ = &mut unblocked => return true,
                job = self.next_job() => match job {
                    Some(job) => job.refuse(&PublishError::Blocked),
                    None => return false,
                },
            }
        }
    }
}

/// Publishes all parcels of `jobs` in order, waits for the confirms, answers the jobs.
async fn fly(jobs: Vec<Job>, channel: &Channel, link: watch::Receiver<Link>) -> Landing {
    let Some(deadline) = jobs.iter().map(|job| job.deadline).max() else {
        return Landing::Settled;
    };
    for job in &jobs {
        job.sent.store(true, Ordering::Release);
    }
    let parcels: Vec<_> = jobs.iter().flat_map(|job| &job.parcels).collect();
    let words = publish(&parcels, channel, patience(deadline, link)).await;
    let landing = judge(&words);
    let mut outcomes = outcomes(&parcels, words).into_iter();
    for job in jobs {
        let own = outcomes.by_ref().take(job.parcels.len()).collect();
        // The caller may have stopped waiting; then nobody asks for the outcome.
        let _ = job.outcomes.send(own);
    }
    landing
}

/// How long confirms are waited for: until `deadline`, or until the broker has blocked us. Then it
/// has stopped reading in the middle of the flight, and goes on only when its alarm is over.
async fn patience(deadline: Instant, mut link: watch::Receiver<Link>) {
    let blocked = async {
        let stopped = link.wait_for(|link| *link == Link::Blocked).await.is_err();
        // Without a supervisor the connection ends, and the confirms with it.
        sleep(if stopped { Duration::MAX } else { BLOCKED_GRACE }).await;
    };
    tokio::select! {
        () = blocked => {}
        () = sleep_until(deadline) => {}
    }
}

/// The broker's word on each parcel, as far as it came while there was patience.
type Words = Vec<Option<lapin::Result<Confirmation>>>;

async fn publish(parcels: &[&Parcel], channel: &Channel, patience: impl Future) -> Words {
    let mut pending = FuturesUnordered::new();
    for (index, parcel) in parcels.iter().enumerate() {
        let mut publishing = Box::pin(parcel.publish(channel));
        // lapin takes the frames when it is first polled: that makes the order.
        let publishing = match poll_once(publishing.as_mut()).await {
            Poll::Ready(word) => Either::Left(ready(word)),
            Poll::Pending => Either::Right(publishing),
        };
        pending.push(async move { (index, publishing.await) });
    }
    let mut words: Words = parcels.iter().map(|_| None).collect();
    let mut patience = pin!(patience);
    loop {
        tokio::select! {
            biased;
            word = pending.next() => match word {
                Some((index, word)) => words[index] = Some(word),
                None => return words,
            },
            _ = &mut patience => return words,
        }
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

fn judge(words: &Words) -> Landing {
    let lost = words.iter().flatten().find_map(|word| word.as_ref().err());
    if let Some(error) = lost {
        return Landing::Lost(error.clone());
    }
    if words.iter().any(Option::is_none) {
        return Landing::Overdue;
    }
    if unroutable(words).next().is_some() { Landing::Unroutable } else { Landing::Settled }
}

/// The addresses of the messages that came back. Not of those they came back with: see above.
fn unroutable(words: &Words) -> impl Iterator<Item = (&str, &str)> {
    words.iter().flatten().flatten().filter_map(|confirmation| match confirmation {
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            Some((returned.exchange.as_str(), returned.routing_key.as_str()))
        }
        _ => None,
    })
}

fn outcomes(parcels: &[&Parcel], words: Words) -> Vec<Result<(), PublishError>> {
    let unroutable: HashSet<(String, String)> =
        unroutable(&words).map(|(exchange, key)| (exchange.into(), key.into())).collect();
    let came_back = |parcel: &Parcel| {
        let (exchange, key) = parcel.address();
        !unroutable.is_empty() && unroutable.contains(&(exchange.into(), key.into()))
    };
    let outcome = |(parcel, word): (&&Parcel, Option<lapin::Result<Confirmation>>)| match word {
        None => Err(PublishError::Timeout),
        Some(Err(_)) => Err(PublishError::Disconnected),
        Some(Ok(_)) if came_back(parcel) => Err(PublishError::Unroutable),
        Some(Ok(Confirmation::Ack(_))) => Ok(()),
        Some(Ok(Confirmation::Nack(_) | Confirmation::NotRequested)) => Err(PublishError::Refused),
    };
    parcels.iter().zip(words).map(outcome).collect()
}
