//! Takes messages in: PostgreSQL, then their sessions' windows, then the acknowledgement.

use std::collections::HashSet;
use std::sync::Arc;

use recado_broker::{Handler, OnError, PublishError, Received};
use recado_kv::Push;
use recado_messages::{Inbound, MessageReceived};
use recado_store::messages::{self, Kept};
use recado_store::{Failure, StoreError};
use recado_types::{MessageId, SessionId, TraceContext};

use crate::Buffer;
use crate::metrics::CONFLICTS;

/// Why messages could not be taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The sender used an id again, and Redis had forgotten it: whoever gave it away twice has to
    /// hear of it, so it must not pass for the message that is known.
    #[error("message {0} is known with another content")]
    Conflict(MessageId),
    /// PostgreSQL did not take them.
    #[error("the messages were not recorded")]
    Store(#[source] StoreError),
    /// Redis is away, and so the broker has to take the windows at once; it did not.
    #[error("the messages were not passed on")]
    Publish(#[source] PublishError),
}

/// The handler of `buffer.inbound`.
pub(crate) struct RecordMessage(pub(crate) Arc<Buffer>);

impl Handler for RecordMessage {
    type Message = MessageReceived;
    type Error = RecordError;

    async fn handle(&self, batch: Vec<Received<MessageReceived>>) -> Result<(), RecordError> {
        let (received, traces): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|item| (item.message, item.trace)).unzip();
        self.0.take_in(&received, &traces).await
    }

    fn on_error(&self, error: &RecordError) -> OnError {
        match error {
            RecordError::Conflict(_) => OnError::Isolate,
            RecordError::Store(error) => match error.failure() {
                Failure::Unavailable => OnError::Hold,
                Failure::Duplicate | Failure::Rejected | Failure::Internal => OnError::Isolate,
            },
            RecordError::Publish(error) => match error {
                PublishError::Encode(_) | PublishError::TooLarge { .. } => OnError::Isolate,
                PublishError::Disconnected
                | PublishError::Blocked
                | PublishError::Unavailable
                | PublishError::Timeout
                | PublishError::Unroutable
                | PublishError::Refused => OnError::Hold,
            },
        }
    }
}

impl Buffer {
    /// Takes messages in; `traces` says where in a trace each was published.
    async fn take_in(
        &self,
        received: &[MessageReceived],
        traces: &[Option<TraceContext>],
    ) -> Result<(), RecordError> {
        let inbound: Vec<&Inbound> = received.iter().map(|item| &item.message).collect();
        let traces: Vec<_> = traces.iter().map(Option::as_ref).collect();
        let kept = messages::record_traced(&self.store, &inbound, &traces).await;
        let Kept { open, conflicts } = kept.map_err(RecordError::Store)?;
        // The neighbours are recorded by now, and enter their windows when each is tried alone.
        if let Some(id) = conflicts.first() {
            CONFLICTS.inc_by(conflicts.len() as u64);
            return Err(RecordError::Conflict(*id));
        }
        let open: HashSet<MessageId> = open.into_iter().collect();
        // What is requested already is a provider's retry, or the broker's: nothing to wait for.
        let pushes: Vec<Push> = received
            .iter()
            .filter(|item| open.contains(&item.message.id))
            .map(|item| Push {
                session_id: item.message.session_id,
                message_id: item.message.id,
                policy: item.buffer.bounded(),
            })
            .collect();
        if pushes.is_empty() {
            return Ok(());
        }
        match self.kv.push(&pushes).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.lost.notify_one();
                Ok(())
            }
            // Seed 000: without Redis, messages execute at once. Whether a push that timed out
            // arrived does not matter: a window whose messages are in an execution is empty.
            Err(_noted) => self.flush_at_once(&pushes).await,
        }
    }

    async fn flush_at_once(&self, pushes: &[Push]) -> Result<(), RecordError> {
        let sessions: HashSet<SessionId> = pushes.iter().map(|push| push.session_id).collect();
        let sessions: Vec<SessionId> = sessions.into_iter().collect();
        let flushed = self.flush_sessions(&sessions, "redis_down").await;
        flushed.map_err(|error| match error {
            crate::flush::FlushError::Store(error) => RecordError::Store(error),
            crate::flush::FlushError::Publish(error) => RecordError::Publish(error),
        })
    }
}

#[cfg(test)]
mod tests;
