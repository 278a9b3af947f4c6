//! Executions that ended long enough ago, and what of them is removed.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::TenantId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Job, Position, Removed, Step, execute, parts, sessions};
use crate::{Store, StoreError};

/// How many executions one batch looks at.
const BATCH: i64 = 100;

/// What others have locked is theirs at this moment: it is met again in the next round.
///
/// A sub-agent's execution is taken by itself, but not while whoever it worked for is still at it,
/// nor is that one taken while a sub-agent is: it is told to stop by the row of its parent.
const DUE: &str = "\
-- retention.due_executions
SELECT e.id, e.session_id, e.message_ids, e.finished_at,
       e.events_due
       OR EXISTS (SELECT FROM executions parent
                   WHERE parent.id = e.parent_execution_id AND parent.finished_at IS NULL)
       OR EXISTS (SELECT FROM executions child
                   WHERE child.parent_execution_id = e.id AND child.finished_at IS NULL)
       AS is_needed
  FROM executions e
 WHERE e.tenant_id = $1 AND e.erased = $2 AND e.finished_at < $3
   AND (e.finished_at, e.id) > ($4::timestamptz, $5::uuid)
 ORDER BY e.finished_at, e.id LIMIT $6
   FOR UPDATE OF e SKIP LOCKED";

/// Locked, so that nobody asks for one again meanwhile (`redeliver` does so under this lock, and
/// then looks what is left). One that is not locked here has not ended long enough ago, or is asked
/// for at this moment.
const LOCK_DELIVERIES: &str = "\
-- retention.lock_deliveries
WITH locked AS MATERIALIZED (
    SELECT part.id FROM unnest($1::uuid[]) AS done (id),
           LATERAL (SELECT id FROM deliveries
                     WHERE execution_id = done.id AND finished_at < $2
                       FOR UPDATE SKIP LOCKED) part
)
SELECT part.id, done.id AS execution_id, part.id IN (SELECT id FROM locked) AS is_ours
  FROM unnest($1::uuid[]) AS done (id),
       LATERAL (SELECT id FROM deliveries WHERE execution_id = done.id OFFSET 0) part";

/// Those whose messages say where something is to be sent that a person has said and that is still
/// on its way. Asked once the executions are locked: whoever says something holds the one whose
/// message it is.
const CONTEXTS: &str = "\
-- retention.needed_contexts
SELECT e.id
  FROM unnest($1::uuid[]) AS done (id)
  JOIN executions e ON e.id = done.id,
       LATERAL (SELECT FROM deliveries d JOIN executions said ON said.id = d.execution_id
                 WHERE d.session_id = e.session_id AND d.finished_at IS NULL
                   AND said.context_from = ANY (e.message_ids)
                 LIMIT 1) needing
 WHERE e.id = ANY ($1)";

const ERASE: &str = "\
-- retention.erase_executions
UPDATE executions
   SET erased = $2::smallint,
       input = CASE WHEN $2::smallint < 2 THEN input END,
       normalized_query = CASE WHEN $2::smallint < 2 THEN normalized_query END,
       agent_response = CASE WHEN $2::smallint < 2 THEN agent_response END
 WHERE id = ANY ($1)";

const DELETE: &str = "\
-- retention.delete_executions
DELETE FROM executions WHERE id = ANY ($1)";

/// An execution that is looked at.
struct Due {
    id: Uuid,
    session_id: Uuid,
    message_ids: Vec<Uuid>,
    finished_at: DateTime<Utc>,
    is_needed: bool,
}

impl Due {
    fn from_row(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            session_id: row.get("session_id"),
            message_ids: row.get("message_ids"),
            finished_at: row.get("finished_at"),
            is_needed: row.get("is_needed"),
        }
    }
}

/// Executions of which something is removed now, and what hangs on them.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) ids: Vec<Uuid>,
    pub(super) sessions: Vec<Uuid>,
    pub(super) messages: Vec<Uuid>,
    pub(super) deliveries: Vec<Uuid>,
}

