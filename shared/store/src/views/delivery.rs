//! The deliveries of an execution, with their chunks and every attempt to send them.

use chrono::{DateTime, Utc};
use recado_types::{DeliveryId, ExecutionId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::Parameters;
use super::snapshot::Snapshot;
use crate::StoreError;

const DELIVERIES: &str = "\
-- views.execution_deliveries
SELECT id, status, chunk_count, truncated, error_code, error_message, created_at, finished_at
  FROM deliveries WHERE execution_id = $1 ORDER BY created_at, id";

/// Of one delivery, or of all those of an execution.
const CHUNKS: &str = "\
-- views.delivery_chunks
SELECT delivery_id, chunk_index, body, status, sent_at, provider_id
  FROM chunks
 WHERE delivery_id = ANY (ARRAY(SELECT id FROM deliveries WHERE execution_id = $1 OR id = $2))
 ORDER BY delivery_id, chunk_index";

const ATTEMPTS: &str = "\
-- views.delivery_attempts
SELECT delivery_id, chunk_index, round, attempt, started_at, duration_ms, status_code, error_code
  FROM (SELECT * FROM attempts
         WHERE delivery_id = ANY (ARRAY(SELECT id FROM deliveries WHERE execution_id = $1))
         ORDER BY started_at DESC, id DESC LIMIT $2) newest
 ORDER BY delivery_id, chunk_index, round, attempt";

/// How many attempts are shown, the newest: a delivery may be asked for again without end.
pub(super) const ATTEMPTS_SHOWN: i64 = 500;

/// A delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryView {
    /// Which.
    pub id: DeliveryId,
    /// Where it stands.
    pub status: String,
    /// How many chunks the response became.
    pub chunk_count: Option<i32>,
    /// Whether something was cut off.
    pub truncated: bool,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its chunks, in order.
    pub chunks: Vec<ChunkView>,
}

/// A chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkView {
    /// Its place, from 0.
    pub index: i32,
    /// Its text.
    pub text: String,
    /// Where it stands.
    pub status: String,
    /// When the channel took it.
    pub sent_at: Option<DateTime<Utc>>,
    /// What the channel calls it.
    pub provider_id: Option<String>,
    /// Every request made to send it, in order; of all chunks together, the newest 500.
    pub attempts: Vec<AttemptView>,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptView {
    /// The delivery's round then: how often it had been asked for.
    pub round: i32,
    /// Which one of that round, from 1.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// What the channel answered.
    pub status_code: Option<i32>,
    /// Why there was no answer, or what was wrong with it.
    pub error_code: Option<String>,
}

pub(super) async fn deliveries_of(
    snapshot: &Snapshot,
    execution: ExecutionId,
) -> Result<Vec<DeliveryView>, StoreError> {
    // All of them are sent at once and answered in order.
    let of_deliveries: Parameters<'_> = &[&execution.0];
    let of_chunks: Parameters<'_> = &[&Some(execution.0), &None::<Uuid>];
    let of_attempts: Parameters<'_> = &[&execution.0, &ATTEMPTS_SHOWN];
    let (deliveries, chunks, attempts) = tokio::try_join!(
        snapshot.query(DELIVERIES, "views.execution_deliveries", of_deliveries),
        snapshot.query(CHUNKS, "views.delivery_chunks", of_chunks),
        snapshot.query(ATTEMPTS, "views.delivery_attempts", of_attempts),
    )?;
    Ok(deliveries.iter().map(|row| delivery(row, &chunks, &attempts)).collect())
}

/// The chunks of one delivery, without their attempts.
pub(super) async fn chunks_of(
    snapshot: &Snapshot,
    delivery: DeliveryId,
) -> Result<Vec<ChunkView>, StoreError> {
    let parameters: Parameters<'_> = &[&None::<Uuid>, &Some(delivery.0)];
    let chunks = snapshot.query(CHUNKS, "views.delivery_chunks", parameters).await?;
    Ok(chunks.iter().map(|row| chunk(row, &[])).collect())
}

fn delivery(row: &Row, chunks: &[Row], attempts: &[Row]) -> DeliveryView {
    let id: Uuid = row.get("id");
    let of_delivery = |row: &&Row| row.get::<_, Uuid>("delivery_id") == id;
    DeliveryView {
        id: DeliveryId(id),
        status: row.get("status"),
        chunk_count: row.get("chunk_count"),
        truncated: row.get("truncated"),
        error_code: row.get("error_code"),
        error_message: row.get("error_message"),
        created_at: row.get("created_at"),
        finished_at: row.get("finished_at"),
        chunks: chunks.iter().filter(of_delivery).map(|row| chunk(row, attempts)).collect(),
    }
}

fn chunk(row: &Row, attempts: &[Row]) -> ChunkView {
    let place = |row: &Row| -> (Uuid, i32) { (row.get("delivery_id"), row.get("chunk_index")) };
    let attempt = |row: &Row| AttemptView {
        round: row.get("round"),
        attempt: row.get("attempt"),
        started_at: row.get("started_at"),
        duration_ms: row.get("duration_ms"),
        status_code: row.get("status_code"),
        error_code: row.get("error_code"),
    };
    ChunkView {
        index: row.get("chunk_index"),
        text: row.get("body"),
        status: row.get("status"),
        sent_at: row.get("sent_at"),
        provider_id: row.get("provider_id"),
        attempts: attempts.iter().filter(|a| place(a) == place(row)).map(attempt).collect(),
    }
}
