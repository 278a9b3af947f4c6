//! One dead-letter queue while somebody looks through it.
//!
//! Messages are got one by one and not acknowledged, so nobody else gets them meanwhile; in the
//! end all that were not taken out go back to where they were. If the process dies, or the
//! connection, the broker puts them back by itself, in an order of its own.

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::time::Instant;

use crate::connection::{ANSWER_TIMEOUT, Connection, ConnectionError, within};
use crate::topology::Queue;

/// How many messages of a queue are looked at. Each is a question to the broker, and none of them
/// is to be had by anybody else before the last one is answered.
const MOST_MESSAGES: usize = 1_000;
/// How many bytes of a queue are looked at: they all come over the network.
const MOST_BYTES: usize = 32 << 20;

/// AMQP's code for a queue that is not there.
const NOT_FOUND: u16 = 404;

/// A dead-letter queue that is being looked through.
pub(super) struct Look {
    name: String,
    channel: Channel,
    messages_left: usize,
    bytes_left: usize,
    until: Instant,
    /// How many wait behind those that were got.
    n_behind: usize,
    /// Whether what comes while it is looked at counts among them.
    counts_what_comes: bool,
}

impl Look {
    /// Opens the dead-letter queue of `queue`, to look at it no longer than `until`. `None` if
    /// there is none, as on a broker where the consumer never was.
    pub(super) async fn open(
        connection: &Connection,
        queue: &Queue,
        until: Instant,
    ) -> Result<Option<Self>, ConnectionError> {
        let channel = connection.channel().await?;
        let name = queue.dead_letter_queue();
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let asking = channel.queue_declare(name.as_str().into(), passive, FieldTable::default());
        let found = match within(ANSWER_TIMEOUT, "find the dead-letter queue", asking).await {
            Ok(found) => found,
            Err(error) if error.is_refusal(NOT_FOUND) => return Ok(None),
            Err(error) => return Err(error),
        };
        let n_behind = usize::try_from(found.message_count()).unwrap_or(usize::MAX);
        let (messages_left, bytes_left) = (MOST_MESSAGES, MOST_BYTES);
        Ok(Some(Self {
            name,
            channel,
            messages_left,
            bytes_left,
            until,
            n_behind,
            counts_what_comes: true,
        }))
    }

    /// Leaves out what comes from now on, such as messages that were redriven and failed again, and
    /// all but the first `most` of those that are there.
    pub(super) fn only_what_is_there(&mut self, most: usize) {
        self.n_behind = self.n_behind.min(most);
        self.messages_left = self.messages_left.min(self.n_behind);
        self.counts_what_comes = false;
    }

    /// The next message, from the head on; `None` after the last one, or as many as are looked at.
    pub(super) async fn next(&mut self) -> Result<Option<Delivery>, ConnectionError> {
        let may_go_on = self.messages_left > 0 && self.bytes_left > 0;
        if !may_go_on || Instant::now() >= self.until {
            return Ok(None);
        }
        let getting = self.channel.basic_get(self.name.as_str().into(), BasicGetOptions::default());
        let Some(got) = within(ANSWER_TIMEOUT, "get a dead letter", getting).await? else {
            self.n_behind = 0;
            return Ok(None);
        };
        self.messages_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(got.delivery.data.len());
        self.n_behind = if self.counts_what_comes {
            usize::try_from(got.message_count).unwrap_or(usize::MAX)
        } else {
            self.n_behind.saturating_sub(1)
        };
        Ok(Some(got.delivery))
    }

    /// How many messages were not looked at.
    pub(super) fn n_behind(&self) -> usize {
        self.n_behind
    }

    /// Takes a message out for good.
    pub(super) async fn remove(&self, letter: &Delivery) -> Result<(), ConnectionError> {
        let acking = self.channel.basic_ack(letter.delivery_tag, BasicAckOptions::default());
        within(ANSWER_TIMEOUT, "remove a dead letter", acking).await
    }

    /// Puts everything else back. What was removed is gone when this returns `Ok`.
    pub(super) async fn close(self) -> Result<(), ConnectionError> {
        // Tag 0 is all of them. Closing the channel would do, if it kept their order.
        let all = BasicNackOptions { multiple: true, requeue: true };
        let returning = self.channel.basic_nack(0, all);
        within(ANSWER_TIMEOUT, "put dead letters back", returning).await?;
        within(ANSWER_TIMEOUT, "close a channel", self.channel.close(200, "bye".into())).await
    }
}
