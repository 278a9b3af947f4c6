//! What was sent to event endpoints.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Job, Position, Removed, STATEMENT_ROWS, Step, execute};
use crate::{Store, StoreError};

/// How many one batch looks at.
const BATCH: i64 = 250;

const DUE: &str = "\
-- retention.due_events
SELECT id, finished_at FROM event_deliveries
 WHERE tenant_id = $1 AND erased = $2 AND finished_at < $3
   AND (finished_at, id) > ($4::timestamptz, $5::uuid)
 ORDER BY finished_at, id LIMIT $6
   FOR UPDATE SKIP LOCKED";

const EMPTY_ATTEMPTS: &str = "\
-- retention.empty_event_attempts
UPDATE event_attempts SET response_headers = NULL, response_body = NULL
 WHERE id = ANY (ARRAY(
           SELECT part.id FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT id FROM event_attempts
                            WHERE event_delivery_id = done.id
                              AND (response_headers IS NOT NULL OR response_body IS NOT NULL)
                            LIMIT $2) part
            LIMIT $2))";

const DELETE_ATTEMPTS: &str = "\
-- retention.delete_event_attempts
DELETE FROM event_attempts
 WHERE id = ANY (ARRAY(
           SELECT part.id FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT id FROM event_attempts
                            WHERE event_delivery_id = done.id
                            LIMIT $2) part
            LIMIT $2))";

const EMPTY: &str = "\
-- retention.empty_events
UPDATE event_deliveries SET payload = '', erased = true WHERE id = ANY ($1)";

const DELETE: &str = "\
-- retention.delete_events
DELETE FROM event_deliveries WHERE id = ANY ($1)";

/// As for executions: first the attempts, so many at a time, then what they were for.
pub(super) async fn advance(
    store: &Store,
    job: &mut Job,
    is_erased: bool,
) -> Result<Removed, StoreError> {
    let failed = StoreError::query("retention.events");
    let mut client = store.client("retention.events").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let due = due(&transaction, job, is_erased).await?;
    let Some(&last) = due.last() else {
        return Ok(Removed { is_over: true, ..Removed::default() });
    };
    let ids: Vec<Uuid> = due.iter().map(|one| one.id).collect();
    let mut removed = Removed::default();
    let limit = i64::try_from(STATEMENT_ROWS).unwrap_or(i64::MAX);
    let parameters: [&(dyn ToSql + Sync); 2] = [&ids, &limit];
    let (operation, statement) = match job.step {
        Step::Everything => ("retention.delete_event_attempts", DELETE_ATTEMPTS),
        Step::Texts | Step::CallBodies => ("retention.empty_event_attempts", EMPTY_ATTEMPTS),
    };
    let n_attempts = execute(&transaction, operation, statement, &parameters).await?;
    removed.add("event_attempts", n_attempts);
    let is_bare = usize::try_from(n_attempts).is_ok_and(|n_rows| n_rows < STATEMENT_ROWS);
    if is_bare {
        let (operation, statement) = match job.step {
            Step::Everything => ("retention.delete_events", DELETE),
            Step::Texts | Step::CallBodies => ("retention.empty_events", EMPTY),
        };
        removed
            .add("event_deliveries", execute(&transaction, operation, statement, &[&ids]).await?);
    }
    transaction.commit().await.map_err(&failed)?;
    if is_bare {
        job.after = last;
        removed.is_over = ids.len() < usize::try_from(BATCH).unwrap_or_default();
    }
    Ok(removed)
}

async fn due(
    transaction: &Transaction<'_>,
    job: &Job,
    is_erased: bool,
) -> Result<Vec<Position>, StoreError> {
    let failed = StoreError::query("retention.due_events");
    let statement = transaction.prepare_cached(DUE).await.map_err(&failed)?;
    let Position { finished_at, id } = job.after;
    let rows = transaction
        .query(&statement, &[&job.tenant_id.0, &is_erased, &job.before, &finished_at, &id, &BATCH])
        .await
        .map_err(&failed)?;
    let position = |row: &tokio_postgres::Row| Position {
        finished_at: row.get::<_, DateTime<Utc>>("finished_at"),
        id: row.get("id"),
    };
    Ok(rows.iter().map(position).collect())
}