/// Removes what hangs on the next executions, so many rows at a time; once there is no more of it,
/// the executions follow. If there is more, the next batch begins with the same ones.
pub(super) async fn advance(
    store: &Store,
    job: &mut Job,
    erased: i16,
) -> Result<Removed, StoreError> {
    let failed = StoreError::query("retention.executions");
    let mut client = store.client("retention.executions").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let due = due(&transaction, job.tenant_id, erased, job).await?;
    let Some(last) = due.last() else {
        return Ok(Removed { is_over: true, ..Removed::default() });
    };
    let position = Position { finished_at: last.finished_at, id: last.id };
    let is_last = due.len() < usize::try_from(BATCH).unwrap_or_default();
    let chosen = choose(&transaction, due, job.before).await?;
    let mut removed = Removed::default();
    let is_bare = parts::remove(&transaction, job.step, &chosen, &mut removed).await?;
    if is_bare {
        end(&transaction, job.step, &chosen, &mut removed).await?;
    }
    transaction.commit().await.map_err(&failed)?;
    if is_bare {
        job.after = position;
        removed.is_over = is_last;
    }
    Ok(removed)
}

async fn due(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    erased: i16,
    job: &Job,
) -> Result<Vec<Due>, StoreError> {
    let failed = StoreError::query("retention.due_executions");
    let statement = transaction.prepare_cached(DUE).await.map_err(&failed)?;
    let Position { finished_at, id } = job.after;
    let rows = transaction
        .query(&statement, &[&tenant.0, &erased, &job.before, &finished_at, &id, &BATCH])
        .await
        .map_err(&failed)?;
    Ok(rows.iter().map(Due::from_row).collect())
}

/// Those of `due` that nothing needs any more.
async fn choose(
    transaction: &Transaction<'_>,
    due: Vec<Due>,
    before: DateTime<Utc>,
) -> Result<Chosen, StoreError> {
    let failed = StoreError::query("retention.lock_deliveries");
    let ids: Vec<Uuid> = due.iter().map(|one| one.id).collect();
    let statement = transaction.prepare_cached(LOCK_DELIVERIES).await.map_err(&failed)?;
    let rows = transaction.query(&statement, &[&ids, &before]).await.map_err(&failed)?;
    let (ours, others): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.get("is_ours"));
    let of = |row: &&Row| row.get::<_, Uuid>("execution_id");
    let is_delivered_by_others = |id: Uuid| others.iter().any(|row| of(row) == id);
    let statement = transaction.prepare_cached(CONTEXTS).await.map_err(&failed)?;
    let contexts = transaction.query(&statement, &[&ids]).await.map_err(&failed)?;
    let is_context = |id: Uuid| contexts.iter().any(|row| row.get::<_, Uuid>("id") == id);
    let mut chosen = Chosen::default();
    for one in due {
        if one.is_needed || is_delivered_by_others(one.id) || is_context(one.id) {
            continue;
        }
        chosen.ids.push(one.id);
        chosen.sessions.push(one.session_id);
        chosen.messages.extend(one.message_ids);
    }
    let deliveries = ours.iter().filter(|row| chosen.ids.contains(&of(row)));
    chosen.deliveries = deliveries.map(|row| row.get("id")).collect();
    Ok(chosen)
}

async fn end(
    transaction: &Transaction<'_>,
    step: Step,
    chosen: &Chosen,
    removed: &mut Removed,
) -> Result<(), StoreError> {
    if chosen.ids.is_empty() {
        return Ok(());
    }
    let (ids, erased) = (&chosen.ids, step.erased());
    if step == Step::Everything {
        let operation = "retention.delete_executions";
        removed.add("executions", execute(transaction, operation, DELETE, &[ids]).await?);
        removed.add("sessions", sessions::remove_empty(transaction, &chosen.sessions).await?);
    } else {
        let operation = "retention.erase_executions";
        removed.add("executions", execute(transaction, operation, ERASE, &[ids, &erased]).await?);
    }
    Ok(())
}
