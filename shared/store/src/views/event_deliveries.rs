//! Events on their way to an endpoint: one line each, and one with its attempts.

use chrono::{DateTime, Utc};
use recado_types::{
    AgentId, EventDeliveryId, EventEndpointId, EventId, ExecutionId, SessionId, TenantId,
};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::delivery::ATTEMPTS_SHOWN;
use super::snapshot::Snapshot;
use super::{DeliveryStatus, Parameters};
use crate::{Store, StoreError};

/// The most bytes of answers that one delivery shows, its newest attempts' first.
const MAX_ANSWER_BYTES: i64 = 4 << 20;

/// With how the last attempt ended. Whoever is leased is being tried, and will not be tried at any
/// time that is known.
macro_rules! columns {
    () => {
        "d.id, d.seq, d.endpoint_id, d.event_id, d.event_type, d.agent_id, d.session_id,
       d.execution_id, d.status, d.round, d.attempt_count, d.error_code, d.occurred_at,
       d.created_at, d.finished_at,
       CASE WHEN d.lease_token IS NULL THEN d.next_attempt_at END AS next_attempt_at,
       last.started_at AS last_started_at, last.duration_ms AS last_duration_ms,
       last.status_code AS last_status_code, last.error_code AS last_error_code
  FROM event_deliveries d
  LEFT JOIN LATERAL (SELECT started_at, duration_ms, status_code, error_code
                       FROM event_attempts a WHERE a.event_delivery_id = d.id
                      ORDER BY a.round DESC, a.attempt DESC LIMIT 1) last ON true"
    };
}

/// In the order of `event_deliveries_by_endpoint`, backwards; `seq` never changes.
const LIST: &str = concat!(
    "\
-- views.event_deliveries
SELECT ",
    columns!(),
    "
 WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.seq < $3
   AND ($4::text IS NULL OR d.status = $4)
 ORDER BY d.seq DESC LIMIT $5"
);

const ONE: &str = concat!(
    "\
-- views.event_delivery
SELECT d.payload, ",
    columns!(),
    "
 WHERE d.tenant_id = $1 AND d.id = $2"
);

const ATTEMPTS: &str = "\
-- views.event_attempts
SELECT round, attempt, started_at, duration_ms, status_code, error_code, response_headers,
       CASE WHEN bytes <= $3 THEN response_body END AS response_body,
       bytes > $3 AND response_body IS NOT NULL AS is_omitted
  FROM (SELECT *, sum(coalesce(octet_length(response_body), 0))
                      OVER (ORDER BY round DESC, attempt DESC) AS bytes
          FROM event_attempts WHERE event_delivery_id = $1
         ORDER BY round DESC, attempt DESC LIMIT $2) newest
 ORDER BY round DESC, attempt DESC";

/// Which deliveries of an endpoint to list.
#[derive(Clone, Copy, Debug)]
pub struct EventDeliveryFilter {
    /// Those whose `seq` is smaller; `None` starts with the newest.
    pub before: Option<i64>,
    /// Those that stand here only.
    pub status: Option<DeliveryStatus>,
    /// How many at the most.
    pub limit: i64,
}

/// An event on its way to an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDeliverySummary {
    /// Which.
    pub id: EventDeliveryId,
    /// Its place in the list.
    pub seq: i64,
    /// Where to.
    pub endpoint_id: EventEndpointId,
    /// Which event.
    pub event_id: EventId,
    /// `tool_called`, …; `test` for an example.
    pub event_type: String,
    /// Whose event; `None` for an example that is nobody's.
    pub agent_id: Option<AgentId>,
    /// Where it happened; `None` for an example.
    pub session_id: Option<SessionId>,
    /// Where it happened; `None` for an example.
    pub execution_id: Option<ExecutionId>,
    /// Where it stands.
    pub status: String,
    /// How often it was asked for.
    pub round: i32,
    /// How often it was tried since it was asked for last.
    pub attempt_count: i32,
    /// When it is tried next; `None` if it is not, or is being tried.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error_code: Option<String>,
    /// When the event happened.
    pub occurred_at: DateTime<Utc>,
    /// When it was recorded for the endpoint.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How the last attempt ended, if there was one.
    pub last: Option<LastAttempt>,
}

