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

/// A message that is to be published.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Inbound,
    /// The queue of whoever waits for the answer.
    pub(crate) reply_to: Option<String>,
}

/// The way to the broker.
#[derive(Debug)]
pub(crate) struct Outbox {
    publisher: Publisher,
    places: Semaphore,
    /// How many of them there are.
    n_places: u32,
}

impl Outbox {
    /// At most `places` messages wait for the broker at a time; or one batch, if it is larger.
    pub(crate) fn new(publisher: Publisher, places: usize) -> Self {
        let n_places = u32::try_from(places.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { publisher, places: Semaphore::new(n_places as usize), n_places }
    }

    /// Publishes messages, to the buffer if there is one, and waits for their confirms. One outcome
    /// each, in their order. Messages of one session are published in their order, and before
    /// those of a later call.
    pub(crate) async fn hand_over(
        &self,
        outgoing: Vec<Outgoing>,
        buffer: Option<&MessageBuffer>,
    ) -> Vec<Result<(), HandOverError>> {
        let n_messages = u32::try_from(outgoing.len()).unwrap_or(u32::MAX);
        let waiting_since = Instant::now();
        let turn = self.places.acquire_many(n_messages.min(self.n_places));
        let turn = timeout(WAIT_FOR_TURN, turn).await;
        PUBLISH_WAIT_SECONDS.observe(waiting_since.elapsed().as_secs_f64());
        let Ok(Ok(_places)) = turn else {
            return outgoing.iter().map(|_| Err(HandOverError::Full)).collect();
        };
        let _counted = Counted::new(n_messages);
        // Given to the publisher in one call: that, and no order of polling, makes their order.
        let published = if let Some(buffer) = buffer {
            let received = outgoing
                .into_iter()
                .map(|Outgoing { message, .. }| MessageReceived { message, buffer: buffer.policy });
            self.publisher.publish_all(&received.collect::<Vec<_>>()).await
        } else {
            let requested = outgoing.into_iter().map(|Outgoing { message, reply_to }| {
                // Of no effect on a single message.
                let separator = "\n".into();
                ExecutionRequested { messages: vec![message], separator, reply_to }
            });
            self.publisher.publish_all(&requested.collect::<Vec<_>>()).await
        };
        published.into_iter().map(|outcome| outcome.map_err(HandOverError::Publish)).collect()
    }
}

/// Counts publications for as long as they last, however they end.
struct Counted(i64);

impl Counted {
    fn new(n_messages: u32) -> Self {
        PUBLISHING.add(n_messages.into());
        Self(n_messages.into())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        PUBLISHING.sub(self.0);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use recado_types::{MessageId, SessionId, TenantId, TriggerId};
    use serde_json::Map;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use uuid::Uuid;

    use super::*;

    fn inbound() -> Inbound {
        let id = Uuid::from_u128;
        Inbound {
            id: MessageId(id(4)),
            tenant_id: TenantId(id(2)),
            trigger_id: TriggerId(id(1)),
            session_id: SessionId(id(5)),
            accepted_at: DateTime::UNIX_EPOCH,
            text: "Olá".into(),
            context: Map::new(),
            fingerprint: None,
            payload: None,
        }
    }

    #[tokio::test]
    async fn more_than_its_places_do_not_wait_for_a_broker_that_is_away() {
        let config = recado_broker::Config {
            publish_timeout: Duration::from_secs(1),
            ..recado_broker::Config::new("amqp://127.0.0.1:1", "test")
        };
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let _stopped_at_the_end = shutdown.clone().drop_guard();
        let outbox = Outbox::new(Publisher::start(config, &tasks, shutdown), 1);
        let hand_over = async |n_messages: usize| {
            let outgoing = || Outgoing { message: inbound(), reply_to: None };
            outbox.hand_over((0..n_messages).map(|_| outgoing()).collect(), None).await
        };

        let first = hand_over(1);
        let second = async {
            let begun = Instant::now();
            (hand_over(1).await, begun.elapsed())
        };
        let (first, (second, took)) = tokio::join!(first, second);
        let unavailable = |outcome: &Result<(), HandOverError>| {
            matches!(outcome, Err(HandOverError::Publish(PublishError::Unavailable)))
        };
        assert!(first.iter().all(unavailable), "{first:?}");
        assert!(matches!(second.as_slice(), [Err(HandOverError::Full)]), "{second:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        // The place is free again, also for a batch that would need more than there are.
        let third = hand_over(3).await;
        assert!(third.len() == 3 && third.iter().all(unavailable), "{third:?}");
    }
}
