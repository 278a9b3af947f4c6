//! Gives messages their execution and queues it in the session's lane.

use std::sync::Arc;

use recado_broker::{Handler, OnError, Received};
use recado_clock::Clock;
use recado_messages::{ExecutionFinished, ExecutionRequested};
use recado_service::lanes::Wake;
use recado_store::executions::{self, Waiting};
use recado_store::{Failure, Store, StoreError};
use recado_types::MessageId;

use crate::metrics::{ADMITTED, CONFLICTS};
use crate::news::News;

/// As many messages as a full window has, and as much between two as a trigger may say
/// (`execution.message_buffer`); whoever asks for more is not one of us.
const MAX_MESSAGES: usize = 100;
const MAX_SEPARATOR_CHARS: usize = 64;
/// As long as AMQP lets the name of a queue be, in bytes.
const MAX_QUEUE_BYTES: usize = 255;

/// Why requests were not admitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmitError {
    /// A request that no service of ours makes.
    #[error(
        "a request has no message, too many, those of several sessions, a long separator, \
         or a reply queue that cannot be"
    )]
    Foreign,
    /// The sender used an id again, and Redis had forgotten it: whoever gave it away twice has to
    /// hear of it, so it must not pass for the message that is known.
    #[error("message {0} is known with another content")]
    Conflict(MessageId),
    /// PostgreSQL did not take it.
    #[error("the messages were not admitted")]
    Store(#[source] StoreError),
}

/// The handler of `agent-runner.executions`.
pub(crate) struct AdmitExecution {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Wake,
    pub(crate) news: News,
}

impl Handler for AdmitExecution {
    type Message = ExecutionRequested;
    type Error = AdmitError;

    async fn handle(&self, batch: Vec<Received<ExecutionRequested>>) -> Result<(), AdmitError> {
        let requests: Vec<&ExecutionRequested> = batch.iter().map(|item| &item.message).collect();
        if !requests.iter().all(|request| is_ours(request)) {
            return Err(AdmitError::Foreign);
        }
        let traces: Vec<_> = batch.iter().map(|item| item.trace.as_ref()).collect();
        let now = self.clock.now();
        let admitted = executions::admit_traced(&self.store, &requests, &traces, now).await;
        let admitted = admitted.map_err(AdmitError::Store)?;
        ADMITTED.inc_by(admitted.n_messages);
        if admitted.n_executions > 0 {
            self.wake.wake();
        }
        for Waiting { reply_to, session_id, execution_id } in admitted.finished {
            self.news.send(vec![reply_to], ExecutionFinished { session_id, execution_id });
        }
        CONFLICTS.inc_by(admitted.conflicts.len() as u64);
        admitted.conflicts.first().map_or(Ok(()), |id| Err(AdmitError::Conflict(*id)))
    }

    fn on_error(&self, error: &AdmitError) -> OnError {
        match error {
            AdmitError::Foreign | AdmitError::Conflict(_) => OnError::Isolate,
            AdmitError::Store(error) => match error.failure() {
                Failure::Unavailable => OnError::Hold,
                Failure::Duplicate | Failure::Rejected | Failure::Internal => OnError::Isolate,
            },
        }
    }
}

fn is_ours(request: &ExecutionRequested) -> bool {
    let messages = &request.messages;
    let queue = request.reply_to.as_ref();
    (1..=MAX_MESSAGES).contains(&messages.len())
        && messages.iter().all(|message| message.session_id == messages[0].session_id)
        && request.separator.chars().count() <= MAX_SEPARATOR_CHARS
        && queue.is_none_or(|queue| (1..=MAX_QUEUE_BYTES).contains(&queue.len()))
}
