//! What a runner asks about its runs while they last.

use recado_types::ExecutionId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::MAX_SUPERSEDES;
use crate::{Store, StoreError};

/// A sub-agent whose parent has ended without it works for nobody.
const POLL: &str = "\
-- control.poll
SELECT id, reason
  FROM (SELECT e.id,
               CASE WHEN e.cancel_requested_at IS NOT NULL OR parent.finished_at IS NOT NULL
                    THEN 'cancel_requested'
                    WHEN sessions.status = 'handed_off' THEN 'handed_off'
                    WHEN sessions.status = 'suspended' THEN 'suspended'
                    WHEN asked.yields AND e.supersede_count < $3
                         AND EXISTS (SELECT FROM executions newer
                                      WHERE newer.session_id = e.session_id
                                        AND newer.finished_at IS NULL AND newer.seq > e.seq
                                        AND newer.cancel_requested_at IS NULL)
                    THEN 'superseded' END AS reason
          FROM unnest($1::uuid[], $2::boolean[]) AS asked (id, yields)
          JOIN executions e ON e.id = asked.id
          LEFT JOIN sessions ON sessions.id = e.session_id
          LEFT JOIN executions parent ON parent.id = e.parent_execution_id) run
 WHERE reason IS NOT NULL";

/// A run to ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Which.
    pub execution_id: ExecutionId,
    /// Whether it gives way to a newer execution of its session.
    pub yields: bool,
}

/// Why a run is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody wants it to end, or who it works for has ended.
    CancelRequested,
    /// A person answers in its session.
    HandedOff,
    /// Its session is to wait.
    Suspended,
    /// A newer execution waits, and its messages have not been taken over too often.
    Superseded,
}

/// A run that is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which.
    pub execution_id: ExecutionId,
    /// Why.
    pub reason: StopReason,
}

/// Those of the runs that are to stop, each with the gravest reason.
pub async fn poll(store: &Store, runs: &[Watched]) -> Result<Vec<Stop>, StoreError> {
    let failed = StoreError::query("control.poll");
    let client = store.client("control.poll").await?;
    let statement = client.prepare_cached(POLL).await.map_err(&failed)?;
    let ids: Vec<Uuid> = runs.iter().map(|run| run.execution_id.0).collect();
    let yields: Vec<bool> = runs.iter().map(|run| run.yields).collect();
    let rows = client.query(&statement, &[&ids, &yields, &MAX_SUPERSEDES]).await;
    Ok(rows.map_err(&failed)?.iter().map(stop_from_row).collect())
}

fn stop_from_row(row: &Row) -> Stop {
    let reason = match row.get("reason") {
        "handed_off" => StopReason::HandedOff,
        "suspended" => StopReason::Suspended,
        "superseded" => StopReason::Superseded,
        _ => StopReason::CancelRequested,
    };
    Stop { execution_id: ExecutionId(row.get("id")), reason }
}
