//! Taking events that have to be sent, from all endpoints in turn.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{
    EventDeliveryId, EventEndpointId, EventId, ExecutionId, TenantId, TraceContext,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::event_endpoints::{ENDPOINT_DELETED, open_secret};
use crate::lanes::millis;
use crate::messages::trace_from_row;
use crate::seal::Sealed;
use crate::{Store, StoreError};

/// Endpoints for which something is due, found by one step in `event_deliveries_due` for each that
/// has something waiting, however many endpoints there are. Nobody else claims from them until the
/// transaction ends, so that each claim counts what the one before leased. Deleted ones are among
/// them: see [`END_DELETED`].
const LOCK: &str = "\
-- event_deliveries.lock_endpoints
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id, next_attempt_at FROM event_deliveries
      WHERE next_attempt_at IS NOT NULL
      ORDER BY endpoint_id, next_attempt_at LIMIT 1)
     UNION ALL
    SELECT next.endpoint_id, next.next_attempt_at
      FROM waiting,
           LATERAL (SELECT d.endpoint_id, d.next_attempt_at FROM event_deliveries d
                     WHERE d.next_attempt_at IS NOT NULL AND d.endpoint_id > waiting.endpoint_id
                     ORDER BY d.endpoint_id, d.next_attempt_at LIMIT 1) next
)
SELECT endpoint.id, endpoint.deleted_at IS NOT NULL AS is_deleted
  FROM event_endpoints endpoint
 WHERE endpoint.id = ANY (ARRAY(SELECT endpoint_id FROM waiting WHERE next_attempt_at <= now()))
   AND (endpoint.enabled OR endpoint.deleted_at IS NOT NULL)
   FOR NO KEY UPDATE OF endpoint SKIP LOCKED";

