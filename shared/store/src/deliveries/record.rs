//! Writing attempts down, with what follows from each.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_types::{AttemptId, DeliveryId, TenantId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::ChunkStatus;
use crate::lanes::{Held, Lease, millis};
use crate::{Store, StoreError};

/// Records attempts and what follows from them, each if its lease is still held: a lease that was
/// lost writes nothing, be its successor's in the same batch. Everything but the lanes goes by what
/// was locked, in the order of the sessions.
///
/// A chunk that was planned is there already, with its text; one that was not comes with it.
///
/// An attempt that is there already was written by the same statement before, whose answer was
/// lost: it counts as written although the lane may be gone since.
const RECORD: &str = "\
-- deliveries.record
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::integer[], $4::bigint[], $5::boolean[], $6::uuid[], $7::uuid[],
        $8::uuid[], $9::integer[], $10::integer[], $11::integer[], $12::timestamptz[],
        $13::bigint[], $14::integer[], $15::text[], $16::text[], $17::text[], $18::text[],
        $19::timestamptz[], $20::text[], $21::text[], $22::integer[], $23::boolean[], $24::text[],
        $25::text[], $26::timestamptz[])
      AS asked (session_id, token, n_ended, next_run_in_ms, is_kept, attempt_id, tenant_id,
                delivery_id, chunk_index, round, attempt, started_at, duration_ms, status_code,
                error_code, response_body, chunk_body, chunk_status, sent_at, provider_id,
                status, chunk_count, truncated, failed_code, failed_message, finished_at)
), held AS MATERIALIZED (
    SELECT asked.session_id, asked.token
      FROM asked
      JOIN lanes ON lanes.kind = 'delivery' AND lanes.session_id = asked.session_id
                AND lanes.lease_token = asked.token
     ORDER BY lanes.session_id FOR UPDATE OF lanes
), written AS MATERIALIZED (
    SELECT asked.* FROM asked JOIN held USING (session_id, token)
), lane AS (
    UPDATE lanes
       SET queued = lanes.queued - written.n_ended,
           next_run_at = CASE WHEN written.n_ended = 0
                              THEN now() + written.next_run_in_ms * interval '1 millisecond'
                              WHEN lanes.queued > 1 THEN now() END,
           lease_token = CASE WHEN written.is_kept THEN lanes.lease_token END
      FROM written
     WHERE lanes.kind = 'delivery' AND lanes.session_id = written.session_id
), attempted AS (
    INSERT INTO attempts (id, tenant_id, delivery_id, chunk_index, round, attempt, started_at,
                          duration_ms, status_code, error_code, response_body)
    SELECT attempt_id, tenant_id, delivery_id, chunk_index, round, attempt, started_at,
           duration_ms, status_code, error_code, response_body FROM written
    ON CONFLICT DO NOTHING
), planned AS (
    UPDATE chunks
       SET status = written.chunk_status, attempt_count = written.attempt,
           sent_at = written.sent_at, provider_id = written.provider_id
      FROM written
     WHERE written.chunk_body IS NULL AND chunks.delivery_id = written.delivery_id
       AND chunks.chunk_index = written.chunk_index
), unplanned AS (
    INSERT INTO chunks (delivery_id, chunk_index, body, status, attempt_count, sent_at,
                        provider_id)
    SELECT delivery_id, chunk_index, chunk_body, chunk_status, attempt, sent_at, provider_id
      FROM written
     WHERE written.chunk_body IS NOT NULL
    ON CONFLICT (delivery_id, chunk_index) DO UPDATE
       SET status = excluded.status, attempt_count = excluded.attempt_count,
           sent_at = excluded.sent_at, provider_id = excluded.provider_id
), skipped AS (
    UPDATE chunks SET status = 'skipped'
      FROM written
     WHERE written.status = 'failed' AND chunks.delivery_id = written.delivery_id
       AND chunks.chunk_index > written.chunk_index
), delivery AS (
    UPDATE deliveries
       SET status = written.status, chunk_count = written.chunk_count,
           truncated = written.truncated, error_code = written.failed_code,
           error_message = written.failed_message,
           finished_at = CASE WHEN written.n_ended = 1 THEN written.finished_at END
      FROM written
     WHERE deliveries.id = written.delivery_id
)
SELECT attempt_id FROM asked
 WHERE (session_id, token) IN (SELECT session_id, token FROM held)
    OR EXISTS (SELECT FROM attempts
                WHERE attempts.delivery_id = asked.delivery_id
                  AND attempts.chunk_index = asked.chunk_index AND attempts.round = asked.round
                  AND attempts.attempt = asked.attempt AND attempts.id = asked.attempt_id)";

