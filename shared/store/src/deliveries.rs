//! Deliveries: what has to be sent, chunk by chunk, and every attempt made to send it.
//!
//! The head of a session's delivery lane is claimed, planned (cut into chunks), and sent; each
//! attempt is recorded before the next request. What ends a delivery hands its lane on in the same
//! statement.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use recado_types::{AttemptId, DeliveryId, ExecutionId, SessionId, TenantId, TriggerId};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::lanes::{self, Held, LaneKind, Lease, millis};
use crate::{Store, StoreError};

const HEADS: &str = "\
-- deliveries.heads
SELECT head.id, head.tenant_id, head.execution_id, head.trigger_id, head.session_id,
       head.chunk_count, head.truncated, executions.agent_response, triggers.trigger_config,
       (SELECT m.context FROM messages m
         WHERE m.id = executions.message_ids[cardinality(executions.message_ids)]) AS context,
       (SELECT json_agg(json_build_object('index', chunk_index, 'body', body, 'status', status,
                                          'attempt_count', attempt_count) ORDER BY chunk_index)
          FROM chunks WHERE chunks.delivery_id = head.id) AS chunks
  FROM unnest($1::uuid[]) AS lane (session_id),
       LATERAL (SELECT id, tenant_id, execution_id, trigger_id, session_id, chunk_count, truncated
                  FROM deliveries
                 WHERE deliveries.session_id = lane.session_id AND deliveries.finished_at IS NULL
                 ORDER BY deliveries.seq LIMIT 1) head
  JOIN executions ON executions.id = head.execution_id
  JOIN triggers ON triggers.id = head.trigger_id";

const PLAN: &str = "\
-- deliveries.plan
WITH lane AS (
    SELECT session_id FROM lanes
     WHERE kind = 'delivery' AND session_id = $1 AND lease_token = $2 FOR UPDATE
), planned AS (
    UPDATE deliveries SET chunk_count = cardinality($4::text[]), truncated = $5
      FROM lane WHERE deliveries.id = $3
    RETURNING deliveries.id
), cut AS (
    INSERT INTO chunks (delivery_id, chunk_index, body, status)
    SELECT planned.id, place - 1, body, 'pending'
      FROM planned, unnest($4::text[]) WITH ORDINALITY AS chunk (body, place)
    ON CONFLICT (delivery_id, chunk_index) DO NOTHING
)
SELECT count(*) FROM lane";

/// Records an attempt and what follows from it. `$4` is how many deliveries end with it (0 or 1),
/// `$5` when the lane may run again otherwise.
const RECORD: &str = "\
-- deliveries.record
WITH lane AS (
    UPDATE lanes
       SET queued = queued - $4::integer,
           next_run_at = CASE WHEN $4 = 0 THEN now() + $5::bigint * interval '1 millisecond'
                              WHEN queued > 1 THEN now() END,
           lease_token = CASE WHEN $6 THEN lease_token END
     WHERE kind = 'delivery' AND session_id = $1 AND lease_token = $2
    RETURNING session_id
), attempted AS (
    INSERT INTO attempts (id, tenant_id, delivery_id, chunk_index, attempt, started_at,
                          duration_ms, status_code, error_code, response_body)
    SELECT $7, $8, $3, $9, $10, $11, $12, $13, $14, $15 FROM lane
), chunk AS (
    INSERT INTO chunks (delivery_id, chunk_index, body, status, attempt_count, sent_at,
                        provider_id)
    SELECT $3, $9, $16, $17, $10, $18, $19 FROM lane
    ON CONFLICT (delivery_id, chunk_index) DO UPDATE
       SET status = excluded.status, attempt_count = excluded.attempt_count,
           sent_at = excluded.sent_at, provider_id = excluded.provider_id
), skipped AS (
    UPDATE chunks SET status = 'skipped'
      FROM lane
     WHERE $20 = 'failed' AND chunks.delivery_id = $3 AND chunks.chunk_index > $9
)
UPDATE deliveries
   SET status = $20, chunk_count = $21, truncated = $22, error_code = $23, error_message = $24,
       finished_at = CASE WHEN $4 = 1 THEN $25::timestamptz END
  FROM lane
 WHERE deliveries.id = $3";

const FAIL: &str = "\
-- deliveries.fail
WITH lane AS (
    UPDATE lanes
       SET queued = queued - 1, lease_token = NULL,
           next_run_at = CASE WHEN queued > 1 THEN now() END
     WHERE kind = 'delivery' AND session_id = $1 AND lease_token = $2
    RETURNING session_id
), skipped AS (
    UPDATE chunks SET status = 'skipped'
      FROM lane WHERE chunks.delivery_id = $3 AND chunks.status = 'pending'
)
UPDATE deliveries
   SET status = 'failed', finished_at = $4, error_code = $5, error_message = $6
  FROM lane
 WHERE deliveries.id = $3";

