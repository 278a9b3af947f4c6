//! How much waits in a queue, asked of the broker by whoever consumes it.

use std::convert::Infallible;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Queue as Declared};
use tokio::time::sleep;

use crate::connection::{ANSWER_TIMEOUT, Connection, ConnectionError, within};
use crate::metrics::{QUEUE_CONSUMERS, QUEUE_MESSAGES};
use crate::topology::Queue;

/// How often the broker is asked.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// Keeps the gauges of `queue` and its dead-letter queue up to date for as long as this is polled.
/// When it cannot, and when it is dropped, they have no value: nobody knows.
pub(super) async fn watch(connection: &Connection, queue: &Queue) -> Infallible {
    let gauges = Gauges { queue: queue.name, dead_letter_queue: queue.dead_letter_queue() };
    loop {
        let Err(error) = gauges.keep(connection).await;
        gauges.forget();
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            broker.queue = queue.name,
            "its depth is not known"
        );
        sleep(ASK_EVERY).await;
    }
}

/// The gauges of one queue.
struct Gauges {
    queue: &'static str,
    dead_letter_queue: String,
}

impl Gauges {
    /// Asks again and again, on a channel of its own: a question about a queue that is not there
    /// costs the channel.
    async fn keep(&self, connection: &Connection) -> Result<Infallible, ConnectionError> {
        let channel = connection.channel().await?;
        loop {
            let queue = look(&channel, self.queue).await?;
            let dead_letters = look(&channel, &self.dead_letter_queue).await?;
            let messages = |queue: &Declared| f64::from(queue.message_count());
            QUEUE_MESSAGES.with_label_values(&[self.queue]).set(messages(&queue));
            let dead = &[self.dead_letter_queue.as_str()];
            QUEUE_MESSAGES.with_label_values(dead).set(messages(&dead_letters));
            let consumers = f64::from(queue.consumer_count());
            QUEUE_CONSUMERS.with_label_values(&[self.queue]).set(consumers);
            sleep(ASK_EVERY).await;
        }
    }

    fn forget(&self) {
        // Those that are not there need not be removed.
        let _ = QUEUE_MESSAGES.remove_label_values(&[self.queue]);
        let _ = QUEUE_MESSAGES.remove_label_values(&[self.dead_letter_queue.as_str()]);
        let _ = QUEUE_CONSUMERS.remove_label_values(&[self.queue]);
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Asks about a queue without changing anything.
async fn look(channel: &Channel, name: &str) -> Result<Declared, ConnectionError> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let asking = channel.queue_declare(name.into(), passive, FieldTable::default());
    within(ANSWER_TIMEOUT, "ask how long a queue is", asking).await
}
