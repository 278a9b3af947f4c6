//! Suspending sessions, resuming them, handing them to a person.

use deadpool_postgres::Transaction;
use recado_types::{SessionId, TenantId};
use uuid::Uuid;

use super::MAX_DEPTH;
use crate::{Store, StoreError, lanes};

/// The session, and those of the sub-agents that work for it.
const FAMILY: &str = "\
-- control.session_family
WITH RECURSIVE family AS (
    SELECT id, session_id, 0 AS level FROM executions
     WHERE session_id = $1 AND tenant_id = $2 AND finished_at IS NULL
       AND status IN ('running', 'waiting')
     UNION ALL
    SELECT child.id, child.session_id, family.level + 1
      FROM family
      JOIN executions child ON child.parent_execution_id = family.id
                           AND child.finished_at IS NULL
     WHERE family.level < $3
)
SELECT id FROM sessions WHERE id = $1 AND tenant_id = $2
 UNION
SELECT session_id FROM family";

const SET: &str = "\
-- control.set_session
UPDATE sessions SET status = $3, status_reason = $4
 WHERE id = ANY ($1) AND tenant_id = $2 AND status <> $3
RETURNING id";

/// What became of the wish to change a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// It is changed.
    Changed,
    /// It was like that already; the reason stays the one that was given first.
    Unchanged,
    /// The tenant has no such session.
    NotFound,
}

/// Stops a session: within moments no model is asked in it, and what comes waits. The sub-agents
/// that work for it stop too.
pub async fn suspend(
    store: &Store,
    tenant: TenantId,
    session: SessionId,
    reason: Option<&str>,
) -> Result<SessionChange, StoreError> {
    set(store, tenant, session, "suspended", reason).await
}

/// Lets a session that was suspended or handed off go on: what waits runs at once.
pub async fn resume(
    store: &Store,
    tenant: TenantId,
    session: SessionId,
    reason: Option<&str>,
) -> Result<SessionChange, StoreError> {
    set(store, tenant, session, "active", reason).await
}

/// Leaves a session to a person: what runs, waits or comes ends without an answer of the agent,
/// which remembers it.
pub async fn hand_off(
    store: &Store,
    tenant: TenantId,
    session: SessionId,
    reason: Option<&str>,
) -> Result<SessionChange, StoreError> {
    set(store, tenant, session, "handed_off", reason).await
}

/// Changes a session and wakes its lane, whatever it becomes: what is parked for an approval has to
/// end when the session is handed off, and to stop its clock when it is suspended.
async fn set(
    store: &Store,
    tenant: TenantId,
    session: SessionId,
    status: &str,
    reason: Option<&str>,
) -> Result<SessionChange, StoreError> {
    let failed = StoreError::query("control.set_session");
    let mut client = store.client("control.set_session").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    lanes::lock(&transaction, &family(&transaction, tenant, session).await?).await?;
    // Once more, now that no new sub-agent can begin: what began meanwhile is changed, too.
    let sessions = family(&transaction, tenant, session).await?;
    if !sessions.contains(&session.0) {
        return Ok(SessionChange::NotFound);
    }
    let statement = transaction.prepare_cached(SET).await.map_err(&failed)?;
    let rows = transaction
        .query(&statement, &[&sessions, &tenant.0, &status, &reason])
        .await
        .map_err(&failed)?;
    let changed: Vec<Uuid> = rows.iter().map(|row| row.get("id")).collect();
    lanes::wake(&transaction, &changed).await?;
    transaction.commit().await.map_err(&failed)?;
    let is_changed = changed.contains(&session.0);
    Ok(if is_changed { SessionChange::Changed } else { SessionChange::Unchanged })
}

async fn family(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    session: SessionId,
) -> Result<Vec<Uuid>, StoreError> {
    let failed = StoreError::query("control.session_family");
    let statement = transaction.prepare_cached(FAMILY).await.map_err(&failed)?;
    let rows = transaction.query(&statement, &[&session.0, &tenant.0, &MAX_DEPTH]).await;
    Ok(rows.map_err(&failed)?.iter().map(|row| row.get("id")).collect())
}
