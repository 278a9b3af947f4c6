//! What people have sent once more: one event, all that failed since some time, or an example.
//!
//! The worker finds what is due by itself, within its next poll.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, EventDeliveryId, EventEndpointId, EventId, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError};

/// The most deliveries that one call of [`recover`] asks for again.
pub const MAX_RECOVERED: u64 = 100_000;
/// How many of them one statement takes.
const BATCH: i64 = 1_000;

/// The type of an example, which no event of an agent has.
pub const TEST_EVENT_TYPE: &str = "test";

const ENDPOINT: &str = "\
-- event_endpoints.standing
SELECT agent_id, enabled FROM event_endpoints
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";

/// In the order of `event_deliveries_failed`, each batch from where the one before it ended, so
/// that what fails again meanwhile is not taken twice. What somebody else asks for at the same
/// moment is left to them.
const RECOVER: &str = "\
-- event_endpoints.recover
WITH batch AS MATERIALIZED (
    SELECT id FROM event_deliveries
     WHERE endpoint_id = $1 AND status = 'failed' AND seq > $2 AND created_at >= $3
       AND NOT erased
     ORDER BY seq LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE event_deliveries
   SET status = 'pending', round = round + 1, attempt_count = 0, next_attempt_at = now(),
       lease_token = NULL, error_code = NULL, finished_at = NULL
  FROM batch
 WHERE event_deliveries.id = batch.id
RETURNING event_deliveries.seq";

const LOCK: &str = "\
-- event_endpoints.lock_delivery
SELECT d.status, d.erased, e.enabled, e.deleted_at IS NOT NULL AS is_deleted
  FROM event_deliveries d
  JOIN event_endpoints e ON e.id = d.endpoint_id
 WHERE d.tenant_id = $1 AND d.id = $2
   FOR UPDATE OF d";

const SEND_AGAIN: &str = "\
-- event_endpoints.send_again
UPDATE event_deliveries
   SET status = 'pending', round = round + 1, attempt_count = 0, next_attempt_at = now(),
       lease_token = NULL, error_code = NULL, finished_at = NULL
 WHERE id = $1";

/// An example happens in no session and no execution: their columns have the nil UUID.
const SEND_TEST: &str = "\
-- event_endpoints.send_test
INSERT INTO event_deliveries (id, tenant_id, endpoint_id, event_id, event_type, agent_id,
                              session_id, execution_id, payload, status, next_attempt_at,
                              occurred_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, 'pending', now(), $9, $9)";

/// What became of the wish to send one event again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend {
    /// It is due.
    Queued,
    /// It is on its way already.
    InProgress,
    /// Its endpoint is disabled.
    Disabled,
    /// Its endpoint was deleted.
    Deleted,
    /// What it said is not kept any longer.
    Removed,
    /// The tenant has no such delivery.
    NotFound,
}

/// What became of the wish to recover what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// This many are due again; [`MAX_RECOVERED`] if there may be more.
    Recovered(u64),
    /// The endpoint is disabled.
    Disabled,
    /// The tenant has no such endpoint.
    NotFound,
}

/// What became of the wish to send an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentTest {
    /// It is due.
    Queued(EventDeliveryId),
    /// The endpoint is disabled.
    Disabled,
    /// The tenant has no such endpoint.
    NotFound,
}

/// Sends an event again, whether it arrived or not.
pub async fn send_again(
    store: &Store,
    tenant: TenantId,
    id: EventDeliveryId,
) -> Result<Resend, StoreError> {
    let failed = StoreError::query("event_endpoints.send_again");
    let mut client = store.client("event_endpoints.send_again").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    let row = transaction.query_opt(&lock, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    let verdict = row.as_ref().map_or(Resend::NotFound, may_send_again);
    if verdict == Resend::Queued {
        let renew = transaction.prepare_cached(SEND_AGAIN).await.map_err(&failed)?;
        transaction.execute(&renew, &[&id.0]).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
    }
    Ok(verdict)
}

fn may_send_again(row: &Row) -> Resend {
    if row.get("is_deleted") {
        Resend::Deleted
    } else if row.get::<_, &str>("status") == "pending" {
        Resend::InProgress
    } else if row.get("erased") {
        Resend::Removed
    } else if row.get("enabled") {
        Resend::Queued
    } else {
        Resend::Disabled
    }
}

/// Sends again what was recorded for an endpoint at `since` or later and failed, the oldest first,
/// up to [`MAX_RECOVERED`]. What was taken stays taken if a later batch fails.
pub async fn recover(
    store: &Store,
    tenant: TenantId,
    endpoint: EventEndpointId,
    since: DateTime<Utc>,
) -> Result<Recovery, StoreError> {
    let failed = StoreError::query("event_endpoints.recover");
    match standing(store, tenant, endpoint).await? {
        None => return Ok(Recovery::NotFound),
        Some(Standing { enabled: false, .. }) => return Ok(Recovery::Disabled),
        Some(Standing { enabled: true, .. }) => {}
    }
    let client = store.client("event_endpoints.recover").await?;
    let statement = client.prepare_cached(RECOVER).await.map_err(&failed)?;
    let (mut n_recovered, mut after) = (0, i64::MIN);
    while n_recovered < MAX_RECOVERED {
        let rows = client.query(&statement, &[&endpoint.0, &after, &since, &BATCH]).await;
        let rows = rows.map_err(&failed)?;
        let Some(last) = rows.iter().map(|row| row.get("seq")).max() else { break };
        n_recovered += rows.len() as u64;
        after = last;
    }
    Ok(Recovery::Recovered(n_recovered))
}

/// Sends an example with this `payload`, in the name of the event `event`.
pub async fn send_test(
    store: &Store,
    tenant: TenantId,
    endpoint: EventEndpointId,
    event: EventId,
    payload: &str,
    now: DateTime<Utc>,
) -> Result<SentTest, StoreError> {
    let agent = match standing(store, tenant, endpoint).await? {
        None => return Ok(SentTest::NotFound),
        Some(Standing { enabled: false, .. }) => return Ok(SentTest::Disabled),
        Some(Standing { enabled: true, agent }) => agent,
    };
    let failed = StoreError::query("event_endpoints.send_test");
    let client = store.client("event_endpoints.send_test").await?;
    let statement = client.prepare_cached(SEND_TEST).await.map_err(&failed)?;
    let id = EventDeliveryId::derived(endpoint, event);
    client
        .execute(
            &statement,
            &[
                &id.0,
                &tenant.0,
                &endpoint.0,
                &event.0,
                &TEST_EVENT_TYPE,
                &agent.map_or(Uuid::nil(), |agent| agent.0),
                &Uuid::nil(),
                &payload,
                &now,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(SentTest::Queued(id))
}

/// Whether something may be sent to an endpoint, and whose events it gets.
struct Standing {
    enabled: bool,
    agent: Option<AgentId>,
}

/// If somebody disables the endpoint right after, what was asked for waits until it is enabled.
async fn standing(
    store: &Store,
    tenant: TenantId,
    endpoint: EventEndpointId,
) -> Result<Option<Standing>, StoreError> {
    let failed = StoreError::query("event_endpoints.standing");
    let client = store.client("event_endpoints.standing").await?;
    let statement = client.prepare_cached(ENDPOINT).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &endpoint.0]).await.map_err(&failed)?;
    Ok(row.map(|row| Standing {
        enabled: row.get("enabled"),
        agent: row.get::<_, Option<Uuid>>("agent_id").map(AgentId),
    }))
}
