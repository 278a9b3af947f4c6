//! From a session back to the trigger and the execution it began with.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, ExecutionId, SessionId, TenantId, TriggerId};

use crate::{Store, StoreError};

/// Both halves of a session's executions have an index of their own; the older head is the first
/// execution. (Behind row-level security, an index is not looked into with what `coalesce` gives.)
const SESSION_ORIGIN: &str = "\
-- views.session_origin
SELECT t.id AS trigger_id, t.name AS trigger_name, t.trigger_type, t.enabled,
       coalesce(first.agent_id, s.agent_id) AS agent_id,
       (SELECT name FROM agents
         WHERE id = CASE WHEN first.agent_id IS NULL THEN s.agent_id ELSE first.agent_id END)
           AS agent_name,
       first.id AS execution_id, first.status, first.started_at, first.finished_at
  FROM sessions s
  LEFT JOIN triggers t ON t.id = s.trigger_id AND t.tenant_id = s.tenant_id
  LEFT JOIN LATERAL (
       (SELECT id, seq, agent_id, status, started_at, finished_at FROM executions
         WHERE session_id = s.id AND tenant_id = s.tenant_id AND finished_at IS NULL
         ORDER BY seq LIMIT 1)
        UNION ALL
       (SELECT id, seq, agent_id, status, started_at, finished_at FROM executions
         WHERE session_id = s.id AND tenant_id = s.tenant_id AND finished_at IS NOT NULL
         ORDER BY seq LIMIT 1)
        ORDER BY seq LIMIT 1) first ON true
 WHERE s.tenant_id = $1 AND s.id = $2";

/// The trigger of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginTrigger {
    /// Which.
    pub id: TriggerId,
    /// What people call it.
    pub name: String,
    /// `webhook`.
    pub trigger_type: String,
    /// Who answered.
    pub agent_id: AgentId,
    /// What people call the agent.
    pub agent_name: Option<String>,
    /// Whether it takes messages; a deleted trigger does not.
    pub enabled: bool,
}

/// The first execution of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which.
    pub id: ExecutionId,
    /// Where it stands.
    pub status: String,
    /// When it first ran.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Where a session comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOrigin {
    /// Its trigger, if it came from one.
    pub trigger: Option<OriginTrigger>,
    /// Its first execution; none while the first message waits in a window.
    pub execution: Option<Origin>,
}

/// Where a session comes from; `None` if there is no such session.
pub async fn session_origin(
    store: &Store,
    tenant: TenantId,
    session: SessionId,
) -> Result<Option<SessionOrigin>, StoreError> {
    let failed = StoreError::query("views.session_origin");
    let client = store.client("views.session_origin").await?;
    let statement = client.prepare_cached(SESSION_ORIGIN).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &session.0]).await.map_err(&failed)?;
    Ok(row.map(|row| SessionOrigin {
        trigger: row.get::<_, Option<_>>("trigger_id").map(|id| OriginTrigger {
            id: TriggerId(id),
            name: row.get("trigger_name"),
            trigger_type: row.get("trigger_type"),
            agent_id: AgentId(row.get("agent_id")),
            agent_name: row.get("agent_name"),
            enabled: row.get("enabled"),
        }),
        execution: row.get::<_, Option<_>>("execution_id").map(|id| Origin {
            id: ExecutionId(id),
            status: row.get("status"),
            started_at: row.get("started_at"),
            finished_at: row.get("finished_at"),
        }),
    }))
}
