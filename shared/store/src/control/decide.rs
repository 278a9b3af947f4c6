//! A person's word on a tool call that waits for it.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{ExecutionId, TenantId, ToolCallId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError, lanes};

/// Who a call is decided by if nobody does in time; `executions.expire_approvals` writes it.
const EXPIRY: &str = "expiry";

const SESSION_OF: &str = "\
-- control.session_of
SELECT session_id FROM executions WHERE id = $1 AND tenant_id = $2";

const DECIDE: &str = "\
-- control.decide
WITH decided AS (
    UPDATE tool_calls
       SET status = $4, memo = $5, decided_by = $6, decided_at = $7
      FROM executions
     WHERE tool_calls.id = $3 AND tool_calls.execution_id = $2 AND tool_calls.tenant_id = $1
       AND tool_calls.status = 'waiting_for_approval'
       AND (tool_calls.approval_expires_at IS NULL OR tool_calls.approval_expires_at > now())
       AND executions.id = tool_calls.execution_id AND executions.finished_at IS NULL
       AND executions.cancel_requested_at IS NULL
    RETURNING tool_calls.id
)
SELECT call.status, call.memo, call.decided_by,
       call.decided_at IS NOT NULL AS was_decided,
       call.approval_expires_at <= now() AS has_expired,
       EXISTS (SELECT FROM decided) AS is_decided,
       executions.finished_at IS NOT NULL OR executions.cancel_requested_at IS NOT NULL AS is_over
  FROM tool_calls call JOIN executions ON executions.id = call.execution_id
 WHERE call.id = $3 AND call.execution_id = $2 AND call.tenant_id = $1";

/// What somebody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The call is made.
    Approve,
    /// The call is not made, and the model is told why not.
    Deny,
}

impl Verdict {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Deny => "denied",
        }
    }
}

/// A person's word on a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What.
    pub verdict: Verdict,
    /// What they say about it; the model is told of a denial's.
    pub memo: Option<&'a str>,
    /// Who.
    pub by: &'a str,
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It counts.
    Decided,
    /// Somebody was faster. What they decided counts, with their memo.
    AlreadyDecided {
        /// Where the call stands: an approved one may have been made by now.
        status: String,
        /// Whether they decided the same.
        same: bool,
        /// What they said about it.
        memo: Option<String>,
    },
    /// Its execution has ended without it, or is about to: it was cancelled.
    Over,
    /// The call needs no approval.
    NotWaiting {
        /// Where the call stands.
        status: String,
    },
    /// It came too late: the call counts as denied.
    Expired,
    /// The tenant has no such execution.
    NoExecution,
    /// The execution has no such call.
    NoCall,
}

/// Approves or denies a tool call, once; and wakes its execution, whether or not it waits for
/// others too: it can make this call, and parks again for those.
///
/// The execution's lane is locked from the first to the last statement, so the call is as the
/// runner left it, and the runner cannot park without having seen the decision (see
/// [`crate::control`]).
pub async fn decide(
    store: &Store,
    tenant: TenantId,
    execution: ExecutionId,
    call: ToolCallId,
    decision: &Decision<'_>,
    now: DateTime<Utc>,
) -> Result<Ruling, StoreError> {
    let failed = StoreError::query("control.decide");
    let mut client = store.client("control.decide").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let Some(session) = session_of(&transaction, tenant, execution).await? else {
        return Ok(Ruling::NoExecution);
    };
    lanes::lock(&transaction, &[session]).await?;
    let statement = transaction.prepare_cached(DECIDE).await.map_err(&failed)?;
    let Decision { verdict, memo, by } = decision;
    let row = transaction
        .query_opt(
            &statement,
            &[&tenant.0, &execution.0, &call.0, &verdict.as_str(), memo, by, &now],
        )
        .await
        .map_err(&failed)?;
    let ruling = row.as_ref().map_or(Ruling::NoCall, |row| ruling(row, *verdict));
    if ruling == Ruling::Decided {
        lanes::wake(&transaction, &[session]).await?;
    }
    transaction.commit().await.map_err(&failed)?;
    Ok(ruling)
}

async fn session_of(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    execution: ExecutionId,
) -> Result<Option<Uuid>, StoreError> {
    let failed = StoreError::query("control.session_of");
    let statement = transaction.prepare_cached(SESSION_OF).await.map_err(&failed)?;
    let row = transaction.query_opt(&statement, &[&execution.0, &tenant.0]).await;
    Ok(row.map_err(&failed)?.map(|row| row.get("session_id")))
}

/// What a call, as it was before the decision, makes of the decision.
fn ruling(row: &Row, verdict: Verdict) -> Ruling {
    if row.get("is_decided") {
        return Ruling::Decided;
    }
    let status: String = row.get("status");
    if row.get("was_decided") {
        if row.get::<_, Option<&str>>("decided_by") == Some(EXPIRY) {
            return Ruling::Expired;
        }
        let decided = if status == "denied" { Verdict::Deny } else { Verdict::Approve };
        return Ruling::AlreadyDecided { status, same: decided == verdict, memo: row.get("memo") };
    }
    let has_expired = row.get::<_, Option<bool>>("has_expired") == Some(true);
    if status == "waiting_for_approval" && has_expired {
        return Ruling::Expired;
    }
    if status == "waiting_for_approval" && row.get::<_, bool>("is_over") {
        return Ruling::Over;
    }
    Ruling::NotWaiting { status }
}