/// Where a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkStatus {
    /// Not sent yet, or sent without a recorded answer.
    Pending,
    /// The channel took it.
    Sent,
    /// The channel did not take it, and will not be asked again.
    Failed,
    /// Not sent because one before it failed.
    Skipped,
}

impl ChunkStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A chunk of a planned delivery.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PlannedChunk {
    /// Its place, from 0.
    pub index: u32,
    /// Its text.
    pub body: String,
    /// Where it stands.
    pub status: ChunkStatus,
    /// How often it was tried.
    pub attempt_count: u32,
}

/// A delivery and the right to send it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The right.
    pub lease: Lease,
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// The execution whose response it carries.
    pub execution_id: ExecutionId,
    /// Whose.
    pub tenant_id: TenantId,
    /// The trigger that says where to.
    pub trigger_id: TriggerId,
    /// The agent's whole response.
    pub response: String,
    /// The trigger's configuration, as it is now.
    pub trigger_config: Value,
    /// The context of the execution's last message.
    pub context: Map<String, Value>,
    /// How many chunks it was cut into; `None` until it was planned.
    pub chunk_count: Option<u32>,
    /// Whether something was cut off when it was planned.
    pub truncated: bool,
    /// Its chunks in order; none until it was planned.
    pub chunks: Vec<PlannedChunk>,
}

/// How many lanes' heads are read at a time: all their texts are in memory at once.
const HEADS_AT_ONCE: usize = 32;

/// Claims up to `limit` deliveries for `lease`. One session has one at a time.
pub async fn claim(
    store: &Store,
    limit: usize,
    lease: Duration,
) -> Result<Vec<Claimed>, StoreError> {
    let mut claimed = Vec::new();
    while claimed.len() < limit {
        let wanted = (limit - claimed.len()).min(HEADS_AT_ONCE);
        match claim_some(store, wanted, lease).await {
            Ok(some) => {
                let n_claimed = some.len();
                claimed.extend(some);
                if n_claimed < wanted {
                    break;
                }
            }
            // What was claimed before is worked; whoever claims next meets the error again.
            Err(_) if !claimed.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}

async fn claim_some(
    store: &Store,
    limit: usize,
    lease: Duration,
) -> Result<Vec<Claimed>, StoreError> {
    let client = store.client("lanes.claim").await?;
    let kind = LaneKind::Delivery;
    let leases = lanes::claim(&client, kind, limit, lease, lanes::UNCAPPED).await?;
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let claimed = heads(&client, &leases).await;
    if claimed.is_err() {
        drop(client);
        lanes::give_up(store, LaneKind::Delivery, &leases).await;
    }
    claimed
}

async fn heads(client: &Object, leases: &[Lease]) -> Result<Vec<Claimed>, StoreError> {
    let failed = StoreError::query("deliveries.heads");
    let sessions: Vec<Uuid> = leases.iter().map(|lease| lease.session_id.0).collect();
    let statement = client.prepare_cached(HEADS).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&sessions]).await.map_err(&failed)?;
    lanes::complain_of_empty(LaneKind::Delivery, leases, rows.len());
    Ok(rows.iter().filter_map(|row| claimed_from_row(row, leases)).collect())
}

fn claimed_from_row(row: &Row, leases: &[Lease]) -> Option<Claimed> {
    let context: Option<Json<Map<String, Value>>> = row.get("context");
    let chunks: Option<Json<Vec<PlannedChunk>>> = row.get("chunks");
    let chunk_count: Option<i32> = row.get("chunk_count");
    Some(Claimed {
        lease: lanes::lease_of(leases, SessionId(row.get("session_id")))?,
        delivery_id: DeliveryId(row.get("id")),
        execution_id: ExecutionId(row.get("execution_id")),
        tenant_id: TenantId(row.get("tenant_id")),
        trigger_id: TriggerId(row.get("trigger_id")),
        response: row.get::<_, Option<String>>("agent_response").unwrap_or_default(),
        trigger_config: row.get("trigger_config"),
        context: context.map(|Json(context)| context).unwrap_or_default(),
        chunk_count: chunk_count.and_then(|count| u32::try_from(count).ok()),
        truncated: row.get("truncated"),
        chunks: chunks.map(|Json(chunks)| chunks).unwrap_or_default(),
    })
}