/// How an attempt ended, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// What the receiver answered.
    pub status_code: Option<i32>,
    /// Why there was no answer, or what was wrong with it.
    pub error_code: Option<String>,
}

/// An event on its way to an endpoint, with everything that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDeliveryDetail {
    /// What a list shows of it, too.
    pub summary: EventDeliverySummary,
    /// The body, byte for byte.
    pub payload: String,
    /// Its newest 500 attempts, those of earlier rounds too, the newest first.
    pub attempts: Vec<EventAttemptView>,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct EventAttemptView {
    /// The delivery's round then.
    pub round: i32,
    /// Which one of that round, from 1.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// What the receiver answered.
    pub status_code: Option<i32>,
    /// Why there was no answer, or what was wrong with it.
    pub error_code: Option<String>,
    /// The answer's headers: a list of pairs.
    pub response_headers: Option<Value>,
    /// The answer's body.
    pub response_body: Option<String>,
    /// Whether the body is left out here, because those of later attempts fill the answer.
    pub is_omitted: bool,
}

/// What was, is or will be sent to an endpoint, newest first.
pub async fn event_deliveries(
    store: &Store,
    tenant: TenantId,
    endpoint: EventEndpointId,
    filter: EventDeliveryFilter,
) -> Result<Vec<EventDeliverySummary>, StoreError> {
    let failed = StoreError::query("views.event_deliveries");
    let client = store.client("views.event_deliveries").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let before = filter.before.unwrap_or(i64::MAX);
    let status = filter.status.map(DeliveryStatus::as_str);
    let rows = client
        .query(&statement, &[&tenant.0, &endpoint.0, &before, &status, &filter.limit])
        .await
        .map_err(&failed)?;
    Ok(rows.iter().map(summary_from_row).collect())
}

/// One of them; `None` if the tenant has none of this id.
pub async fn event_delivery(
    store: &Store,
    tenant: TenantId,
    id: EventDeliveryId,
) -> Result<Option<EventDeliveryDetail>, StoreError> {
    let snapshot = Snapshot::of(store, "views.event_delivery").await?;
    let parameters: Parameters<'_> = &[&tenant.0, &id.0];
    let rows = snapshot.query(ONE, "views.event_delivery", parameters).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let parameters: Parameters<'_> = &[&id.0, &ATTEMPTS_SHOWN, &MAX_ANSWER_BYTES];
    let attempts = snapshot.query(ATTEMPTS, "views.event_attempts", parameters).await?;
    Ok(Some(EventDeliveryDetail {
        summary: summary_from_row(row),
        payload: row.get("payload"),
        attempts: attempts.iter().map(attempt_from_row).collect(),
    }))
}

fn summary_from_row(row: &Row) -> EventDeliverySummary {
    let known = |column| Some(row.get::<_, Uuid>(column)).filter(|id| !id.is_nil());
    EventDeliverySummary {
        id: EventDeliveryId(row.get("id")),
        seq: row.get("seq"),
        endpoint_id: EventEndpointId(row.get("endpoint_id")),
        event_id: EventId(row.get("event_id")),
        event_type: row.get("event_type"),
        agent_id: known("agent_id").map(AgentId),
        session_id: known("session_id").map(SessionId),
        execution_id: known("execution_id").map(ExecutionId),
        status: row.get("status"),
        round: row.get("round"),
        attempt_count: row.get("attempt_count"),
        next_attempt_at: row.get("next_attempt_at"),
        error_code: row.get("error_code"),
        occurred_at: row.get("occurred_at"),
        created_at: row.get("created_at"),
        finished_at: row.get("finished_at"),
        last: row.get::<_, Option<DateTime<Utc>>>("last_started_at").map(|started_at| {
            LastAttempt {
                started_at,
                duration_ms: row.get("last_duration_ms"),
                status_code: row.get("last_status_code"),
                error_code: row.get("last_error_code"),
            }
        }),
    }
}

fn attempt_from_row(row: &Row) -> EventAttemptView {
    EventAttemptView {
        round: row.get("round"),
        attempt: row.get("attempt"),
        started_at: row.get("started_at"),
        duration_ms: row.get("duration_ms"),
        status_code: row.get("status_code"),
        error_code: row.get("error_code"),
        response_headers: row.get("response_headers"),
        response_body: row.get("response_body"),
        is_omitted: row.get("is_omitted"),
    }
}
