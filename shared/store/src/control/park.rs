//! Giving back the lane of an execution that has to wait.

use recado_types::ExecutionId;

use crate::lanes::{Held, Lease};
use crate::{Store, StoreError};

const LOCK: &str = "\
-- control.lock_lane
SELECT session_id FROM lanes
 WHERE kind = 'execution' AND session_id = $1 AND lease_token = $2 FOR UPDATE";

/// What is to be waited for is looked at here and not before: see the module above. A call that
/// was approved, or is still to be made, is work; whoever parks has made all that it knew of.
///
/// The clock of an execution stops while it waits for people. Waiting for a sub-agent is its own
/// time.
const PARK: &str = "\
-- control.park
WITH run AS (
    SELECT e.id, e.session_id, waits.for_person OR s.status = 'suspended' AS is_paused,
           CASE WHEN e.cancel_requested_at IS NOT NULL OR s.status = 'handed_off' THEN now()
                WHEN s.status = 'suspended' THEN 'infinity'
                WHEN waits.has_work OR NOT (waits.for_person OR waits.for_agent) THEN now()
                ELSE coalesce(waits.until, 'infinity') END AS next_run_at
      FROM executions e
      CROSS JOIN LATERAL (
           SELECT coalesce(bool_or(c.status IN ('requested', 'approved')), false) AS has_work,
                  coalesce(bool_or(c.status = 'waiting_for_approval'), false) AS for_person,
                  coalesce(bool_or(c.status = 'delegated'), false) AS for_agent,
                  min(c.approval_expires_at) FILTER (WHERE c.status = 'waiting_for_approval')
                      AS until
             FROM tool_calls c WHERE c.execution_id = e.id) waits
      LEFT JOIN sessions s ON s.id = e.session_id
     WHERE e.id = $2 AND e.session_id = $1 AND e.finished_at IS NULL
), parked AS (
    UPDATE executions
       SET status = CASE WHEN run.next_run_at > now() THEN 'waiting' ELSE executions.status END,
           paused_at = CASE WHEN run.next_run_at > now() AND run.is_paused THEN now() END,
           attempt_count = greatest(attempt_count - 1, 0), events_due = NOT $3
      FROM run WHERE executions.id = run.id
)
UPDATE lanes SET next_run_at = run.next_run_at, lease_token = NULL
  FROM run WHERE lanes.kind = 'execution' AND lanes.session_id = run.session_id";

/// Parks the lane of an execution that waits for an approval, a sub-agent or its session, until the
/// first of its approvals expires or somebody wakes it. The lease ends.
///
/// If there is nothing to wait for any more, the lane is due at once. It does not count as an
/// attempt if everything that happened in it was told (`is_told`); if not, whoever takes it up
/// again will know by that, and tell all of it.
///
/// [`Held::No`] if the lease was lost, or the execution is not one of its session that could wait.
pub async fn park(
    store: &Store,
    lease: &Lease,
    execution: ExecutionId,
    is_told: bool,
) -> Result<Held, StoreError> {
    let failed = StoreError::query("control.park");
    let mut client = store.client("control.park").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    let session = lease.session_id.0;
    let locked = transaction.query_opt(&lock, &[&session, &lease.token]).await;
    if locked.map_err(&failed)?.is_none() {
        return Ok(Held::No);
    }
    let statement = transaction.prepare_cached(PARK).await.map_err(&failed)?;
    let n_parked = transaction.execute(&statement, &[&session, &execution.0, &is_told]).await;
    let held = Held::from_count(i64::try_from(n_parked.map_err(&failed)?).unwrap_or(i64::MAX));
    transaction.commit().await.map_err(&failed)?;
    Ok(held)
}
