//! What came of the requests to a trigger, as seed 001 counts them: what was accepted is an
//! invocation, and an execution is where it went.

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use recado_types::{ExecutionId, SessionId, TenantId, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::{Page, Parameters};
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

/// The newest `$5` executions of some kind, and what is looked for among them. The kinds are written
/// out, so that each is what an index has; whatever else is asked for is judged of what was read. What
/// a person said (`author`) is no invocation.
///
/// The time is a row, which is where the index is entered: of a time between two parameters the
/// planner expects so little that it would read and sort all of it.
macro_rules! looked_at {
    ($kind:literal, $found:literal) => {
        concat!(
            "(SELECT * FROM (
            SELECT * FROM executions
             WHERE ",
            $kind,
            " AND parent_execution_id IS NULL
               AND (created_at, id) <= ($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
               AND created_at >= $3
             ORDER BY created_at DESC, id DESC LIMIT $5) newest
         WHERE author IS NULL AND ",
            $found,
            ")"
        )
    };
}

/// Of each list, the statement that counts and the one that shows.
struct Statements {
    count: &'static str,
    list: &'static str,
}

macro_rules! statements {
    ($count:literal, $list:literal, $kind:literal, $found:literal) => {
        Statements {
            count: concat!(
                "-- triggers.",
                $count,
                "
SELECT count(*) FROM ",
                looked_at!($kind, $found),
                " found"
            ),
            list: concat!(
                "-- triggers.",
                $list,
                "
SELECT e.id, e.session_id, e.status, e.error_message, e.created_at, m.payload
  FROM (SELECT * FROM ",
                looked_at!($kind, $found),
                " found
         ORDER BY created_at DESC, id DESC LIMIT $6 OFFSET $7) e
  LEFT JOIN messages m ON m.id = e.message_ids[1]
 ORDER BY e.created_at DESC, e.id DESC"
            ),
        }
    };
}

const ANY: Statements =
    statements!("count_invocations", "invocations", "tenant_id = $1 AND trigger_id = $2", "true");

/// Looked for among all of the tenant's that have not ended: they are few.
const PENDING: Statements = statements!(
    "count_pending_invocations",
    "pending_invocations",
    "tenant_id = $1 AND finished_at IS NULL",
    "trigger_id = $2"
);

/// Looked for among all of the trigger's: most went well.
const SUCCESSFUL: Statements = statements!(
    "count_successful_invocations",
    "successful_invocations",
    "tenant_id = $1 AND trigger_id = $2",
    "status = 'success'"
);

const FAILED: Statements = statements!(
    "count_failed_invocations",
    "failed_invocations",
    "tenant_id = $1 AND trigger_id = $2 AND status IN ('failed', 'timeout', 'cancelled')",
    "true"
);

const OF_EXECUTION: &str = "\
-- triggers.invocation_of_execution
SELECT e.id, e.session_id, e.status, e.error_message, e.created_at, m.payload
  FROM executions e LEFT JOIN messages m ON m.id = e.message_ids[1]
 WHERE e.tenant_id = $1 AND e.trigger_id = $2 AND e.id = $3 AND e.parent_execution_id IS NULL
   AND e.author IS NULL";

/// A message that is no execution's first one: it joined another, or it waits for one.
const OF_MESSAGE: &str = "\
-- triggers.invocation_of_message
SELECT m.session_id, coalesce(e.status, 'queued') AS status, e.error_message,
       m.accepted_at AS created_at, m.payload
  FROM messages m LEFT JOIN executions e ON e.id = m.execution_id
 WHERE m.tenant_id = $1 AND m.trigger_id = $2 AND m.id = $3";

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
    let statements = match filter.status {
        None => ANY,
        Some(InvocationStatus::Pending) => PENDING,
        Some(InvocationStatus::Success) => SUCCESSFUL,
        Some(InvocationStatus::Failed) => FAILED,
    };
    let from = filter.from.unwrap_or(DateTime::UNIX_EPOCH);
    let to = filter.to.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let client = store.client("triggers.invocations").await?;
    let count: Parameters<'_> = &[&tenant.0, &trigger.0, &from, &to, &MAX_COUNTED];
    let rows = query(&client, statements.count, count).await.map_err(&failed)?;
    let total = rows.first().map_or(0, |row| row.get(0));
    if offset >= total {
        return Ok(Page { items: Vec::new(), total });
    }
    let list: Parameters<'_> = &[&tenant.0, &trigger.0, &from, &to, &MAX_COUNTED, &limit, &offset];
    let rows = query(&client, statements.list, list).await.map_err(&failed)?;
    let invocation = |row: &Row| Invocation::from_row(row, ExecutionId(row.get("id")));
    Ok(Page { items: rows.iter().map(invocation).collect(), total })
}

/// What came of a request: `id` is what its sender was told, and stays that wherever the message
/// went, also as long as it waits in its window. `None` if the trigger has told nobody so.
pub async fn invocation(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
    id: ExecutionId,
) -> Result<Option<Invocation>, StoreError> {
    let failed = StoreError::query("triggers.invocation");
    let client = store.client("triggers.invocation").await?;
    let of_execution: Parameters<'_> = &[&tenant.0, &trigger.0, &id.0];
    let of_message: Parameters<'_> = &[&tenant.0, &trigger.0, &id.first_message().0];
    for (sql, parameters) in [(OF_EXECUTION, of_execution), (OF_MESSAGE, of_message)] {
        let rows = query(&client, sql, parameters).await.map_err(&failed)?;
        if let Some(row) = rows.first() {
            return Ok(Some(Invocation::from_row(row, id)));
        }
    }
    Ok(None)
}

async fn query(
    client: &Object,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, parameters).await
}
