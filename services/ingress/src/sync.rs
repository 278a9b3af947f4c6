//! Waiting for an answer, for senders that want it as the answer to their request.
//!
//! The news that an execution has ended comes by this instance's reply queue. The row is the
//! truth: it is read when the news comes, now and then in case it was lost, and once more before
//! anybody is told that the time is up.

use std::time::Duration;

use recado_broker::Replies;
use recado_messages::Inbound;
use recado_store::executions::{self, EndedExecution};
use recado_store::{Store, StoreError, messages};
use recado_types::{ExecutionId, Fingerprint, MessageId, TenantId};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::metrics::WAITING;
use crate::refusal::Refusal;
use crate::toll::Share;

/// How often an execution is looked for without news of it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the last look may take, after which the time is up in any case.
const LAST_LOOK: Duration = Duration::from_millis(300);

/// How long senders may go on waiting once the process has to stop: less than the server gives
/// them, so that they are told where their answer will be instead of being cut off.
const GRACE: Duration = Duration::from_secs(10);

/// What waits for answers.
#[derive(Debug)]
pub(crate) struct Answers {
    replies: Replies,
    store: Store,
    shutdown: CancellationToken,
}

impl Answers {
    pub(crate) fn new(replies: Replies, store: Store, shutdown: CancellationToken) -> Self {
        Self { replies, store, shutdown }
    }

    /// Where the news has to be sent.
    pub(crate) fn address(&self) -> String {
        self.replies.queue().to_owned()
    }

    /// Listens for the news of an execution from now on; it has to be called before anybody asks
    /// for the execution, or the news could come first. Dropping it ends that.
    pub(crate) fn expect(&self, message: &Inbound, share: Share) -> Expected<'_> {
        let execution = ExecutionId::of_first(message.id);
        let waiter = self.replies.wait_for(execution.0);
        WAITING.inc();
        Expected {
            waiter,
            answers: self,
            tenant: message.tenant_id,
            execution,
            message: message.id,
            fingerprint: message.fingerprint,
            _share: share,
        }
    }
}

/// An execution whose end somebody waits for.
pub(crate) struct Expected<'a> {
    waiter: recado_broker::Waiter,
    answers: &'a Answers,
    tenant: TenantId,
    execution: ExecutionId,
    message: MessageId,
    fingerprint: Option<Fingerprint>,
    _share: Share,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        WAITING.dec();
    }
}

impl Expected<'_> {
    /// How it ended; an error if it did not within `wait`.
    pub(crate) async fn within(mut self, wait: Duration) -> Result<EndedExecution, Refusal> {
        let mut deadline = Instant::now() + wait;
        let mut is_stopping = false;
        loop {
            let next_look = deadline.min(Instant::now() + self.look_after());
            tokio::select! {
                () = self.waiter.news() => {}
                () = sleep_until(next_look) => {}
                () = self.answers.shutdown.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    deadline = deadline.min(Instant::now() + GRACE);
                }
            }
            // Whatever it was, the row knows.
            if let Some((ended, is_ours)) = self.look(deadline).await {
                return if is_ours { Ok(ended) } else { Err(Refusal::IdempotencyConflict) };
            }
            if Instant::now() >= deadline {
                return Err(Refusal::TimeIsUp { execution: self.execution });
            }
        }
    }

    /// How the execution ended, and whether it is about this message, if the database says so in
    /// time.
    async fn look(&self, deadline: Instant) -> Option<(EndedExecution, bool)> {
        // A database that hangs must not keep anybody from noticing that the process has to stop.
        let now = Instant::now();
        let until = deadline.min(now + LOOK_EVERY).max(now + LAST_LOOK);
        match timeout_at(until, Box::pin(self.ask())).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "an execution could not be looked up; looking again");
                None
            }
            Err(_elapsed) => None,
        }
    }

    /// Another message may have the same id, and so the same execution, if Redis forgot about it:
    /// its answer is not for this sender. Nor is that of one that retention has removed, since
    /// nobody can tell any more what it said.
    async fn ask(&self) -> Result<Option<(EndedExecution, bool)>, StoreError> {
        let store = &self.answers.store;
        let ended = executions::outcome(store, self.tenant, self.execution).await?;
        let (Some(ended), Some(fingerprint)) = (&ended, self.fingerprint) else {
            return Ok(ended.map(|ended| (ended, true)));
        };
        let recorded = messages::fingerprint(store, self.message).await?;
        let is_ours = recorded.is_some_and(|recorded| {
            recorded.fingerprint.is_none_or(|recorded| recorded == fingerprint)
        });
        Ok(Some((ended.clone(), is_ours)))
    }

    /// [`LOOK_EVERY`], and a part of a second that is this execution's own: those who began to wait
    /// together should not look together.
    fn look_after(&self) -> Duration {
        let [.., low] = self.execution.0.into_bytes();
        LOOK_EVERY + Duration::from_millis(4) * u32::from(low)
    }
}
