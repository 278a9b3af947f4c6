//! One dead-letter queue while somebody looks through it.
//!
//! Messages are got one by one and not acknowledged, so nobody else gets them meanwhile; in the
//! end all that were not taken out go back to where they were. If the process dies, or the
//! connection, the broker puts them back by itself, in an order of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{DeliveryTag, FieldTable};
use tokio::time::{Instant, sleep};

use crate::connection::{ANSWER_TIMEOUT, Connection, ConnectionError, within};
use crate::topology::Queue;

/// How many messages of a queue are looked at. Each is a question to the broker, and none of them
/// is to be had by anybody else before the last one is answered.
const MOST_MESSAGES: usize = 1_000;
/// How many bytes of a queue are looked at: they all come over the network.
const MOST_BYTES: usize = 32 << 20;

/// How many messages are put back at once. Each is a command of its own to a quorum queue, and what
/// RabbitMQ's channel has beyond 32 on their way, it keeps and sends in an order of its own.
const PUT_BACK_AT_ONCE: usize = 16;
/// How long it is waited, for all of them together, until they are back in their queue.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// How often it is asked whether they are.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// AMQP's code for a queue that is not there.
const NOT_FOUND: u16 = 404;

/// A dead-letter queue that is being looked through.
pub(super) struct Look {
    name: String,
    channel: Channel,
    messages_left: usize,
    bytes_left: usize,
    until: Instant,
    /// How many the broker has that nobody got, when it last said so.
    n_ready: usize,
    /// The tags of those that were got and not removed.
    held: BTreeSet<DeliveryTag>,
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
        let n_behind = match count(&channel, &name).await {
            Ok(n_behind) => n_behind,
            Err(error) if error.is_refusal(NOT_FOUND) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (messages_left, bytes_left) = (MOST_MESSAGES, MOST_BYTES);
        Ok(Some(Self {
            name,
            channel,
            messages_left,
            bytes_left,
            until,
            n_ready: n_behind,
            held: BTreeSet::new(),
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
            (self.n_ready, self.n_behind) = (0, 0);
            return Ok(None);
        };
        self.n_ready = usize::try_from(got.message_count).unwrap_or(usize::MAX);
        self.held.insert(got.delivery_tag);
        self.messages_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(got.delivery.data.len());
        self.n_behind =
            if self.counts_what_comes { self.n_ready } else { self.n_behind.saturating_sub(1) };
        Ok(Some(got.delivery))
    }

    /// How many messages were not looked at.
    pub(super) fn n_behind(&self) -> usize {
        self.n_behind
    }

    /// Takes a message out for good.
    pub(super) async fn remove(&mut self, letter: &Delivery) -> Result<(), ConnectionError> {
        let acking = self.channel.basic_ack(letter.delivery_tag, BasicAckOptions::default());
        within(ANSWER_TIMEOUT, "remove a dead letter", acking).await?;
        self.held.remove(&letter.delivery_tag);
        Ok(())
    }

    /// Puts everything else back. What was removed is gone when this returns `Ok`.
    pub(super) async fn close(mut self) -> Result<(), ConnectionError> {
        self.put_back().await?;
        within(ANSWER_TIMEOUT, "close a channel", self.channel.close(200, "bye".into())).await
    }

    /// A part at a time, each of which has to be there before the next, so that they stay in order.
    /// Closing the channel would do, if it kept that.
    ///
    /// Dead letters that come meanwhile are taken for some that went back: that may cost the order,
    /// and no more.
    async fn put_back(&mut self) -> Result<(), ConnectionError> {
        let until = Instant::now() + BACK_WITHIN;
        let held: Vec<DeliveryTag> = std::mem::take(&mut self.held).into_iter().collect();
        for part in held.chunks(PUT_BACK_AT_ONCE) {
            let Some(last) = part.last() else { continue };
            let up_to_it = BasicNackOptions { multiple: true, requeue: true };
            let returning = self.channel.basic_nack(*last, up_to_it);
            within(ANSWER_TIMEOUT, "put dead letters back", returning).await?;
            self.n_ready = self.n_ready.saturating_add(part.len());
            // Not forever: somebody else may take them out, too.
            while count(&self.channel, &self.name).await? < self.n_ready && Instant::now() < until {
                sleep(ASK_EVERY).await;
            }
        }
        Ok(())
    }
}

/// How many messages a queue has that nobody got.
async fn count(channel: &Channel, queue: &str) -> Result<usize, ConnectionError> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let asking = channel.queue_declare(queue.into(), passive, FieldTable::default());
    let found = within(ANSWER_TIMEOUT, "count dead letters", asking).await?;
    Ok(usize::try_from(found.message_count()).unwrap_or(usize::MAX))
}
