//! Destinations that do not answer.
//!
//! A trigger's callback is a destination. As long as it answers there is nothing to say about it;
//! once it does not, again and again, somebody *opens* it (as one opens a circuit): from then on
//! [`crate::deliveries::claim`] gives out nothing for it but, from time to time, one delivery as a
//! probe, until somebody *closes* it because it has answered.
//!
//! All instances share this. Each counts for itself what it meets, so the numbers are those of
//! whoever wrote last; what matters is when the destination is probed next, and that is only ever
//! put off, except by whoever made the probe, and by people. Time is the database's, as for lanes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_types::{TenantId, TriggerId};

use crate::lanes::millis;
use crate::{Store, StoreError};

const OPEN: &str = "\
-- destinations.open
INSERT INTO destinations (trigger_id, tenant_id, failure_count, error_code, error_message,
                          probe_at, opened_at, updated_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::bigint * interval '1 millisecond', $7, $7)
ON CONFLICT (trigger_id) DO UPDATE
   SET failure_count = excluded.failure_count, error_code = excluded.error_code,
       error_message = excluded.error_message, updated_at = excluded.updated_at,
       probe_at = greatest(destinations.probe_at, excluded.probe_at)
RETURNING opened_at = $7 AS is_new";

/// Only what is still open: whoever has closed it meanwhile has had an answer.
const PROBE_FAILED: &str = "\
-- destinations.probe_failed
UPDATE destinations
   SET failure_count = $2, error_code = $3, error_message = $4, updated_at = $6,
       probe_count = probe_count + 1, probe_at = now() + $5::bigint * interval '1 millisecond'
 WHERE trigger_id = $1";

const PROBE_AGAIN: &str = "\
-- destinations.probe_again
UPDATE destinations SET probe_at = now() WHERE trigger_id = $1";

/// Unless somebody is at it: then that is the attempt.
const PROBE: &str = "\
-- destinations.probe
UPDATE destinations SET probe_at = least(probe_at, now())
 WHERE tenant_id = $1 AND trigger_id = $2
   AND NOT EXISTS (SELECT FROM lanes
                    WHERE kind = 'delivery' AND tenant_id = $1 AND trigger_id = $2
                      AND next_run_at > now() AND lease_token IS NOT NULL)";

const CLOSE: &str = "\
-- destinations.close
DELETE FROM destinations WHERE trigger_id = $1";

/// How many there are in all is what the planner takes it for: to count triggers every few seconds
/// would be a high price for the size of an installation.
const COUNT: &str = "\
-- destinations.count
SELECT (SELECT count(*) FROM destinations) AS n_open,
       greatest(reltuples, 0)::bigint AS n_about
  FROM pg_class WHERE oid = 'triggers'::regclass";

/// What is wrong with a destination.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which destination.
    pub trigger_id: TriggerId,
    /// Whose.
    pub tenant_id: TenantId,
    /// How many requests in a row it has failed to answer.
    pub failure_count: u32,
    /// What came of the last of them, as a stable code.
    pub error_code: String,
    /// The same for people.
    pub error_message: String,
    /// How long it is left alone.
    pub pause: Duration,
}

/// Opens a destination, or puts off the next probe of one that is open. Answers whether it was
/// closed before.
pub async fn open(store: &Store, fault: &Fault, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let failed = StoreError::query("destinations.open");
    let client = store.client("destinations.open").await?;
    let statement = client.prepare_cached(OPEN).await.map_err(&failed)?;
    let row = client
        .query_one(
            &statement,
            &[
                &fault.trigger_id.0,
                &fault.tenant_id.0,
                &as_stored(fault.failure_count),
                &fault.error_code,
                &fault.error_message,
                &millis(fault.pause),
                &now,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(row.get("is_new"))
}

/// Writes down that a probe was not answered, and when the next one is due.
pub async fn probe_failed(
    store: &Store,
    fault: &Fault,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let failed = StoreError::query("destinations.probe_failed");
    let client = store.client("destinations.probe_failed").await?;
    let statement = client.prepare_cached(PROBE_FAILED).await.map_err(&failed)?;
    client
        .execute(
            &statement,
            &[
                &fault.trigger_id.0,
                &as_stored(fault.failure_count),
                &fault.error_code,
                &fault.error_message,
                &millis(fault.pause),
                &now,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(())
}

/// Has a destination probed at once: whoever was to probe it could not.
pub async fn probe_again(store: &Store, trigger: TriggerId) -> Result<(), StoreError> {
    let failed = StoreError::query("destinations.probe_again");
    let client = store.client("destinations.probe_again").await?;
    let statement = client.prepare_cached(PROBE_AGAIN).await.map_err(&failed)?;
    client.execute(&statement, &[&trigger.0]).await.map_err(&failed)?;
    Ok(())
}

/// Lets a destination that does not answer be tried at once. Changes nothing if it answers, or is
/// being tried.
pub async fn probe(store: &Store, tenant: TenantId, trigger: TriggerId) -> Result<(), StoreError> {
    let failed = StoreError::query("destinations.probe");
    let client = store.client("destinations.probe").await?;
    let statement = client.prepare_cached(PROBE).await.map_err(&failed)?;
    client.execute(&statement, &[&tenant.0, &trigger.0]).await.map_err(&failed)?;
    Ok(())
}

/// Closes a destination: it has answered. Answers whether it was open.
pub async fn close(store: &Store, trigger: TriggerId) -> Result<bool, StoreError> {
    let failed = StoreError::query("destinations.close");
    let client = store.client("destinations.close").await?;
    let statement = client.prepare_cached(CLOSE).await.map_err(&failed)?;
    let n_deleted = client.execute(&statement, &[&trigger.0]).await.map_err(&failed)?;
    Ok(n_deleted > 0)
}

/// How many destinations there are, of all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// Those that are open.
    pub n_open: i64,
    /// All triggers, about: 0 until `PostgreSQL` has looked at them for the first time.
    pub n_about: i64,
}

/// Counts destinations.
pub async fn count(store: &Store) -> Result<Destinations, StoreError> {
    let failed = StoreError::query("destinations.count");
    let client = store.client("destinations.count").await?;
    let statement = client.prepare_cached(COUNT).await.map_err(&failed)?;
    let row = client.query_one(&statement, &[]).await.map_err(&failed)?;
    Ok(Destinations { n_open: row.get("n_open"), n_about: row.get("n_about") })
}

fn as_stored(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