/// Stores the chunks before the first is sent, so that a successor sends the same ones. A single
/// chunk need not be planned: its body goes with its attempt.
pub async fn plan(
    store: &Store,
    lease: &Lease,
    delivery: DeliveryId,
    chunks: &[String],
    truncated: bool,
) -> Result<Held, StoreError> {
    let failed = StoreError::query("deliveries.plan");
    let client = store.client("deliveries.plan").await?;
    let statement = client.prepare_cached(PLAN).await.map_err(&failed)?;
    let session = lease.session_id.0;
    let row = client
        .query_one(&statement, &[&session, &lease.token, &delivery.0, &chunks, &truncated])
        .await
        .map_err(&failed)?;
    Ok(Held::from_count(row.get(0)))
}

/// One HTTP request of a delivery and its answer.
#[derive(Clone, Debug)]
pub struct AttemptRecord<'a> {
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
    /// The chunk's text.
    pub chunk_body: &'a str,
    /// Whether something was cut off when the delivery was planned.
    pub truncated: bool,
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// When the request began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// What went wrong, as a stable code.
    pub error_code: Option<&'a str>,
    /// What the channel answered; at most 20,000 bytes, without U+0000.
    pub response_body: Option<&'a str>,
    /// What the channel calls the message.
    pub provider_id: Option<&'a str>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After<'a> {
    /// More chunks follow; the lane is kept.
    ChunkSent,
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
        code: &'a str,
        /// What an admin can do about it.
        message: &'a str,
    },
}

impl After<'_> {
    fn chunk_status(&self) -> ChunkStatus {
        match self {
            Self::ChunkSent | Self::Delivered => ChunkStatus::Sent,
            Self::RetryHere | Self::RetryLater { .. } => ChunkStatus::Pending,
            Self::Failed { .. } => ChunkStatus::Failed,
        }
    }

    fn delivery_status(&self) -> &'static str {
        match self {
            Self::ChunkSent | Self::RetryHere | Self::RetryLater { .. } => "pending",
            Self::Delivered => "delivered",
            Self::Failed { .. } => "failed",
        }
    }

    fn ends_delivery(&self) -> bool {
        matches!(self, Self::Delivered | Self::Failed { .. })
    }

    fn keeps_lane(&self) -> bool {
        matches!(self, Self::ChunkSent | Self::RetryHere)
    }
}

/// Records an attempt and what follows from it; the lease, where it is kept, runs for another
/// `lease_for`.
pub async fn record(
    store: &Store,
    lease: &Lease,
    lease_for: Duration,
    attempt: &AttemptRecord<'_>,
    after: &After<'_>,
) -> Result<Held, StoreError> {
    let failed = StoreError::query("deliveries.record");
    let client = store.client("deliveries.record").await?;
    let statement = client.prepare_cached(RECORD).await.map_err(&failed)?;
    let next_run_in = match after {
        After::RetryLater { pause } => *pause,
        _ => lease_for,
    };
    let (error_code, error_message) = match after {
        After::Failed { code, message } => (Some(*code), Some(*message)),
        _ => (None, None),
    };
    let sent = after.chunk_status() == ChunkStatus::Sent;
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let n_updated = client
        .execute(
            &statement,
            &[
                &lease.session_id.0,
                &lease.token,
                &attempt.delivery_id.0,
                &i32::from(after.ends_delivery()),
                &millis(next_run_in),
                &after.keeps_lane(),
                &attempt.id.0,
                &attempt.tenant_id.0,
                &number(attempt.chunk_index),
                &number(attempt.attempt),
                &attempt.started_at,
                &attempt.duration_ms,
                &attempt.status_code.map(i32::from),
                &attempt.error_code,
                &attempt.response_body,
                &attempt.chunk_body,
                &after.chunk_status().as_str(),
                &sent.then_some(attempt.now),
                &attempt.provider_id,
                &after.delivery_status(),
                &number(attempt.chunk_count),
                &attempt.truncated,
                &error_code,
                &error_message,
                &attempt.now,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(if n_updated == 0 { Held::No } else { Held::Yes })
}

/// Ends a delivery that cannot be sent at all: its template, its secret or its destination is
/// wrong.
pub async fn fail(
    store: &Store,
    lease: &Lease,
    delivery: DeliveryId,
    now: DateTime<Utc>,
    code: &str,
    message: &str,
) -> Result<Held, StoreError> {
    let failed = StoreError::query("deliveries.fail");
    let client = store.client("deliveries.fail").await?;
    let statement = client.prepare_cached(FAIL).await.map_err(&failed)?;
    let session = lease.session_id.0;
    let n_updated = client
        .execute(&statement, &[&session, &lease.token, &delivery.0, &now, &code, &message])
        .await
        .map_err(&failed)?;
    Ok(if n_updated == 0 { Held::No } else { Held::Yes })
}
