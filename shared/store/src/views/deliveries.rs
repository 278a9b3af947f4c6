//! A tenant's deliveries: one line each, and one with its chunks and attempts.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use recado_types::{DeliveryId, ExecutionId, SessionId, TenantId, TriggerId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Parameters;
use super::delivery::{ATTEMPTS_SHOWN, ChunkView, chunks_of};
use super::snapshot::Snapshot;
use crate::{Store, StoreError};

/// The most bytes of answers that one delivery shows, its newest attempts' first.
const MAX_ANSWER_BYTES: i64 = 4 << 20;

macro_rules! columns {
    () => {
        "d.id, d.execution_id, d.trigger_id, d.session_id, d.status, d.chunk_count, d.truncated,
       d.error_code, d.error_message, d.round, d.created_at, d.requested_at, d.finished_at,
       (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id) AS n_attempts"
    };
}

/// Newest first. Neither part of the position ever changes, so a page after a cursor is the same
/// however much is written meanwhile.
macro_rules! page {
    () => {
        "
 WHERE d.tenant_id = $1 AND (d.created_at, d.id) < ($2, $3)
   AND ($4::text IS NULL OR d.status = $4)
   AND ($5::uuid IS NULL OR d.trigger_id = $5)
   AND ($6::uuid IS NULL OR d.session_id = $6)
   AND ($7::uuid IS NULL OR d.execution_id = $7)
 ORDER BY d.created_at DESC, d.id DESC LIMIT $8"
    };
}

const OF_TENANT: &str = concat!(
    "\
-- views.deliveries
SELECT ",
    columns!(),
    "
  FROM deliveries d",
    page!()
);

/// The few that have not arrived yet, by an index of their own, which a parameter would not lead to.
const PENDING: &str = concat!(
    "\
-- views.deliveries_pending
SELECT ",
    columns!(),
    "
  FROM (SELECT * FROM deliveries WHERE status = 'pending') d",
    page!()
);

/// The few that did not arrive.
const FAILED: &str = concat!(
    "\
-- views.deliveries_failed
SELECT ",
    columns!(),
    "
  FROM (SELECT * FROM deliveries WHERE status = 'failed') d",
    page!()
);

const OF_TRIGGER: &str = concat!(
    "\
-- views.deliveries_of_trigger
SELECT ",
    columns!(),
    "
  FROM (SELECT * FROM deliveries WHERE trigger_id = $5) d",
    page!()
);

/// By way of its executions, which are found by an index; only those that have ended have any.
const OF_SESSION: &str = concat!(
    "\
-- views.deliveries_of_session
SELECT ",
    columns!(),
    "
  FROM executions e
  JOIN deliveries d ON d.execution_id = e.id AND e.session_id = $6 AND e.finished_at IS NOT NULL",
    page!()
);

const OF_EXECUTION: &str = concat!(
    "\
-- views.deliveries_of_execution
SELECT ",
    columns!(),
    "
  FROM (SELECT * FROM deliveries WHERE execution_id = $7) d",
    page!()
);

const ONE: &str = concat!(
    "\
-- views.delivery
SELECT ",
    columns!(),
    "
  FROM deliveries d WHERE d.tenant_id = $1 AND d.id = $2"
);

const ATTEMPTS: &str = "\
-- views.attempts
SELECT round, attempt, chunk_index, started_at, duration_ms, status_code, error_code,
       CASE WHEN bytes <= $3 THEN response_body END AS response_body,
       bytes > $3 AND response_body IS NOT NULL AS is_omitted
  FROM (SELECT *, sum(coalesce(octet_length(response_body), 0))
                      OVER (ORDER BY started_at DESC, id DESC) AS bytes
          FROM attempts WHERE delivery_id = $1
         ORDER BY started_at DESC, id DESC LIMIT $2) newest
 ORDER BY started_at DESC, id DESC";

/// Where a delivery stands, of an answer or of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It waits, is being sent, or is between two attempts.
    Pending,
    /// It arrived.
    Delivered,
    /// It did not, and will not by itself.
    Failed,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// As stored and as shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// A place in the list: `<microseconds>.<id>` as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryPosition {
    /// When the delivery was made.
    pub created_at: DateTime<Utc>,
    /// Which of those that were made then.
    pub id: DeliveryId,
}

/// A text that is no [`DeliveryPosition`].
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// One of the two parts is missing.
    #[error("the position has no id")]
    NoId,
    /// The time is no number.
    #[error("the position's time is no number")]
    Time(#[source] ParseIntError),
    /// The number is no time.
    #[error("the position's time is out of range")]
    Range,
    /// The id is none.
    #[error("the position's id is none")]
    Id(#[source] recado_types::ids::IdError),
}

impl fmt::Display for DeliveryPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.timestamp_micros(), self.id)
    }
}

impl FromStr for DeliveryPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (micros, id) = text.split_once('.').ok_or(PositionError::NoId)?;
        let micros = micros.parse().map_err(PositionError::Time)?;
        let created_at = DateTime::from_timestamp_micros(micros).ok_or(PositionError::Range)?;
        Ok(Self { created_at, id: id.parse().map_err(PositionError::Id)? })
    }
}

/// Which deliveries to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryFilter {
    /// Those that stand here only.
    pub status: Option<DeliveryStatus>,
    /// Those of one trigger only.
    pub trigger_id: Option<TriggerId>,
    /// Those of one session only.
    pub session_id: Option<SessionId>,
    /// Those of one execution only.
    pub execution_id: Option<ExecutionId>,
}

