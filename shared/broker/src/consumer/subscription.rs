//! A consumer on a channel of its own, which gives out batches.

use futures_util::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::message::Delivery;

use super::batch::Interrupted;
use crate::connection::{ANSWER_TIMEOUT, Connection, ConnectionError, within};
use crate::topology::Queue;

/// Bodies in one batch. A handler makes one statement of it, which exists several times over until
/// it is done, here and in the database, and which holds up everything behind it; 4 MiB are
/// some 10 ms of writing, and a whole batch of ordinary messages is a tenth of it.
const BATCH_BYTES: usize = 4 << 20;

/// A consumer on a channel of its own.
pub(super) struct Subscription {
    pub(super) channel: Channel,
    deliveries: lapin::Consumer,
    /// What came behind a batch and is not part of it: a message too large for it, or the end.
    left_over: Option<Result<Delivery, ConnectionError>>,
}

impl Subscription {
    pub(super) async fn open(
        connection: &Connection,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<Self, ConnectionError> {
        let (channel, deliveries) = connection.consume(queue, prefetch).await?;
        Ok(Self { channel, deliveries, left_over: None })
    }

    /// Waits for a message, and takes what else is there: up to `limit` messages and
    /// [`BATCH_BYTES`], the first in any case, never waiting for more.
    pub(super) async fn next(&mut self, limit: usize) -> Result<Vec<Delivery>, ConnectionError> {
        let first = match self.left_over.take() {
            Some(item) => item?,
            None => one(self.deliveries.next().await)?,
        };
        let mut n_bytes = first.data.len();
        let mut batch = vec![first];
        while batch.len() < limit {
            match self.deliveries.next().now_or_never().map(one) {
                Some(Ok(delivery)) if n_bytes + delivery.data.len() <= BATCH_BYTES => {
                    n_bytes += delivery.data.len();
                    batch.push(delivery);
                }
                Some(item) => {
                    self.left_over = Some(item);
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }

    /// Gives back everything that is not acknowledged, if consuming `ended` while the broker is
    /// there to hear of it and the process goes on.
    pub(super) async fn close_after(
        self,
        ended: Result<(), Interrupted>,
    ) -> Result<(), Interrupted> {
        match ended {
            Ok(()) => Ok(self.close().await?),
            Err(Interrupted::Unable(given_back)) => {
                // If the broker is gone, it has them back already.
                let _ = self.close().await;
                Err(Interrupted::Unable(given_back))
            }
            Err(Interrupted::Stopping | Interrupted::Lost(_)) => ended,
        }
    }

    /// Closing the channel, and not the consumer only, gives back what came meanwhile before anyone
    /// else gets the message after it.
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
