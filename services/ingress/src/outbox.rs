//! Hands accepted messages to the broker, a bounded number at a time.
//!
//! What returns `Ok` is on disk in a queue. Everything else is a 503: a sender that is told so
//! sends again, and if the broker has the message after all, the provider's id makes it the same.

use std::time::Duration;

use recado_broker::{PublishError, Publisher};
use recado_messages::{ExecutionRequested, Inbound, MessageReceived};
use recado_types::trigger::MessageBuffer;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::metrics::{PUBLISH_WAIT_SECONDS, PUBLISHING};

/// How long a message may wait for its turn. Together with the publisher's timeout this bounds the
/// time until a sender is told to come back: 1.9 s, unless configured otherwise.
const WAIT_FOR_TURN: Duration = Duration::from_millis(400);

/// Why a message was not, or not certainly, handed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandOverError {
    #[error("too many messages wait for the broker")]
    Full,
    #[error("the message could not be published")]
    Publish(#[source] PublishError),
}

impl HandOverError {
    /// Whether the broker may have the message in spite of the error.
    pub(crate) fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Full => false,
            Self::Publish(error) => error.is_outcome_unknown(),
        }
    }
}

/// The way to the broker.
#[derive(Debug)]
pub(crate) struct Outbox {
    publisher: Publisher,
    places: Semaphore,
}

impl Outbox {
    /// At most `places` messages wait for the broker at a time.
    pub(crate) fn new(publisher: Publisher, places: usize) -> Self {
        Self { publisher, places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)) }
    }

    /// Publishes `message`, to the buffer if there is one, and waits for the confirm. `reply_to` is
    /// the queue of whoever waits for the answer.
    pub(crate) async fn hand_over(
        &self,
        message: Inbound,
        buffer: Option<&MessageBuffer>,
        reply_to: Option<String>,
    ) -> Result<(), HandOverError> {
        let waiting_since = Instant::now();
        let place = timeout(WAIT_FOR_TURN, self.places.acquire()).await;
        PUBLISH_WAIT_SECONDS.observe(waiting_since.elapsed().as_secs_f64());
        let Ok(Ok(_place)) = place else { return Err(HandOverError::Full) };
        let _counted = Counted::new();
        let published = if let Some(buffer) = buffer {
            let received = MessageReceived { message, buffer: buffer.policy };
            self.publisher.publish(&received).await
        } else {
            let messages = vec![message];
            // Of no effect on a single message.
            let requested = ExecutionRequested { messages, separator: "\n".into(), reply_to };
            self.publisher.publish(&requested).await
        };
        published.map_err(HandOverError::Publish)
    }
}

/// Counts a publication for as long as it lasts, however it ends.
struct Counted;

impl Counted {
    fn new() -> Self {
        PUBLISHING.inc();
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        PUBLISHING.dec();
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::trigger::tests::inbound;

    #[tokio::test]
    async fn more_than_its_places_do_not_wait_for_a_broker_that_is_away() {
        let config = recado_broker::Config {
            publish_timeout: Duration::from_secs(1),
            ..recado_broker::Config::new("amqp://127.0.0.1:1", "test")
        };
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let _stopped_at_the_end = shutdown.clone().drop_guard();
        let outbox = Outbox::new(Publisher::start(config, &tasks, shutdown), 1);

        let first = outbox.hand_over(inbound(), None, None);
        let second = async {
            let begun = Instant::now();
            (outbox.hand_over(inbound(), None, None).await, begun.elapsed())
        };
        let (first, (second, took)) = tokio::join!(first, second);
        assert!(matches!(first, Err(HandOverError::Publish(PublishError::Unavailable))));
        assert!(matches!(second, Err(HandOverError::Full)));
        assert!(took < Duration::from_secs(1), "{took:?}");
        // The place is free again.
        let third = outbox.hand_over(inbound(), None, None).await;
        assert!(matches!(third, Err(HandOverError::Publish(_))));
    }
}