/// A delivery by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliverySummary {
    /// Which.
    pub id: DeliveryId,
    /// The execution whose response it carries.
    pub execution_id: ExecutionId,
    /// The trigger that says where to.
    pub trigger_id: TriggerId,
    /// Whose conversation.
    pub session_id: SessionId,
    /// Where it stands.
    pub status: String,
    /// How many chunks the response became; `None` until it was cut.
    pub chunk_count: Option<i32>,
    /// Whether something was cut off.
    pub truncated: bool,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// How often it was asked for.
    pub round: i32,
    /// How many requests were made for it, in all rounds.
    pub n_attempts: i64,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When it was asked for the last time.
    pub requested_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl DeliverySummary {
    /// Its place in the list.
    pub fn position(&self) -> DeliveryPosition {
        DeliveryPosition { created_at: self.created_at, id: self.id }
    }

    fn from_row(row: &Row) -> Self {
        Self {
            id: DeliveryId(row.get("id")),
            execution_id: ExecutionId(row.get("execution_id")),
            trigger_id: TriggerId(row.get("trigger_id")),
            session_id: SessionId(row.get("session_id")),
            status: row.get("status"),
            chunk_count: row.get("chunk_count"),
            truncated: row.get("truncated"),
            error_code: row.get("error_code"),
            error_message: row.get("error_message"),
            round: row.get("round"),
            n_attempts: row.get("n_attempts"),
            created_at: row.get("created_at"),
            requested_at: row.get("requested_at"),
            finished_at: row.get("finished_at"),
        }
    }
}

/// A delivery with everything that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryDetail {
    /// What a list shows of it, too.
    pub summary: DeliverySummary,
    /// Its chunks, in order, without their attempts; none until it was cut.
    pub chunks: Vec<ChunkView>,
    /// Its newest 500 attempts, those of earlier rounds too, the newest first.
    pub attempts: Vec<AttemptDetail>,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptDetail {
    /// The delivery's round then.
    pub round: i32,
    /// Which one of that round and that chunk, from 1.
    pub attempt: i32,
    /// For which chunk, from 0.
    pub chunk_index: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// What the receiver answered.
    pub status_code: Option<i32>,
    /// Why there was no answer, or what was wrong with it.
    pub error_code: Option<String>,
    /// The answer's body.
    pub response_body: Option<String>,
    /// Whether the body is left out here, because those of later attempts fill the answer.
    pub is_omitted: bool,
}

/// A tenant's deliveries that come `after` a position, newest first.
pub async fn deliveries(
    store: &Store,
    tenant: TenantId,
    filter: &DeliveryFilter,
    after: Option<DeliveryPosition>,
    limit: i64,
) -> Result<Vec<DeliverySummary>, StoreError> {
    let failed = StoreError::query("views.deliveries");
    let client = store.client("views.deliveries").await?;
    let list = match filter {
        DeliveryFilter { execution_id: Some(_), .. } => OF_EXECUTION,
        DeliveryFilter { session_id: Some(_), .. } => OF_SESSION,
        DeliveryFilter { trigger_id: Some(_), .. } => OF_TRIGGER,
        DeliveryFilter { status: Some(DeliveryStatus::Pending), .. } => PENDING,
        DeliveryFilter { status: Some(DeliveryStatus::Failed), .. } => FAILED,
        DeliveryFilter { status: Some(DeliveryStatus::Delivered) | None, .. } => OF_TENANT,
    };
    let statement = client.prepare_cached(list).await.map_err(&failed)?;
    let (created_at, id) = match after {
        Some(position) => (position.created_at, position.id.0),
        None => (END_OF_TIME, Uuid::max()),
    };
    let rows = client
        .query(
            &statement,
            &[
                &tenant.0,
                &created_at,
                &id,
                &filter.status.map(DeliveryStatus::as_str),
                &filter.trigger_id.map(|id| id.0),
                &filter.session_id.map(|id| id.0),
                &filter.execution_id.map(|id| id.0),
                &limit,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(rows.iter().map(DeliverySummary::from_row).collect())
}

/// Later than any clock of ours, and a time that PostgreSQL can hold.
const END_OF_TIME: DateTime<Utc> = DateTime::from_timestamp_millis(253_402_300_799_999)
    .expect("the last millisecond of the year 9999 is a time");

/// One delivery; `None` if the tenant has none of this id.
pub async fn delivery(
    store: &Store,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<DeliveryDetail>, StoreError> {
    let snapshot = Snapshot::of(store, "views.delivery").await?;
    let parameters: Parameters<'_> = &[&tenant.0, &id.0];
    let rows = snapshot.query(ONE, "views.delivery", parameters).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let parameters: Parameters<'_> = &[&id.0, &ATTEMPTS_SHOWN, &MAX_ANSWER_BYTES];
    let attempts = snapshot.query(ATTEMPTS, "views.attempts", parameters).await?;
    Ok(Some(DeliveryDetail {
        summary: DeliverySummary::from_row(row),
        chunks: chunks_of(&snapshot, id).await?,
        attempts: attempts.iter().map(attempt_from_row).collect(),
    }))
}

fn attempt_from_row(row: &Row) -> AttemptDetail {
    AttemptDetail {
        round: row.get("round"),
        attempt: row.get("attempt"),
        chunk_index: row.get("chunk_index"),
        started_at: row.get("started_at"),
        duration_ms: row.get("duration_ms"),
        status_code: row.get("status_code"),
        error_code: row.get("error_code"),
        response_body: row.get("response_body"),
        is_omitted: row.get("is_omitted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let created_at = DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap();
        let position = DeliveryPosition { created_at, id: DeliveryId(Uuid::from_u128(7)) };
        assert_eq!(position.to_string().parse::<DeliveryPosition>().unwrap(), position);
        for bad in ["", "1", "1.x", "x.1", "9223372036854775807.x", "."] {
            assert!(bad.parse::<DeliveryPosition>().is_err(), "{bad}");
        }
    }
}