/// What the deletion of an endpoint did not end: it was locked then, recorded or tried again by
/// somebody who did not know yet, or one of too many.
const END_DELETED: &str = "\
-- event_deliveries.end_deleted
WITH batch AS MATERIALIZED (
    SELECT id FROM event_deliveries
     WHERE endpoint_id = ANY ($1) AND next_attempt_at <= now()
     LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE event_deliveries
   SET status = 'failed', error_code = $3, finished_at = now(), next_attempt_at = NULL,
       lease_token = NULL
  FROM batch
 WHERE event_deliveries.id = batch.id";

/// How many of deleted endpoints one claim ends; the next ones end the rest.
const END_BATCH: i64 = 1_000;

/// The next one is that of the tenant who has the fewest, leased and chosen together, and of its
/// endpoints that which has the fewest.
///
/// An event that was not tried yet waits for those of its execution that happened before it, until
/// they are tried.
///
/// If many endpoints wait, each gives few candidates, about twice the limit together: what is left
/// over is the next claim's.
const CLAIM: &str = "\
-- event_deliveries.claim
WITH endpoints AS MATERIALIZED (
    SELECT id, tenant_id, n_leased, sum(n_leased) OVER (PARTITION BY tenant_id) AS n_of_tenant
      FROM event_endpoints,
           LATERAL (SELECT count(*) AS n_leased FROM event_deliveries
                     WHERE endpoint_id = event_endpoints.id AND lease_token IS NOT NULL
                       AND next_attempt_at > now()) busy
     WHERE tenant_id IN (SELECT tenant_id FROM event_endpoints WHERE id = ANY ($1))
), due AS MATERIALIZED (
    SELECT oldest.id, oldest.next_attempt_at, oldest.seq, endpoints.tenant_id,
           endpoints.id AS endpoint_id, endpoints.n_leased, endpoints.n_of_tenant
      FROM endpoints,
           LATERAL (SELECT d.id, d.next_attempt_at, d.seq FROM event_deliveries d
                     WHERE endpoints.id = ANY ($1)
                       AND d.endpoint_id = endpoints.id AND d.next_attempt_at <= now()
                       AND (d.attempt_count > 0 OR NOT EXISTS (
                               SELECT FROM event_deliveries earlier
                                WHERE earlier.endpoint_id = d.endpoint_id
                                  AND earlier.execution_id = d.execution_id
                                  AND earlier.seq < d.seq
                                  AND earlier.status = 'pending' AND earlier.attempt_count = 0))
                     ORDER BY d.next_attempt_at
                     LIMIT greatest(least($3::bigint - endpoints.n_leased,
                                          2 * $2::bigint / cardinality($1) + 1), 0)
                       FOR UPDATE OF d SKIP LOCKED) oldest
), placed AS (
    SELECT due.*, n_leased + row_number() OVER (PARTITION BY endpoint_id
                                                ORDER BY next_attempt_at, seq) AS place
      FROM due
), turns AS (
    SELECT id, place, next_attempt_at,
           n_of_tenant + row_number() OVER (PARTITION BY tenant_id
                                            ORDER BY place, next_attempt_at) AS turn
      FROM placed
), chosen AS (
    SELECT id FROM turns WHERE turn <= $5::bigint ORDER BY turn, place, next_attempt_at LIMIT $2
)
UPDATE event_deliveries d
   SET next_attempt_at = now() + $4::bigint * interval '1 millisecond',
       lease_token = gen_random_uuid()
  FROM chosen, event_endpoints endpoint, tenants
 WHERE d.id = chosen.id AND endpoint.id = d.endpoint_id AND tenants.id = d.tenant_id
RETURNING d.id, d.seq, d.lease_token, d.tenant_id, d.endpoint_id, d.event_id, d.event_type,
          d.execution_id, d.payload, d.round, d.attempt_count, d.occurred_at, d.trace_context, endpoint.url,
          endpoint.secret_key_id, endpoint.secret_sealed,
          CASE WHEN endpoint.previous_secret_expires_at > now()
               THEN endpoint.previous_secret_key_id END AS previous_secret_key_id,
          endpoint.previous_secret_sealed, tenants.destination_hosts";

/// An event for one endpoint, and the right to send it.
#[derive(Clone)]
pub struct Claimed {
    /// Which.
    pub id: EventDeliveryId,
    /// What tells this claim from every other.
    pub lease_token: Uuid,
    /// Whose.
    pub tenant_id: TenantId,
    /// Where to.
    pub endpoint_id: EventEndpointId,
    /// The event.
    pub event_id: EventId,
    /// `tool_called`, …
    pub event_type: String,
    /// The execution in which it happened.
    pub execution_id: ExecutionId,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The body, byte for byte.
    pub payload: String,
    /// How often it was asked for.
    pub round: u32,
    /// How often it was tried in this round.
    pub attempt_count: u32,
    /// Where to, as an address.
    pub url: String,
    /// What it is signed with: the endpoint's secret, and the one before it while that is good.
    /// None if the secret does not open, as when its key was taken away.
    pub secrets: Vec<String>,
    /// Where the tenant's requests may go; none for anywhere.
    pub destination_hosts: Vec<String>,
    /// Where in a trace the event was published, if that is recorded.
    pub trace: Option<TraceContext>,
}

/// Without its secrets and what is said in it.
impl std::fmt::Debug for Claimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claimed")
            .field("id", &self.id)
            .field("endpoint_id", &self.endpoint_id)
            .field("event_id", &self.event_id)
            .field("round", &self.round)
            .field("attempt_count", &self.attempt_count)
            .finish_non_exhaustive()
    }
}

/// How many events may be leased at a time, all instances together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Of one endpoint.
    pub per_endpoint: u32,
    /// Of one tenant.
    pub per_tenant: u32,
}

