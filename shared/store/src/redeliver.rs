//! Having a delivery that has ended sent again.
//!
//! Nobody is told: the worker finds a lane that is due within its next poll.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{DeliveryId, SessionId, TenantId, TriggerId};

use crate::{Store, StoreError};

/// Neither ever changes, so this may be read before anything is locked.
const PLACE: &str = "\
-- redeliver.place
SELECT session_id, trigger_id FROM deliveries WHERE tenant_id = $1 AND id = $2";

/// Makes sure that there is a lane, too: the update changes nothing, and locks.
const LOCK_LANE: &str = "\
-- redeliver.lock_lane
INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued)
VALUES ('delivery', $1, $2, $3, 0)
ON CONFLICT (kind, session_id) DO UPDATE SET queued = lanes.queued";

const STATUS: &str = "\
-- redeliver.status
SELECT status FROM deliveries WHERE id = $1 FOR UPDATE";

/// Asked once the delivery is locked: what is being removed at this moment was locked before.
const OBSTACLES: &str = "\
-- redeliver.obstacles
SELECT e.erased, coalesce(t.trigger_config #>> '{execution,callback}',
                          t.trigger_config #>> '{email,smtp}') IS NOT NULL AS has_callback
  FROM deliveries d
  JOIN executions e ON e.id = d.execution_id
  JOIN triggers t ON t.id = d.trigger_id
 WHERE d.id = $1";

/// What is answered this time is to be kept as long as what was answered before.
const KEEP: &str = "\
-- redeliver.keep
UPDATE executions SET erased = 0
  FROM deliveries d
 WHERE d.id = $1 AND executions.id = d.execution_id AND executions.erased = 1";

const RENEW_FAILED: &str = "\
-- redeliver.renew_failed
WITH chunk AS (
    UPDATE chunks SET status = 'pending', attempt_count = 0
     WHERE delivery_id = $1 AND status IN ('failed', 'skipped')
)
UPDATE deliveries
   SET status = 'pending', round = round + 1, requested_at = $2, finished_at = NULL,
       error_code = NULL, error_message = NULL
 WHERE id = $1";

/// Without chunks it is cut anew, with what the trigger says then.
const RENEW_WHOLE: &str = "\
-- redeliver.renew_whole
WITH chunk AS (
    DELETE FROM chunks WHERE delivery_id = $1
)
UPDATE deliveries
   SET status = 'pending', round = round + 1, whole_round = round + 1, requested_at = $2,
       finished_at = NULL, error_code = NULL, error_message = NULL, chunk_count = NULL,
       truncated = false
 WHERE id = $1";

/// Its place is behind what the session has on its way: what has begun is not interrupted. Where
/// two have the same place, the time at which they were asked for decides, and that is told by
/// whichever process was asked: so it is put behind the others' in any case.
const REQUEUE: &str = "\
-- redeliver.requeue
UPDATE deliveries
   SET (seq, requested_at) = (
           SELECT greatest(deliveries.seq, max(waiting.seq)),
                  greatest(deliveries.requested_at,
                           max(waiting.requested_at) + interval '1 microsecond')
             FROM deliveries waiting
            WHERE waiting.session_id = $2 AND waiting.finished_at IS NULL AND waiting.id <> $1)
 WHERE id = $1";

/// A lane that is leased or waits for a retry keeps its time: whoever works it finds one more.
const QUEUE: &str = "\
-- redeliver.queue
UPDATE lanes
   SET queued = queued + 1, next_run_at = coalesce(next_run_at, now()), trigger_id = $2
 WHERE kind = 'delivery' AND session_id = $1";

/// `executions.erased` where what was said is gone; see [`crate::retention`].
const TEXTS_ERASED: i16 = 2;

/// What of a delivery is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedeliverFrom {
    /// The chunks that did not arrive, as they were, with their idempotency keys.
    FirstFailed,
    /// All of it, as if for the first time.
    Start,
}

/// What became of the wish to have a delivery sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// It is in its session's lane.
    Queued,
    /// It is on its way already.
    InProgress,
    /// All of it has arrived.
    Arrived,
    /// What it said is not kept any longer.
    Removed,
    /// Its trigger has nowhere to send it to any more.
    NoCallback,
    /// The tenant has no such delivery.
    NotFound,
}

/// Puts a delivery that has ended back into its session's lane. Of several who ask at the same
/// time one is heard.
pub async fn redeliver(
    store: &Store,
    tenant: TenantId,
    id: DeliveryId,
    from: RedeliverFrom,
    now: DateTime<Utc>,
) -> Result<Redelivery, StoreError> {
    let failed = StoreError::query("redeliver.redeliver");
    let mut client = store.client("redeliver.redeliver").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let place = transaction.prepare_cached(PLACE).await.map_err(&failed)?;
    let row = transaction.query_opt(&place, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    let Some(row) = row else { return Ok(Redelivery::NotFound) };
    let (session, trigger) = (SessionId(row.get("session_id")), TriggerId(row.get("trigger_id")));

    // The lane first, as everybody does; whoever is second then sees what the first has done.
    let lock = transaction.prepare_cached(LOCK_LANE).await.map_err(&failed)?;
    transaction.execute(&lock, &[&session.0, &tenant.0, &trigger.0]).await.map_err(&failed)?;
    let verdict = judge(&transaction, id, from).await?;
    if verdict == Redelivery::Queued {
        let renew = match from {
            RedeliverFrom::FirstFailed => RENEW_FAILED,
            RedeliverFrom::Start => RENEW_WHOLE,
        };
        let renew = transaction.prepare_cached(renew).await.map_err(&failed)?;
        transaction.execute(&renew, &[&id.0, &now]).await.map_err(&failed)?;
        let keep = transaction.prepare_cached(KEEP).await.map_err(&failed)?;
        transaction.execute(&keep, &[&id.0]).await.map_err(&failed)?;
        let requeue = transaction.prepare_cached(REQUEUE).await.map_err(&failed)?;
        transaction.execute(&requeue, &[&id.0, &session.0]).await.map_err(&failed)?;
        let queue = transaction.prepare_cached(QUEUE).await.map_err(&failed)?;
        transaction.execute(&queue, &[&session.0, &trigger.0]).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
    } else {
        // Waited for: a claim passes over a lane that is still locked.
        transaction.rollback().await.map_err(&failed)?;
    }
    Ok(verdict)
}

async fn judge(
    transaction: &Transaction<'_>,
    id: DeliveryId,
    from: RedeliverFrom,
) -> Result<Redelivery, StoreError> {
    let failed = StoreError::query("redeliver.status");
    let status = transaction.prepare_cached(STATUS).await.map_err(&failed)?;
    let row = transaction.query_opt(&status, &[&id.0]).await.map_err(&failed)?;
    let Some(row) = row else { return Ok(Redelivery::NotFound) };
    match (row.get("status"), from) {
        ("pending", _) => return Ok(Redelivery::InProgress),
        ("delivered", RedeliverFrom::FirstFailed) => return Ok(Redelivery::Arrived),
        _ => {}
    }
    let failed = StoreError::query("redeliver.obstacles");
    let obstacles = transaction.prepare_cached(OBSTACLES).await.map_err(&failed)?;
    let row = transaction.query_opt(&obstacles, &[&id.0]).await.map_err(&failed)?;
    let Some(row) = row else { return Ok(Redelivery::Removed) };
    Ok(if row.get::<_, i16>("erased") >= TEXTS_ERASED {
        Redelivery::Removed
    } else if row.get("has_callback") {
        Redelivery::Queued
    } else {
        Redelivery::NoCallback
    })
}
