//! From the id that a sender was told, of an execution or of a message, to the execution that
//! answers them.

use chrono::{DateTime, Utc};
use recado_types::{ExecutionId, MessageId, SessionId, TenantId, TriggerId};

use crate::{Store, StoreError};

/// An execution of this id, or else the one that its message, or the message of this id, is in. So
/// is one that a newer one took the messages from: it does not answer them.
const RESOLVE: &str = "\
-- views.resolve_execution
SELECT own.id AS own_id, own.superseded_by IS NOT NULL AS is_superseded, m.id AS message_id, m.execution_id, m.trigger_id, m.session_id,
       m.accepted_at, m.requested_at IS NOT NULL AS is_requested
  FROM (SELECT $1::uuid AS tenant_id) asked
  LEFT JOIN executions own ON own.tenant_id = asked.tenant_id AND own.id = $2
  LEFT JOIN messages m ON m.tenant_id = asked.tenant_id AND m.id IN ($2, $3)
 WHERE own.id IS NOT NULL OR m.id IS NOT NULL
 LIMIT 1";

/// What an id leads to that a sender was told, or that an execution has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The execution; `None` as long as the message is in none.
    pub execution: Option<ExecutionId>,
    /// The message; `None` if the id is that of an execution which did not begin with one.
    pub message: Option<WaitingMessage>,
}

/// A message whose sender was told an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingMessage {
    /// Which.
    pub id: MessageId,
    /// The way it came in.
    pub trigger_id: TriggerId,
    /// Whose conversation.
    pub session_id: SessionId,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// Whether its window is closed, and it is on its way to the agent.
    pub is_requested: bool,
}

/// What an id leads to; `None` if neither an execution nor a message is known by it. A message that
/// was acknowledged a moment ago may not be known yet.
pub async fn resolve_execution(
    store: &Store,
    tenant: TenantId,
    id: ExecutionId,
) -> Result<Option<Resolved>, StoreError> {
    let failed = StoreError::query("views.resolve_execution");
    let client = store.client("views.resolve_execution").await?;
    let statement = client.prepare_cached(RESOLVE).await.map_err(&failed)?;
    let message = id.first_message();
    let row =
        client.query_opt(&statement, &[&tenant.0, &id.0, &message.0]).await.map_err(&failed)?;
    Ok(row.map(|row| {
        let own: Option<ExecutionId> = row.get::<_, Option<_>>("own_id").map(ExecutionId);
        let other = row.get::<_, Option<_>>("execution_id").map(ExecutionId);
        let execution = if row.get("is_superseded") { other.or(own) } else { own.or(other) };
        let message = row.get::<_, Option<_>>("message_id").map(|id| WaitingMessage {
            id: MessageId(id),
            trigger_id: TriggerId(row.get("trigger_id")),
            session_id: SessionId(row.get("session_id")),
            accepted_at: row.get("accepted_at"),
            is_requested: row.get("is_requested"),
        });
        Resolved { execution, message }
    }))
}
