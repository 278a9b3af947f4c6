//! Executions whose last events are not known to be published: their runner may have died between
//! writing down how they ended and telling of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_types::{ExecutionId, SessionId};
use uuid::Uuid;

use super::start::{Claimed, REPLAY};
use crate::lanes::{Lease, millis};
use crate::{Store, StoreError};

const PUBLISHED: &str = "\
-- executions.events_published
UPDATE executions SET events_due = false WHERE id = ANY ($1) AND events_due";

const DUE: &str = "\
-- executions.with_events_due
SELECT id, error_code, error_message, finished_at FROM executions
 WHERE events_due AND finished_at IS NOT NULL AND finished_at < now() - $1::bigint * interval '1 millisecond'
 ORDER BY finished_at LIMIT $2";

/// A run that has ended, with how it did.
#[derive(Clone, Debug)]
pub struct EndedRun {
    /// All that a run knows; its lease is nobody's.
    pub run: Claimed,
    /// Why there is no answer: a stable code.
    pub error_code: Option<String>,
    /// Why there is no answer, for an admin.
    pub error_message: Option<String>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

/// Notes that all events of executions are published.
pub async fn events_published(store: &Store, ids: &[ExecutionId]) -> Result<(), StoreError> {
    let failed = StoreError::query("executions.events_published");
    let client = store.client("executions.events_published").await?;
    let statement = client.prepare_cached(PUBLISHED).await.map_err(&failed)?;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    client.execute(&statement, &[&ids]).await.map_err(&failed)?;
    Ok(())
}

/// Up to `limit` executions that ended longer than `age` ago and whose last events may be missing.
pub async fn with_events_due(
    store: &Store,
    age: Duration,
    limit: i64,
) -> Result<Vec<EndedRun>, StoreError> {
    let failed = StoreError::query("executions.with_events_due");
    let client = store.client("executions.with_events_due").await?;
    let due = client.prepare_cached(DUE).await.map_err(&failed)?;
    let ended = client.query(&due, &[&millis(age), &limit]).await.map_err(&failed)?;
    let ids: Vec<Uuid> = ended.iter().map(|row| row.get("id")).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let replay = client.prepare_cached(REPLAY).await.map_err(&failed)?;
    // Without a past: it has no events.
    let (turns, bytes) = (0_i64, 0_i64);
    let runs = client.query(&replay, &[&ids, &turns, &bytes]).await.map_err(&failed)?;
    let ended = ended.iter().filter_map(|end| {
        let id: Uuid = end.get("id");
        let run = runs.iter().find(|run| run.get::<_, Uuid>("id") == id)?;
        let nobody = Lease { session_id: SessionId(Uuid::nil()), token: Uuid::nil() };
        Some(EndedRun {
            run: Claimed::with_lease(run, nobody),
            error_code: end.get("error_code"),
            error_message: end.get("error_message"),
            finished_at: end.get("finished_at"),
        })
    });
    Ok(ended.collect())
}
