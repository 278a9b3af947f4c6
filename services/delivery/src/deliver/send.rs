//! Sends the chunks of a delivery, one request after the other, each recorded before the next.

use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::guard::Outbound;
use recado_store::deliveries::{After, AttemptRecord, ChunkStatus, PlannedChunk, Recording};
use recado_store::lanes::Held;
use recado_trace::spans;
use recado_types::AttemptId;
use recado_types::trigger::Callback;
use tokio::time::Instant;
use tracing::Instrument;
use url::Url;

use super::Ended;
use super::carrier::Carrier;
use super::held::{HeldLane, LONGEST_PAUSE_HELD, Parking, Unstored};
use super::plan::Plan;
use crate::callback::answer::{self, MAX_KEPT_BODY, Problem, Report};
use crate::callback::render::{self, Chunk};
use crate::callback::retry::{self, Next};
use crate::metrics::{ATTEMPT_SECONDS, ATTEMPTS, CHUNKS_SENT, WAITED_SECONDS};
use crate::smtp::{Composed, Mailer, Which};

/// One request that was made.
struct Attempt {
    id: AttemptId,
    number: u32,
    started_at: DateTime<Utc>,
    duration: Duration,
    report: Report,
}

/// What can be sent.
enum Ready<'a> {
    Request { callback: &'a Callback, request: Outbound },
    Mail { mailer: &'a Mailer, mail: Composed },
}

/// What comes after an attempt.
struct Step {
    next: Next,
    after: After,
    /// Why the lane is given back, if it is.
    parked: Option<(Duration, Parking)>,
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
        for number in chunk.attempt_count + 1.. {
            if self.lost.is_cancelled() {
                return Err(self.hand_back().await);
            }
            if self.in_hand.is_open() && !self.probe.is_pending() {
                return Err(self.park(Duration::ZERO, Parking::DestinationOpen).await);
            }
            let span = spans::attempt(chunk.index, number);
            let attempt = self.attempt(plan, chunk, number).instrument(span).await?;
            let news = self.judged(&attempt.report);
            let is_open = news.is_bad() || self.in_hand.is_open();
            let Step { next, after, parked } = step(plan, chunk, &attempt, is_open);
            let recorded = self.record(plan, chunk, &attempt, after).await;
            self.spread(news).await;
            recorded?;
            self.tell(plan, chunk, &attempt, next);
            match (next, parked) {
                (_, Some((pause, why))) => return Err(Ended::Parked { pause, why }),
                (Next::Done, None) => return Ok(()),
                (Next::GiveUp, None) => return Err(Ended::Failed),
                (Next::Retry { pause }, None) => self.pause(pause).await?,
            }
        }
        Ok(())
    }

    /// Makes one attempt. `Err` if there is nothing that can be sent.
    async fn attempt(
        &self,
        plan: &Plan,
        chunk: &PlannedChunk,
        number: u32,
    ) -> Result<Attempt, Ended> {
        let clock = &self.deliver.clock;
        let ready = match &plan.carrier {
            Carrier::Callback { callback, secret } => {
                let request = self.request(plan, callback, secret.as_deref(), chunk).await?;
                Ready::Request { callback, request }
            }
            Carrier::Mail(mailer) => Ready::Mail { mailer, mail: self.mail(mailer, chunk).await? },
        };
        let id = AttemptId(clock.fresh_id());
        let (started_at, started) = (clock.now(), Instant::now());
        let client = &self.deliver.client;
        let (report, duration) = match ready {
            Ready::Request { callback, request } => {
                let result = client.send(request).await;
                let duration = started.elapsed();
                (answer::read(result, &callback.success, &plan.sent, clock.now()), duration)
            }
            Ready::Mail { mailer, mail } => {
                let report = mailer.send(client, &plan.destinations, &plan.sent, &mail).await;
                (report, started.elapsed())
            }
        };
        Ok(Attempt { id, number, started_at, duration, report })
    }

    async fn request(
        &self,
        plan: &Plan,
        callback: &Callback,
        secret: Option<&str>,
        chunk: &PlannedChunk,
    ) -> Result<Outbound, Ended> {
        let claimed = self.claimed;
        let values = Chunk {
            context: &claimed.context,
            text: &chunk.body,
            number: chunk.index + 1,
            count: count(plan),
            execution_id: claimed.execution_id,
            delivery_id: claimed.delivery_id,
            whole_round: claimed.whole_round,
            session_id: claimed.lease.session_id,
            trigger_id: claimed.trigger_id,
        };
        let request = render::render(callback, &values, secret, self.deliver.clock.now());
        let request = match request {
            Ok(request) => request.max_body_bytes(plan.sent.to_be_read(MAX_KEPT_BODY)),
            Err(error) => {
                tracing::debug!(error = &error as &dyn Error, "a request cannot be written");
                return Err(self.fail(error.code(), &error.to_string()).await);
            }
        };
        if let Err(error) = plan.destinations.check(&request.url) {
            let message = format!("{}: {error}", authority(&request.url));
            return Err(self.fail("destination_not_allowed", &message).await);
        }
        Ok(request)
    }

    async fn mail(&self, mailer: &Mailer, chunk: &PlannedChunk) -> Result<Composed, Ended> {
        let claimed = self.claimed;
        let which = Which {
            context: &claimed.context,
            text: &chunk.body,
            number: chunk.index + 1,
            delivery_id: claimed.delivery_id,
            whole_round: claimed.whole_round,
        };
        match mailer.compose(&which, claimed.requested_at) {
            Ok(mail) => Ok(mail),
            Err(error) => {
                tracing::debug!(error = &error as &dyn Error, "a mail cannot be written");
                Err(self.fail(error.code(), &error.to_string()).await)
            }
        }
    }

    /// Writes the attempt down, with what follows from it. While the database is away, the result
    /// is held: making the request again could deliver the chunk twice.
    async fn record(
        &self,
        plan: &Plan,
        chunk: &PlannedChunk,
        attempt: &Attempt,
        after: After,
    ) -> Result<(), Ended> {
        let claimed = self.claimed;
        let Report { status_code, problem, provider_id, body, .. } = &attempt.report;
        let is_new = !plan.is_stored && attempt.number == 1;
        let record = AttemptRecord {
            id: attempt.id,
            tenant_id: claimed.tenant_id,
            delivery_id: claimed.delivery_id,
            chunk_index: chunk.index,
            chunk_count: count(plan),
            chunk_body: is_new.then(|| chunk.body.clone()),
            truncated: plan.truncated,
            round: claimed.round,
            attempt: attempt.number,
            started_at: attempt.started_at,
            duration_ms: millis(attempt.duration),
            status_code: *status_code,
            error_code: problem.as_ref().map(|problem| problem.code.to_string()),
            response_body: body.clone(),
            provider_id: provider_id.clone(),
            now: self.deliver.clock.now(),
        };
        let recording = Recording { lease: claimed.lease, attempt: record, after };
        match self.deliver.recorder.record(recording).await {
            Ok(Held::Yes) => Ok(()),
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
        if (chunk.index, attempt.number) == (0, 1) {
            let waited = attempt.started_at - self.claimed.requested_at;
            WAITED_SECONDS.observe(waited.to_std().unwrap_or_default().as_secs_f64());
        }
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

/// What comes after an attempt. A lane does not wait in hand for long, nor for a destination that
/// is open.
fn step(plan: &Plan, chunk: &PlannedChunk, attempt: &Attempt, is_open: bool) -> Step {
    let jitter = rand::random_range(0.0..=1.0);
    let Report { outcome, problem, .. } = &attempt.report;
    let next = retry::next(plan.carrier.retry(), attempt.number, outcome, jitter);
    let between = plan.pause_between_chunks;
    let (after, parked) = match next {
        Next::Done if chunk.index + 1 == count(plan) => (After::Delivered, None),
        Next::Done if between > LONGEST_PAUSE_HELD => {
            let parked = Some((between, Parking::ChunkDelay));
            (After::ChunkSentLater { pause: between }, parked)
        }
        Next::Done => (After::ChunkSent, None),
        Next::Retry { pause } if is_open => {
            (After::RetryLater { pause }, Some((pause, Parking::DestinationOpen)))
        }
        Next::Retry { pause } if pause > LONGEST_PAUSE_HELD => {
            (After::RetryLater { pause }, Some((pause, Parking::Retry)))
        }
        Next::Retry { .. } => (After::RetryHere, None),
        Next::GiveUp => (gave_up(problem.as_ref()), None),
    };
    Step { next, after, parked }
}

fn gave_up(problem: Option<&Problem>) -> After {
    match problem {
        Some(Problem { code, message }) => {
            After::Failed { code: code.to_string(), message: message.to_string() }
        }
        None => After::Failed { code: "not_sent".into(), message: "the chunk was not sent".into() },
    }
}

/// Host and port, which the trigger's configuration has as they are.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn count(plan: &Plan) -> u32 {
    u32::try_from(plan.chunks.len()).unwrap_or(u32::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
