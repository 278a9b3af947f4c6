//! Publishes windows: those that Redis says are due, and on demand those of given sessions.
//!
//! Claim → publish → commit. Who dies in between leaves a claim whose lease runs out, and the next
//! claimer publishes the same messages again.

use std::time::Duration;

use recado_broker::PublishError;
use recado_kv::{ClaimedWindow, Claims};
use recado_messages::ExecutionRequested;
use recado_store::{StoreError, messages};
use recado_types::{MessageId, SessionId};

use crate::metrics::FLUSHES;
use crate::{Buffer, request};

/// How many windows one claim takes, at most.
const CLAIM_LIMIT: usize = 64;
/// How long a claim is kept for an instance that may have died.
const CLAIM_LEASE: Duration = Duration::from_secs(5);
/// The longest pause between looks: a window opened by another instance may be due by then.
const POLL: Duration = Duration::from_millis(50);
/// The pause after something failed.
const PAUSE: Duration = Duration::from_millis(250);

/// Why windows were not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlushError {
    /// Their messages could not be read.
    #[error("the messages of due windows were not read")]
    Store(#[source] StoreError),
    /// The broker did not take them.
    #[error("due windows were not published")]
    Publish(#[source] PublishError),
}

impl Buffer {
    /// Flushes what is due, as long as somebody polls.
    pub(crate) async fn flush_for_ever(&self) {
        loop {
            // An error was noted where it arose; the sweeper does without Redis.
            let Ok(claims) = self.kv.claim(CLAIM_LIMIT, CLAIM_LEASE).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if !claims.intact {
                self.lost.notify_one();
            }
            if let Err(error) = self.flush_claimed(&claims.windows).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "due windows wait for another try");
                tokio::time::sleep(PAUSE).await;
            }
            tokio::time::sleep(pause_after(&claims)).await;
        }
    }

    async fn flush_claimed(&self, windows: &[ClaimedWindow]) -> Result<(), FlushError> {
        if windows.is_empty() {
            return Ok(());
        }
        let ids: Vec<MessageId> =
            windows.iter().flat_map(|window| window.message_ids.iter().copied()).collect();
        let open = messages::open_by_id(&self.store, &ids).await.map_err(FlushError::Store)?;
        let mut open = request::by_session(open);
        // A window without open messages has been executed already: it is committed, no more.
        let (mut flushed, mut claimed) = (Vec::new(), Vec::new());
        let mut requests = Vec::new();
        for window in windows {
            let messages = open.remove(&window.session_id).unwrap_or_default();
            match request::request(request::claimed(messages, &window.message_ids)) {
                None => flushed.push(window.clone()),
                Some(request) => {
                    claimed.push(window.clone());
                    requests.push(request);
                }
            }
        }
        let published = self.publisher.publish_all(&requests).await;
        let mut failure = None;
        for (window, published) in claimed.into_iter().zip(published) {
            match published {
                Ok(()) => flushed.push(window),
                Err(error) => failure = Some(error),
            }
        }
        FLUSHES.with_label_values(&["due"]).inc_by(flushed.len() as u64);
        // If Redis is gone now, so is the claim; the messages are admitted once all the same.
        let _noted = self.kv.commit(&flushed).await;
        failure.map_or(Ok(()), |error| Err(FlushError::Publish(error)))
    }

    /// Publishes every open message of `sessions`, by what PostgreSQL knows.
    pub(crate) async fn flush_sessions(
        &self,
        sessions: &[SessionId],
        reason: &'static str,
    ) -> Result<(), FlushError> {
        let open = messages::open_of_sessions(&self.store, sessions).await;
        let open = request::by_session(open.map_err(FlushError::Store)?);
        let requests: Vec<ExecutionRequested> =
            open.into_values().flat_map(request::requests).collect();
        for published in self.publisher.publish_all(&requests).await {
            published.map_err(FlushError::Publish)?;
        }
        FLUSHES.with_label_values(&[reason]).inc_by(requests.len() as u64);
        Ok(())
    }
}

/// No pause while there is more than one claim takes; otherwise until the next window is due.
fn pause_after(claims: &Claims) -> Duration {
    if claims.windows.len() == CLAIM_LIMIT {
        return Duration::ZERO;
    }
    claims.next_due_in.map_or(POLL, |due| due.clamp(Duration::from_millis(1), POLL))
}
