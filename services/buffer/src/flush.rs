//! Publishes windows: those that Redis says are due, and on demand those of given sessions.
//!
//! Claim → publish → commit. Who dies in between leaves a claim whose lease runs out, and the next
//! claimer publishes the same messages again.

use std::time::Duration;

use recado_broker::PublishError;
use recado_kv::{ClaimedWindow, Claims};
use recado_messages::ExecutionRequested;
use recado_store::{StoreError, messages};
use recado_trace::spans;
use recado_types::{MessageId, SessionId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::Buffer;
use crate::metrics::{FLUSHES, LATE_SECONDS};
use crate::request::{self, Request};

/// How many windows one claim takes, at most.
const CLAIM_LIMIT: usize = 64;
/// How long a claim is kept for an instance that may have died: longer than a flush takes whose
/// statement and publication both take as long as they may.
const CLAIM_LEASE: Duration = Duration::from_secs(12);
/// How many open messages of a session are looked at: a full window, and what a wipe of Redis may
/// have left in front of it.
const MAX_OPEN: u32 = 200;
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
    /// Flushes what is due until `shutdown`; a flush that has begun is finished.
    pub(crate) async fn flush_until(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let pause = self.flush_due().await;
            shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Flushes what is due now; answers in how long to look again.
    async fn flush_due(&self) -> Duration {
        // An error was noted where it arose; the sweeper does without Redis.
        let Ok(claims) = self.kv.claim(CLAIM_LIMIT, CLAIM_LEASE).await else { return PAUSE };
        if !claims.intact {
            self.lost.notify_one();
        }
        if claims.windows.is_empty() {
            return pause_after(&claims);
        }
        match self.flush_claimed(&claims.windows).await {
            Ok(()) => pause_after(&claims),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "due windows wait for another try");
                PAUSE
            }
        }
    }

    async fn flush_claimed(&self, windows: &[ClaimedWindow]) -> Result<(), FlushError> {
        let claimed_at = Instant::now();
        let sessions: Vec<SessionId> = windows.iter().map(|window| window.session_id).collect();
        let open = messages::open(&self.store, &sessions, MAX_OPEN).await;
        let mut open = request::by_session(open.map_err(FlushError::Store)?);
        let mut requests = Vec::new();
        let mut n_requests = Vec::with_capacity(windows.len());
        for window in windows {
            // Nothing is open of a window that was executed already: it is committed, no more.
            let messages = open.remove(&window.session_id).unwrap_or_default();
            let messages = request::up_to_last_claimed(messages, &window.message_ids);
            let of_window = request::requests(messages);
            n_requests.push(of_window.len());
            requests.extend(of_window);
        }
        let mut published = self.publish(requests).await.into_iter();
        let (mut flushed, mut n_flushed, mut failure) = (Vec::new(), 0, None);
        for (window, n_requests) in windows.iter().zip(n_requests) {
            let outcomes: Vec<_> = published.by_ref().take(n_requests).collect();
            if let Some(error) = outcomes.into_iter().find_map(Result::err) {
                failure = Some(error);
                continue;
            }
            flushed.push(window.clone());
            if n_requests > 0 {
                n_flushed += 1;
                LATE_SECONDS.observe((window.late_by + claimed_at.elapsed()).as_secs_f64());
            }
        }
        FLUSHES.with_label_values(&["due"]).inc_by(n_flushed);
        // If Redis is gone now, so is the claim; the messages are admitted once all the same.
        let _noted = self.kv.commit(&flushed).await;
        failure.map_or(Ok(()), |error| Err(FlushError::Publish(error)))
    }

    /// Publishes the open messages of `sessions`, by what PostgreSQL knows.
    pub(crate) async fn flush_sessions(
        &self,
        sessions: &[SessionId],
        reason: &'static str,
    ) -> Result<(), FlushError> {
        let open = messages::open(&self.store, sessions, MAX_OPEN).await;
        let open = request::by_session(open.map_err(FlushError::Store)?);
        let requests: Vec<Request> = open.into_values().flat_map(request::requests).collect();
        let n_requests = requests.len() as u64;
        for published in self.publish(requests).await {
            published.map_err(FlushError::Publish)?;
        }
        FLUSHES.with_label_values(&[reason]).inc_by(n_requests);
        Ok(())
    }

    /// Publishes, and notes in PostgreSQL what was confirmed, so that it is not published again
    /// while agent-runner takes its time.
    ///
    /// A window is published in the trace of its first message, and linked with those of all.
    async fn publish(&self, requests: Vec<Request>) -> Vec<Result<(), PublishError>> {
        let about = recado_broker::sending::<ExecutionRequested>(1);
        let requests: Vec<(ExecutionRequested, Span)> = requests
            .into_iter()
            .map(|it| (it.requested, spans::send_because(about, it.traces.iter())))
            .collect();
        let published = self.publisher.publish_each(&requests).await;
        let confirmed = requests.iter().zip(&published).filter(|(_, published)| published.is_ok());
        let ids: Vec<MessageId> = confirmed
            .flat_map(|((request, _), _)| request.messages.iter().map(|message| message.id))
            .collect();
        if !ids.is_empty()
            && let Err(error) = messages::mark_requested(&self.store, &ids).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "some requests may be published twice");
        }
        published
    }
}

/// No pause while there is more than one claim takes; otherwise until the next window is due.
fn pause_after(claims: &Claims) -> Duration {
    if claims.windows.len() == CLAIM_LIMIT {
        return Duration::ZERO;
    }
    claims.next_due_in.map_or(POLL, |due| due.clamp(Duration::from_millis(1), POLL))
}
