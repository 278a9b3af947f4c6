//! Sessions of which nothing is left.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::execute;
use crate::StoreError;
use crate::executions::ADMISSION_LOCK;

/// Whoever admits a message leaves the session alone that it finds, and would not make it anew if
/// it went away at the same moment: so nobody admits while sessions are removed.
const LOCK: &str = "\
-- retention.lock_admission
SELECT pg_advisory_xact_lock($1)";

/// Whoever says something in an agent's place holds the session while they do. Those who hold it
/// now are passed over; those who have let go of it are seen by the statement that looks.
const LOCK_SESSIONS: &str = "\
-- retention.lock_sessions
SELECT active.id FROM unnest($1::uuid[]) AS done (id),
       LATERAL (SELECT s.id FROM sessions s WHERE s.id = done.id AND s.status = 'active'
                   FOR UPDATE SKIP LOCKED) active";

/// A session that somebody has suspended or handed over stays: what comes next has to know.
const REMOVE: &str = "\
-- retention.remove_sessions
WITH gone AS (
    DELETE FROM sessions
     WHERE id = ANY (ARRAY(
               SELECT idle.id FROM unnest($1::uuid[]) AS done (id),
                      LATERAL (SELECT s.id FROM sessions s
                                WHERE s.id = done.id AND s.status = 'active'
                                  AND NOT EXISTS (SELECT FROM executions e
                                                   WHERE e.session_id = done.id
                                                     AND e.finished_at IS NULL)
                                  AND NOT EXISTS (SELECT FROM executions e
                                                   WHERE e.session_id = done.id
                                                     AND e.finished_at IS NOT NULL)
                                  AND NOT EXISTS (SELECT FROM messages m
                                                   WHERE m.session_id = done.id
                                                     AND m.execution_id IS NULL)
                                  AND NOT EXISTS (SELECT FROM lanes l
                                                   WHERE l.kind IN ('execution', 'delivery')
                                                     AND l.session_id = done.id
                                                     AND (l.queued > 0
                                                          OR l.next_run_at IS NOT NULL
                                                          OR l.lease_token IS NOT NULL))
                                  FOR UPDATE SKIP LOCKED) idle))
    RETURNING id
), lanes AS (
    DELETE FROM lanes
     WHERE kind IN ('execution', 'delivery') AND session_id = ANY (ARRAY(SELECT id FROM gone))
       AND queued = 0 AND next_run_at IS NULL AND lease_token IS NULL
), windows AS (
    DELETE FROM context_windows WHERE session_id = ANY (ARRAY(SELECT id FROM gone))
)
SELECT count(*) FROM gone";

/// Removes those of `sessions` that have nothing left, with their lanes and windows. Answers how
/// many there were.
pub(super) async fn remove_empty(
    transaction: &Transaction<'_>,
    sessions: &[Uuid],
) -> Result<u64, StoreError> {
    let failed = StoreError::query("retention.remove_sessions");
    // These have to be had before the statement begins that looks: that one sees what was admitted
    // and said.
    execute(transaction, "retention.lock_admission", LOCK, &[&ADMISSION_LOCK]).await?;
    let lock = transaction.prepare_cached(LOCK_SESSIONS).await.map_err(&failed)?;
    let locked = transaction.query(&lock, &[&sessions]).await.map_err(&failed)?;
    let locked: Vec<Uuid> = locked.iter().map(|row| row.get("id")).collect();
    let statement = transaction.prepare_cached(REMOVE).await.map_err(&failed)?;
    let row = transaction.query_one(&statement, &[&locked]).await.map_err(&failed)?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}
