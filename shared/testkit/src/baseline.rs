//! What the servers give to a program that does nothing else: the yardsticks that `recado bench`
//! holds the product against, in the same run and on the same servers.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use lapin::options::{
    BasicAckOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use uuid::Uuid;

use crate::sql;

/// AMQP's `delivery_mode` of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// How many messages are handed to whoever takes them before it acknowledges the first.
const PREFETCH: u16 = 1_000;

/// Why there is no yardstick.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// The broker could not be used.
    #[error("the bare publisher could not use the broker")]
    Broker(#[from] lapin::Error),
    /// A message was not taken, so its time means nothing.
    #[error("the broker did not take a message of the bare publisher: {0:?}")]
    NotTaken(Box<Confirmation>),
    /// The database could not be used.
    #[error("the bare program could not commit")]
    Database(#[from] tokio_postgres::Error),
}

/// How long confirms, or commits, took.
#[derive(Debug, Default)]
pub struct Confirms {
    /// From the first call to the last answer.
    pub took: Duration,
    /// From each call to its answer.
    pub latencies: Vec<Duration>,
}

impl Confirms {
    /// Answers per second.
    pub fn per_second(&self) -> f64 {
        let n = u32::try_from(self.latencies.len()).unwrap_or(u32::MAX);
        f64::from(n) / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// A publisher of persistent, mandatory, confirmed messages to a quorum queue of its own.
#[derive(Debug)]
pub struct BarePublisher {
    connection: Connection,
    channel: Channel,
    queue: String,
    body: Vec<u8>,
}

impl BarePublisher {
    /// Connects and declares the queue. Every message will have `body_bytes` bytes.
    pub async fn connect(url: &str, body_bytes: usize) -> Result<Self, BaselineError> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let queue = format!("baseline.{}", Uuid::new_v4());
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.queue_declare(queue.as_str().into(), durable, arguments).await?;
        Ok(Self { connection, channel, queue, body: vec![b'x'; body_bytes] })
    }

    /// Publishes as fast as the broker confirms, `in_flight` messages at a time.
    pub async fn saturate(
        &self,
        in_flight: usize,
        duration: Duration,
    ) -> Result<Confirms, BaselineError> {
        let started = Instant::now();
        let publishers = (0..in_flight).map(|_| async {
            let mut latencies = Vec::new();
            while started.elapsed() < duration {
                latencies.push(self.publish(Instant::now()).await?);
            }
            Ok::<_, BaselineError>(latencies)
        });
        let latencies = try_join_all(publishers).await?.concat();
        Ok(Confirms { took: started.elapsed(), latencies })
    }

    /// Publishes at a steady pace, with at most `in_flight` messages unconfirmed.
    pub async fn keep_pace(
        &self,
        pace: &Pace,
        in_flight: usize,
    ) -> Result<Confirms, BaselineError> {
        let started = Instant::now();
        let publishers = (0..in_flight).map(|_| async {
            let mut latencies = Vec::new();
            while let Some(turn) = pace.turn().await {
                latencies.push(self.publish(turn.began).await?);
            }
            Ok::<_, BaselineError>(latencies)
        });
        let latencies = try_join_all(publishers).await?.concat();
        Ok(Confirms { took: started.elapsed(), latencies })
    }

    /// Deletes the queue with what is in it, and disconnects.
    pub async fn close(self) -> Result<(), BaselineError> {
        let unconditionally = QueueDeleteOptions::default();
        self.channel.queue_delete(self.queue.as_str().into(), unconditionally).await?;
        self.connection.close(200, "measured".into()).await?;
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "the bare program, without our own publisher")]
    async fn publish(&self, began: Instant) -> Result<Duration, BaselineError> {
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let queue = self.queue.as_str().into();
        let sent =
            self.channel.basic_publish("".into(), queue, mandatory, &self.body, properties).await?;
        match sent.await? {
            Confirmation::Ack(None) => Ok(began.elapsed()),
            other => Err(BaselineError::NotTaken(Box::new(other))),
        }
    }
}

/// Throws away what waits in `queue`: a producer that is measured alone has no consumer. What a
/// consumer has been handed and has not acknowledged stays.
pub async fn purge(url: &str, queue: &str) -> Result<(), BaselineError> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
    connection.close(200, "purged".into()).await?;
    Ok(())
}