/// Claims up to `limit` events for `lease`, within `caps`. They come in the order in which they were
/// recorded.
///
/// Ends some of what is due for endpoints that were deleted, too.
pub async fn claim(
    store: &Store,
    limit: usize,
    caps: Caps,
    lease: Duration,
) -> Result<Vec<Claimed>, StoreError> {
    let failed = StoreError::query("event_deliveries.claim");
    let mut client = store.client("event_deliveries.claim").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    let endpoints = transaction.query(&lock, &[]).await.map_err(&failed)?;
    let (deleted, endpoints): (Vec<&Row>, Vec<&Row>) =
        endpoints.iter().partition(|row| row.get("is_deleted"));
    end_deleted(&transaction, &ids(&deleted)).await?;
    // A statement of its own, which sees what those leased who had the endpoints before.
    let rows = claim_of(&transaction, &ids(&endpoints), limit, caps, lease).await?;
    transaction.commit().await.map_err(&failed)?;
    Ok(rows.iter().map(|row| Claimed::from_row(store, row)).collect())
}

fn ids(rows: &[&Row]) -> Vec<Uuid> {
    rows.iter().map(|row| row.get("id")).collect()
}

async fn end_deleted(transaction: &Transaction<'_>, endpoints: &[Uuid]) -> Result<(), StoreError> {
    if endpoints.is_empty() {
        return Ok(());
    }
    let failed = StoreError::query("event_deliveries.end_deleted");
    let end = transaction.prepare_cached(END_DELETED).await.map_err(&failed)?;
    let n_ended = transaction.execute(&end, &[&endpoints, &END_BATCH, &ENDPOINT_DELETED]).await;
    n_ended.map_err(&failed)?;
    Ok(())
}

/// In the order in which they were recorded.
async fn claim_of(
    transaction: &Transaction<'_>,
    endpoints: &[Uuid],
    limit: usize,
    caps: Caps,
    lease: Duration,
) -> Result<Vec<Row>, StoreError> {
    if endpoints.is_empty() {
        return Ok(Vec::new());
    }
    let failed = StoreError::query("event_deliveries.claim");
    let claim = transaction.prepare_cached(CLAIM).await.map_err(&failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (per_endpoint, per_tenant) = (i64::from(caps.per_endpoint), i64::from(caps.per_tenant));
    let mut rows = transaction
        .query(&claim, &[&endpoints, &limit, &per_endpoint, &millis(lease), &per_tenant])
        .await
        .map_err(&failed)?;
    rows.sort_by_key(|row| row.get::<_, i64>("seq"));
    Ok(rows)
}

impl Claimed {
    fn from_row(store: &Store, row: &Row) -> Self {
        let endpoint_id = EventEndpointId(row.get("endpoint_id"));
        let natural = |column| u32::try_from(row.get::<_, i32>(column)).unwrap_or_default();
        Self {
            id: EventDeliveryId(row.get("id")),
            lease_token: row.get("lease_token"),
            tenant_id: TenantId(row.get("tenant_id")),
            endpoint_id,
            event_id: EventId(row.get("event_id")),
            event_type: row.get("event_type"),
            execution_id: ExecutionId(row.get("execution_id")),
            occurred_at: row.get("occurred_at"),
            payload: row.get("payload"),
            round: natural("round"),
            attempt_count: natural("attempt_count"),
            url: row.get("url"),
            secrets: secrets(store, endpoint_id, row),
            destination_hosts: row.get("destination_hosts"),
            trace: trace_from_row(row),
        }
    }
}

/// The present one, and the one before it if it is still good. One that is on its way out and does
/// not open is as good as none; without the present one there is none.
fn secrets(store: &Store, id: EventEndpointId, row: &Row) -> Vec<String> {
    let open = |sealed: &Sealed| open_secret(store, "event_deliveries.claim", id, sealed);
    let present = Sealed { key_id: row.get("secret_key_id"), bytes: row.get("secret_sealed") };
    let mut secrets = match open(&present) {
        Ok(secret) => vec![secret],
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(endpoint.id = %id, error, "the secret of event endpoint {id} cannot be read");
            return Vec::new();
        }
    };
    if let Some(key_id) = row.get("previous_secret_key_id") {
        let previous = Sealed { key_id, bytes: row.get("previous_secret_sealed") };
        secrets.extend(open(&previous).ok());
    }
    secrets
}