/// One HTTP request of a delivery and its answer.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Its id.
    pub id: AttemptId,
    /// Whose.
    pub tenant_id: TenantId,
    /// Of which delivery.
    pub delivery_id: DeliveryId,
    /// Of which chunk, from 0.
    pub chunk_index: u32,
    /// How many chunks the delivery has.
    pub chunk_count: u32,
    /// The chunk's text, if it is not stored yet: the delivery was not planned, and this is the
    /// first attempt to send it.
    pub chunk_body: Option<String>,
    /// Whether something was cut off when the delivery was planned.
    pub truncated: bool,
    /// The delivery's round.
    pub round: u32,
    /// The attempt's number in it, from 1.
    pub attempt: u32,
    /// When the request began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// What went wrong, as a stable code.
    pub error_code: Option<String>,
    /// What the channel answered; at most 20,000 bytes, without U+0000.
    pub response_body: Option<String>,
    /// What the channel calls the message.
    pub provider_id: Option<String>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// More chunks follow; the lane is kept.
    ChunkSent,
    /// More chunks follow after a long pause, in which the lane is parked.
    ChunkSentLater {
        /// How long.
        pause: Duration,
    },
    /// That was the last chunk: the delivery ends and the lane is handed on.
    Delivered,
    /// The chunk is tried again after a short pause; the lane is kept.
    RetryHere,
    /// The chunk is tried again after a long pause, in which the lane is parked.
    RetryLater {
        /// How long.
        pause: Duration,
    },
    /// The chunk and with it the delivery failed: later chunks are skipped, the lane is handed on.
    Failed {
        /// A stable code.
        code: String,
        /// What an admin can do about it.
        message: String,
    },
}

impl After {
    fn chunk_status(&self) -> ChunkStatus {
        match self {
            Self::ChunkSent | Self::ChunkSentLater { .. } | Self::Delivered => ChunkStatus::Sent,
            Self::RetryHere | Self::RetryLater { .. } => ChunkStatus::Pending,
            Self::Failed { .. } => ChunkStatus::Failed,
        }
    }

    fn delivery_status(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed { .. } => "failed",
            Self::ChunkSent
            | Self::ChunkSentLater { .. }
            | Self::RetryHere
            | Self::RetryLater { .. } => "pending",
        }
    }

    fn ends_delivery(&self) -> bool {
        matches!(self, Self::Delivered | Self::Failed { .. })
    }

    fn keeps_lane(&self) -> bool {
        matches!(self, Self::ChunkSent | Self::RetryHere)
    }

    /// How long the lane is left alone, if it is parked.
    fn parked_for(&self) -> Option<Duration> {
        match self {
            Self::ChunkSentLater { pause } | Self::RetryLater { pause } => Some(*pause),
            _ => None,
        }
    }
}

/// An attempt, what follows from it, and the right to write both down.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The right.
    pub lease: Lease,
    /// The attempt.
    pub attempt: AttemptRecord,
    /// What follows from it.
    pub after: After,
}

impl Recording {
    /// About how much of a statement it takes, in bytes.
    pub fn size(&self) -> usize {
        let AttemptRecord { chunk_body, response_body, .. } = &self.attempt;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        size_of::<Self>() + text(chunk_body) + text(response_body)
    }
}

/// Records attempts and what follows from them, all or none; answers in their order whether each
/// one's lease was held. The leases, where they are kept, run for another `lease_for`.
///
/// Two under one lease must not be in one batch. Repeating a batch changes nothing, so that one whose
/// answer was lost can be repeated. A batch in which one cannot be stored fails as a whole: the
/// caller then has to repeat them one by one.
pub async fn record(
    store: &Store,
    lease_for: Duration,
    batch: &[Recording],
) -> Result<Vec<Held>, StoreError> {
    let failed = StoreError::query("deliveries.record");
    let client = store.client("deliveries.record").await?;
    let statement = client.prepare_cached(RECORD).await.map_err(&failed)?;
    let mut columns = Columns::default();
    for recording in batch {
        columns.push(recording, lease_for);
    }
    let rows = client.query(&statement, &columns.parameters()).await.map_err(&failed)?;
    let written: HashSet<Uuid> = rows.iter().map(|row| row.get("attempt_id")).collect();
    let held = |recording: &Recording| {
        if written.contains(&recording.attempt.id.0) { Held::Yes } else { Held::No }
    };
    Ok(batch.iter().map(held).collect())
}

