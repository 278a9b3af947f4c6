//! Sends the chunks of a delivery, one request after the other, each recorded before the next.

use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::guard::Outbound;
use recado_store::Failure;
use recado_store::deliveries::{self, After, AttemptRecord, ChunkStatus, Claimed, PlannedChunk};
use recado_store::lanes::Held;
use recado_types::AttemptId;
use tokio::time::Instant;

use super::Ended;
use super::held::{HeldLane, LONGEST_PAUSE_HELD, Unstored};
use super::plan::Plan;
use crate::callback::answer::{self, Report};
use crate::callback::render::{self, Chunk};
use crate::callback::retry::{self, Next};
use crate::metrics::{ATTEMPT_SECONDS, ATTEMPTS, CHUNKS_SENT};

/// One request that was made.
struct Attempt {
    id: AttemptId,
    number: u32,
    started_at: DateTime<Utc>,
    duration: Duration,
    report: Report,
}

impl HeldLane<'_> {
    /// Sends what was not sent yet. `Err` says how it ended early.
    pub(super) async fn send_all(&self, plan: &Plan) -> Result<Ended, Ended> {
        let mut is_first = true;
        for chunk in plan.chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Pending) {
            if !is_first {
                self.pause(plan.pause_between_chunks).await?;
            }
            is_first = false;
            self.send(plan, chunk).await?;
        }
        if is_first {
            return Err(self.fail("nothing_to_send", "no chunk is left to be sent").await);
        }
        Ok(Ended::Delivered)
    }

    /// Sends one chunk, as often as it takes and is allowed.
    async fn send(&self, plan: &Plan, chunk: &PlannedChunk) -> Result<(), Ended> {
        let request = match self.render(plan, chunk) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(error = &error as &dyn Error, "a request cannot be written");
                return Err(self.fail(error.code(), &error.to_string()).await);
            }
        };
        let is_last = chunk.index + 1 == count(plan);
        for number in chunk.attempt_count + 1.. {
            if self.lost.is_cancelled() {
                return Err(Ended::LeaseLost);
            }
            let attempt = self.attempt(number, request.clone()).await;
            let jitter = rand::random_range(0.0..=1.0);
            let next = retry::next(&plan.callback.retry, number, &attempt.report.outcome, jitter);
            let after = after(next, is_last, &attempt.report);
            self.record(plan, chunk, &attempt, &after).await?;
            self.tell(plan, chunk, &attempt, next);
            match next {
                Next::Done => return Ok(()),
                Next::GiveUp => return Err(Ended::Failed),
                Next::Retry { pause } if pause > LONGEST_PAUSE_HELD => return Err(Ended::Parked),
                Next::Retry { pause } => self.pause(pause).await?,
            }
        }
        Ok(())
    }

    fn render(&self, plan: &Plan, chunk: &PlannedChunk) -> Result<Outbound, render::RenderError> {
        let claimed = self.claimed;
        let values = Chunk {
            context: &claimed.context,
            text: &chunk.body,
            number: chunk.index + 1,
            count: count(plan),
            execution_id: claimed.execution_id,
            delivery_id: claimed.delivery_id,
            session_id: claimed.lease.session_id,
            trigger_id: claimed.trigger_id,
        };
        render::render(&plan.callback, &values, plan.secret.as_deref())
    }

    async fn attempt(&self, number: u32, request: Outbound) -> Attempt {
        let clock = &self.deliver.clock;
        let id = AttemptId(clock.fresh_id());
        let (started_at, started) = (clock.now(), Instant::now());
        let result = self.deliver.client.send(request).await;
        let duration = started.elapsed();
        Attempt { id, number, started_at, duration, report: answer::read(result, clock.now()) }
    }

    /// Writes the attempt down, with what follows from it. While the database is away, the result
    /// is held: making the request again could deliver the chunk twice.
    async fn record(
        &self,
        plan: &Plan,
        chunk: &PlannedChunk,
        attempt: &Attempt,
        after: &After<'_>,
    ) -> Result<(), Ended> {
        let Claimed { lease, delivery_id, tenant_id, .. } = self.claimed;
        let Report { status_code, problem, provider_id, body, .. } = &attempt.report;
        let record = AttemptRecord {
            id: attempt.id,
            tenant_id: *tenant_id,
            delivery_id: *delivery_id,
            chunk_index: chunk.index,
            chunk_count: count(plan),
            chunk_body: &chunk.body,
            truncated: plan.truncated,
            attempt: attempt.number,
            started_at: attempt.started_at,
            duration_ms: millis(attempt.duration),
            status_code: *status_code,
            error_code: problem.as_ref().map(|problem| &*problem.code),
            response_body: body.as_deref(),
            provider_id: provider_id.as_deref(),
            now: self.deliver.clock.now(),
        };
        let (store, lease_for) = (&self.deliver.store, self.deliver.lease);
        match self.stored(|| deliveries::record(store, lease, lease_for, &record, after)).await {
            Ok(Held::Yes) => Ok(()),
            // It was stored the time before, and only the answer did not come through.
            Err(Unstored::Rejected(error)) if error.failure() == Failure::Duplicate => Ok(()),
            Ok(Held::No) | Err(Unstored::LeaseLost) => Err(Ended::LeaseLost),
            Err(Unstored::Rejected(error)) => {
                tracing::error!(error = &error as &dyn Error, "an attempt cannot be recorded");
                // An unrecorded attempt would be made again, for ever.
                Err(self.fail("internal_error", "an attempt could not be recorded").await)
            }
        }
    }

    /// The one line of an attempt.
    fn tell(&self, plan: &Plan, chunk: &PlannedChunk, attempt: &Attempt, next: Next) {
        let (outcome, pause) = match next {
            Next::Done => ("sent", None),
            Next::Retry { pause } => ("retry", Some(millis(pause))),
            Next::GiveUp => ("gave_up", None),
        };
        ATTEMPTS.with_label_values(&[outcome]).inc();
        ATTEMPT_SECONDS.observe(attempt.duration.as_secs_f64());
        if next == Next::Done {
            CHUNKS_SENT.inc();
        }
        let (number, count) = (chunk.index + 1, count(plan));
        tracing::info!(
            event.name = "delivery.attempted",
            delivery.id = %self.claimed.delivery_id,
            execution.id = %self.claimed.execution_id,
            trigger.id = %self.claimed.trigger_id,
            tenant.id = %self.claimed.tenant_id,
            session.id = %self.claimed.lease.session_id,
            attempt.id = %attempt.id,
            attempt.number = attempt.number,
            attempt.outcome = outcome,
            attempt.retry_in_ms = pause,
            chunk.number = number,
            chunk.count = count,
            http.status_code = attempt.report.status_code,
            error.code = attempt.report.problem.as_ref().map(|problem| &*problem.code),
            duration_ms = millis(attempt.duration),
            "chunk {number} of {count} of delivery {}: {outcome}",
            self.claimed.delivery_id
        );
    }
}

fn after(next: Next, is_last: bool, report: &Report) -> After<'_> {
    match next {
        Next::Done if is_last => After::Delivered,
        Next::Done => After::ChunkSent,
        Next::Retry { pause } if pause > LONGEST_PAUSE_HELD => After::RetryLater { pause },
        Next::Retry { .. } => After::RetryHere,
        Next::GiveUp => match &report.problem {
            Some(problem) => After::Failed { code: &problem.code, message: &problem.message },
            None => After::Failed { code: "not_sent", message: "the chunk was not sent" },
        },
    }
}

fn count(plan: &Plan) -> u32 {
    u32::try_from(plan.chunks.len()).unwrap_or(u32::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
