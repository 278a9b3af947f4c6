//! Asking an execution to end, with all that works for it.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{ExecutionId, TenantId};
use uuid::Uuid;

use super::MAX_DEPTH;
use crate::{Store, StoreError, lanes};

/// The sessions of an execution and of the unfinished executions below it.
const FAMILY: &str = "\
-- control.family
WITH RECURSIVE family AS (
    SELECT id, session_id, 0 AS level FROM executions WHERE id = $1 AND tenant_id = $2
     UNION ALL
    SELECT child.id, child.session_id, family.level + 1
      FROM family
      JOIN executions child ON child.parent_execution_id = family.id
                           AND child.finished_at IS NULL
     WHERE family.level < $3
)
SELECT session_id FROM family";

/// Walks again: a sub-agent may have begun since, until the lanes were locked.
const CANCEL: &str = "\
-- control.cancel
WITH RECURSIVE family AS (
    SELECT id, 0 AS level FROM executions WHERE id = $1 AND tenant_id = $2
     UNION ALL
    SELECT child.id, family.level + 1
      FROM family
      JOIN executions child ON child.parent_execution_id = family.id
                           AND child.finished_at IS NULL
     WHERE family.level < $3
), marked AS (
    UPDATE executions SET cancel_requested_at = coalesce(cancel_requested_at, $4)
      FROM family WHERE executions.id = family.id AND executions.finished_at IS NULL
    RETURNING executions.session_id
)
SELECT status, finished_at IS NOT NULL AS has_ended,
       ARRAY(SELECT DISTINCT session_id FROM marked) AS sessions
  FROM executions WHERE id = $1";

/// What became of the wish that an execution end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// It is known, and so it was if somebody wished for it before: the execution ends within
    /// moments if it runs or waits, and in its turn if it is queued.
    Requested {
        /// Where it stands until then.
        status: String,
    },
    /// It has ended. What still worked for it is cancelled nevertheless.
    AlreadyEnded {
        /// How.
        status: String,
    },
    /// The tenant has no such execution.
    NotFound,
}

/// Asks an execution, and every execution that a sub-agent runs for it, to end as `cancelled`.
pub async fn request_cancel(
    store: &Store,
    tenant: TenantId,
    execution: ExecutionId,
    now: DateTime<Utc>,
) -> Result<Cancellation, StoreError> {
    let failed = StoreError::query("control.cancel");
    let mut client = store.client("control.cancel").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let sessions = family(&transaction, tenant, execution).await?;
    if sessions.is_empty() {
        return Ok(Cancellation::NotFound);
    }
    lanes::lock(&transaction, &sessions).await?;
    let statement = transaction.prepare_cached(CANCEL).await.map_err(&failed)?;
    let row = transaction
        .query_one(&statement, &[&execution.0, &tenant.0, &MAX_DEPTH, &now])
        .await
        .map_err(&failed)?;
    lanes::wake(&transaction, &row.get::<_, Vec<Uuid>>("sessions")).await?;
    transaction.commit().await.map_err(&failed)?;
    let status = row.get("status");
    Ok(if row.get("has_ended") {
        Cancellation::AlreadyEnded { status }
    } else {
        Cancellation::Requested { status }
    })
}

async fn family(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    execution: ExecutionId,
) -> Result<Vec<Uuid>, StoreError> {
    let failed = StoreError::query("control.family");
    let statement = transaction.prepare_cached(FAMILY).await.map_err(&failed)?;
    let rows = transaction.query(&statement, &[&execution.0, &tenant.0, &MAX_DEPTH]).await;
    Ok(rows.map_err(&failed)?.iter().map(|row| row.get("session_id")).collect())
}
