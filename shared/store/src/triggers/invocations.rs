//! What came of the requests to a trigger, as seed 001 counts them: what was accepted is an
//! invocation, and an execution is where it went.

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use recado_types::{ExecutionId, SessionId, TenantId, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{Page, Parameters};
use crate::views::resolve_execution;
use crate::{Store, StoreError};

/// How many executions a list looks at, at most, and so how many it counts and shows: to read all
/// of them would take seconds one day.
pub const MAX_COUNTED: i64 = 10_000;

/// Where an invocation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvocationStatus {
    /// Nothing came of it yet.
    Pending,
    /// The agent answered.
    Success,
    /// The agent did not answer.
    Failed,
}

impl InvocationStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Success, Self::Failed];

    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }

    fn of_execution(status: &str) -> Self {
        match status {
            "success" => Self::Success,
            "failed" | "timeout" | "cancelled" => Self::Failed,
            _ => Self::Pending,
        }
    }
}

/// One invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// What its sender was told; that of the execution, in a list.
    pub id: ExecutionId,
    /// The conversation.
    pub session_id: SessionId,
    /// Where it stands.
    pub status: InvocationStatus,
    /// Why there is no answer.
    pub error_message: Option<String>,
    /// What came, `{"request": …, "transformed": …}`; of generic channels, as long as it is kept.
    pub payload: Option<Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Which invocations to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct InvocationFilter {
    /// Those that stand here only.
    pub status: Option<InvocationStatus>,
    /// Those that were made then or later.
    pub from: Option<DateTime<Utc>>,
    /// Those that were made then or earlier.
    pub to: Option<DateTime<Utc>>,
}

/// A page, and how many there are on all of them: a row without an execution if there is none on
/// this one. Looked at are the newest `$5` executions of some kind. The kinds are written out, so
/// that each is what an index has; whatever else is asked for is judged of what was read. What a
/// person said (`author`) is no invocation.
///
/// The time is a row, which is where the index is entered: of a time between two parameters the
/// planner expects so little that it would read and sort all of it.
macro_rules! page {
    ($name:literal, $kind:literal, $found:literal) => {
        concat!(
            "-- triggers.",
            $name,
            "
WITH found AS MATERIALIZED (
  SELECT id, created_at
    FROM (SELECT id, created_at, trigger_id, status, author FROM executions
           WHERE ",
            $kind,
            " AND parent_execution_id IS NULL
             AND (created_at, id) <= ($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
             AND created_at >= $3
           ORDER BY created_at DESC, id DESC LIMIT $5) newest
   WHERE author IS NULL AND ",
            $found,
            ")
SELECT counted.total, e.id, e.session_id, e.status, e.error_message, e.created_at, m.payload
  FROM (SELECT count(*) AS total FROM found) counted
  LEFT JOIN (SELECT id FROM found ORDER BY created_at DESC, id DESC LIMIT $6 OFFSET $7) shown
         ON true
  LEFT JOIN executions e ON e.id = shown.id
  LEFT JOIN messages m ON m.id = e.message_ids[1]
 ORDER BY e.created_at DESC, e.id DESC"
        )
    };
}

const ANY: &str = page!("invocations", "tenant_id = $1 AND trigger_id = $2", "true");

/// Looked for among all of the tenant's that have not ended: they are few.
const PENDING: &str =
    page!("pending_invocations", "tenant_id = $1 AND finished_at IS NULL", "trigger_id = $2");

/// Looked for among all of the trigger's: most went well.
const SUCCESSFUL: &str =
    page!("successful_invocations", "tenant_id = $1 AND trigger_id = $2", "status = 'success'");

const FAILED: &str = page!(
    "failed_invocations",
    "tenant_id = $1 AND trigger_id = $2 AND result IN ('failed', 'timeout', 'cancelled')",
    "true"
);

/// What `$5` was told for: the message `$4`, and the execution `$3` that it is in. The message may
/// have joined another one's execution, or wait for one; an execution may have begun without a
/// message that is known by it.
const TOLD: &str = "\
-- triggers.invocation
SELECT coalesce(m.session_id, e.session_id) AS session_id, coalesce(e.status, 'queued') AS status,
       e.error_message, m.payload,
       CASE WHEN e.id = $5 THEN e.created_at ELSE m.accepted_at END AS created_at
  FROM (SELECT $3::uuid AS execution_id, $4::uuid AS message_id) told
  LEFT JOIN executions e ON e.id = told.execution_id AND e.tenant_id = $1 AND e.trigger_id = $2
                        AND e.parent_execution_id IS NULL AND e.author IS NULL
  LEFT JOIN messages m ON m.id = coalesce(told.message_id, e.message_ids[1])
                      AND m.tenant_id = $1 AND m.trigger_id = $2
 WHERE e.id = $5 OR m.id IS NOT NULL";

impl Invocation {
    fn from_row(row: &Row, id: ExecutionId) -> Self {
        Self {
            id,
            session_id: SessionId(row.get("session_id")),
            status: InvocationStatus::of_execution(row.get("status")),
            error_message: row.get("error_message"),
            payload: row.get::<_, Option<Json<Value>>>("payload").map(|Json(payload)| payload),
            created_at: row.get("created_at"),
        }
    }
}

/// `limit` invocations of a trigger after the first `offset`, newest first, each execution once.
pub async fn invocations(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
    filter: &InvocationFilter,
    (offset, limit): (i64, i64),
) -> Result<Page<Invocation>, StoreError> {
    let failed = StoreError::query("triggers.invocations");
    let statement = match filter.status {
        None => ANY,
        Some(InvocationStatus::Pending) => PENDING,
        Some(InvocationStatus::Success) => SUCCESSFUL,
        Some(InvocationStatus::Failed) => FAILED,
    };
    let from = filter.from.unwrap_or(DateTime::UNIX_EPOCH);
    let to = filter.to.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let client = store.client("triggers.invocations").await?;
    let parameters: Parameters<'_> =
        &[&tenant.0, &trigger.0, &from, &to, &MAX_COUNTED, &limit, &offset];
    let rows = query(&client, statement, parameters).await.map_err(&failed)?;
    let total = rows.first().map_or(0, |row| row.get("total"));
    let invocation = |row: &Row| {
        let id: Option<Uuid> = row.get("id");
        Some(Invocation::from_row(row, ExecutionId(id?)))
    };
    Ok(Page { items: rows.iter().filter_map(invocation).collect(), total })
}

/// What came of a request: `id` is what its sender was told, and stays that wherever the message
/// went, also as long as it waits in its window. `None` if the trigger has told nobody so.
pub async fn invocation(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
    id: ExecutionId,
) -> Result<Option<Invocation>, StoreError> {
    let Some(resolved) = resolve_execution(store, tenant, id).await? else { return Ok(None) };
    let failed = StoreError::query("triggers.invocation");
    let client = store.client("triggers.invocation").await?;
    let execution = resolved.execution.map(|execution| execution.0);
    let message = resolved.message.map(|message| message.id.0);
    let parameters: Parameters<'_> = &[&tenant.0, &trigger.0, &execution, &message, &id.0];
    let rows = query(&client, TOLD, parameters).await.map_err(&failed)?;
    Ok(rows.first().map(|row| Invocation::from_row(row, id)))
}

async fn query(
    client: &Object,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, parameters).await
}