/// Takes what comes to `queue`, in place of the service whose queue it is, and acknowledges it.
/// Ends when `taken`, which is given each body, answers that it was the last.
pub async fn take(
    url: &str,
    queue: &str,
    mut taken: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), BaselineError> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (options, arguments) = Default::default();
    let mut deliveries = channel.basic_consume(queue.into(), "".into(), options, arguments).await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        delivery.ack(BasicAckOptions::default()).await?;
        if taken(&delivery.data).is_break() {
            break;
        }
    }
    connection.close(200, "taken".into()).await?;
    Ok(())
}

/// Commits rows of `row_bytes` bytes, one by one, from so many `connections`: what the disk under
/// the database gives. The table is its own, and dropped afterwards.
pub async fn bare_commits(
    database_url: &str,
    connections: usize,
    row_bytes: usize,
    duration: Duration,
) -> Result<Confirms, BaselineError> {
    sql::execute(database_url, "CREATE TABLE baseline (body text NOT NULL)").await?;
    let (row, started) = ("x".repeat(row_bytes), Instant::now());
    let writers = (0..connections).map(|_| {
        sql::connected(database_url, async |client| {
            let insert = client.prepare("INSERT INTO baseline (body) VALUES ($1)").await?;
            let mut latencies = Vec::new();
            while started.elapsed() < duration {
                let began = Instant::now();
                client.execute(&insert, &[&row]).await?;
                latencies.push(began.elapsed());
            }
            Ok::<_, tokio_postgres::Error>(latencies)
        })
    });
    let latencies = try_join_all(writers).await;
    let took = started.elapsed();
    sql::execute(database_url, "DROP TABLE baseline").await?;
    Ok(Confirms { took, latencies: latencies?.concat() })
}

/// A schedule that does not wait for answers: turn `n` is due `n` intervals after the start,
/// whoever takes it.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    interval: Duration,
    n_turns: u64,
    next: AtomicU64,
}

/// One turn of a [`Pace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which: from 0.
    pub index: u64,
    /// What its latency counts from.
    pub began: Instant,
}

impl Pace {
    /// Begins now; goes on for `duration`. A rate below one per 1,000 s counts as that.
    pub fn start(per_second: f64, duration: Duration) -> Self {
        let interval = Duration::from_secs_f64(1.0 / per_second.max(0.001));
        let n_turns = duration.as_nanos() / interval.as_nanos().max(1);
        let n_turns = u64::try_from(n_turns).unwrap_or(u64::MAX);
        Self { start: Instant::now(), interval, n_turns, next: AtomicU64::new(0) }
    }

    /// Waits until the next turn is due; `None` after the last.
    ///
    /// A turn that is taken late, because everybody was waiting for an answer, began when it was
    /// due: the wait is part of its latency. A turn that was waited for began when the timer
    /// fired, since a timer's millisecond says nothing about what is measured.
    pub async fn turn(&self) -> Option<Turn> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if index >= self.n_turns {
            return None;
        }
        let offset = self.interval.mul_f64(f64::from(u32::try_from(index).unwrap_or(u32::MAX)));
        let due = self.start + offset;
        if due <= Instant::now() {
            return Some(Turn { index, began: due });
        }
        tokio::time::sleep_until(due.into()).await;
        Some(Turn { index, began: Instant::now() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pace_gives_each_turn_once_and_then_ends() {
        let pace = Pace::start(1_000.0, Duration::from_millis(20));
        let mut indices = Vec::new();
        while let Some(turn) = pace.turn().await {
            indices.push(turn.index);
        }
        assert_eq!(indices, (0..20).collect::<Vec<_>>());
        assert_eq!(pace.turn().await, None);
    }

    #[tokio::test]
    async fn a_turn_taken_late_began_when_it_was_due() {
        let mut pace = Pace::start(1_000.0, Duration::from_secs(1));
        pace.start = Instant::now().checked_sub(Duration::from_millis(500)).unwrap();
        pace.turn().await.unwrap();
        let late = pace.turn().await.unwrap();
        assert_eq!(late.began, pace.start + Duration::from_millis(1));
    }
}