/// A batch as the statement takes it: an array for each column.
#[derive(Default)]
struct Columns<'a> {
    session_id: Vec<Uuid>,
    token: Vec<Uuid>,
    n_ended: Vec<i32>,
    next_run_in_ms: Vec<i64>,
    is_kept: Vec<bool>,
    attempt_id: Vec<Uuid>,
    tenant_id: Vec<Uuid>,
    delivery_id: Vec<Uuid>,
    chunk_index: Vec<i32>,
    round: Vec<i32>,
    attempt: Vec<i32>,
    started_at: Vec<DateTime<Utc>>,
    duration_ms: Vec<i64>,
    status_code: Vec<Option<i32>>,
    error_code: Vec<Option<&'a str>>,
    response_body: Vec<Option<&'a str>>,
    chunk_body: Vec<Option<&'a str>>,
    chunk_status: Vec<&'static str>,
    sent_at: Vec<Option<DateTime<Utc>>>,
    provider_id: Vec<Option<&'a str>>,
    status: Vec<&'static str>,
    chunk_count: Vec<i32>,
    truncated: Vec<bool>,
    failed_code: Vec<Option<&'a str>>,
    failed_message: Vec<Option<&'a str>>,
    finished_at: Vec<DateTime<Utc>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, recording: &'a Recording, lease_for: Duration) {
        let Recording { lease, attempt, after } = recording;
        let (failed_code, failed_message) = match after {
            After::Failed { code, message } => (Some(code.as_str()), Some(message.as_str())),
            _ => (None, None),
        };
        let is_sent = after.chunk_status() == ChunkStatus::Sent;
        self.session_id.push(lease.session_id.0);
        self.token.push(lease.token);
        self.n_ended.push(after.ends_delivery().into());
        self.next_run_in_ms.push(millis(after.parked_for().unwrap_or(lease_for)));
        self.is_kept.push(after.keeps_lane());
        self.attempt_id.push(attempt.id.0);
        self.tenant_id.push(attempt.tenant_id.0);
        self.delivery_id.push(attempt.delivery_id.0);
        self.chunk_index.push(number(attempt.chunk_index));
        self.round.push(number(attempt.round));
        self.attempt.push(number(attempt.attempt));
        self.started_at.push(attempt.started_at);
        self.duration_ms.push(attempt.duration_ms);
        self.status_code.push(attempt.status_code.map(i32::from));
        self.error_code.push(attempt.error_code.as_deref());
        self.response_body.push(attempt.response_body.as_deref());
        self.chunk_body.push(attempt.chunk_body.as_deref());
        self.chunk_status.push(after.chunk_status().as_str());
        self.sent_at.push(is_sent.then_some(attempt.now));
        self.provider_id.push(attempt.provider_id.as_deref());
        self.status.push(after.delivery_status());
        self.chunk_count.push(number(attempt.chunk_count));
        self.truncated.push(attempt.truncated);
        self.failed_code.push(failed_code);
        self.failed_message.push(failed_message);
        self.finished_at.push(attempt.now);
    }

    /// In the order of the statement.
    fn parameters(&self) -> [&(dyn ToSql + Sync); 26] {
        [
            &self.session_id,
            &self.token,
            &self.n_ended,
            &self.next_run_in_ms,
            &self.is_kept,
            &self.attempt_id,
            &self.tenant_id,
            &self.delivery_id,
            &self.chunk_index,
            &self.round,
            &self.attempt,
            &self.started_at,
            &self.duration_ms,
            &self.status_code,
            &self.error_code,
            &self.response_body,
            &self.chunk_body,
            &self.chunk_status,
            &self.sent_at,
            &self.provider_id,
            &self.status,
            &self.chunk_count,
            &self.truncated,
            &self.failed_code,
            &self.failed_message,
            &self.finished_at,
        ]
    }
}

fn number(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
