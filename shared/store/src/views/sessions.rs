//! A tenant's sessions, one line each.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, SessionId, TenantId, TriggerId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::position::{BEGINNING_OF_TIME, END_OF_TIME, Position, Stretch};
use super::summaries::MAX_LOOKED_AT;
use crate::{Store, StoreError};

/// As `views.executions_of_tenant`. The sessions in which sub-agents talk with whoever asked them
/// are nobody's conversations: they are left out.
///
/// What is told of a session's activity is that of the newest executions of both halves.
const SESSIONS: &str = "\
-- views.sessions
SELECT s.id, s.agent_id, s.trigger_id, s.status, s.status_reason, s.created_at, s.matches,
       s.is_last,
       (SELECT name FROM agents WHERE id = s.agent_id) AS agent_name,
       (SELECT name FROM triggers WHERE id = s.trigger_id) AS trigger_name,
       greatest(s.created_at,
                (SELECT finished_at FROM executions
                  WHERE session_id = s.id AND finished_at IS NOT NULL
                  ORDER BY seq DESC LIMIT 1),
                (SELECT coalesce(started_at, created_at) FROM executions
                  WHERE session_id = s.id AND finished_at IS NULL
                  ORDER BY seq DESC LIMIT 1)) AS updated_at
  FROM (SELECT looked.*,
               row_number() OVER (ORDER BY created_at DESC, id DESC) = $8 AS is_last,
               ($5::text IS NULL OR status = $5)
               AND ($6::uuid IS NULL OR trigger_id = $6)
               AND ($7::uuid IS NULL OR agent_id = $7)
               AND coalesce(
                       (SELECT parent_execution_id FROM executions
                         WHERE session_id = looked.id AND finished_at IS NOT NULL
                         ORDER BY seq LIMIT 1),
                       (SELECT parent_execution_id FROM executions
                         WHERE session_id = looked.id AND finished_at IS NULL
                         ORDER BY seq LIMIT 1)) IS NULL AS matches
          FROM (SELECT * FROM sessions
                 WHERE tenant_id = $1 AND (created_at, id) < ($2, $3) AND created_at >= $4
                 ORDER BY created_at DESC, id DESC LIMIT $8) looked) s
 WHERE s.matches OR s.is_last
 ORDER BY s.created_at DESC, s.id DESC LIMIT $9";

/// Whether an agent answers in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It does.
    Active,
    /// What comes waits.
    Suspended,
    /// A person does.
    HandedOff,
}

impl SessionState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Suspended, Self::HandedOff];

    /// As stored and as shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::HandedOff => "handed_off",
        }
    }
}

/// Which sessions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Those that stand here only.
    pub status: Option<SessionState>,
    /// Those whose messages come in this way only.
    pub trigger_id: Option<TriggerId>,
    /// Those of one agent only.
    pub agent_id: Option<AgentId>,
    /// Those that began then or later only.
    pub from: Option<DateTime<Utc>>,
    /// Those that began then or earlier only.
    pub to: Option<DateTime<Utc>>,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// Which.
    pub id: SessionId,
    /// Who answers.
    pub agent_id: AgentId,
    /// What people call the agent.
    pub agent_name: Option<String>,
    /// The way its messages come in.
    pub trigger_id: TriggerId,
    /// What people call that.
    pub trigger_name: Option<String>,
    /// `active`, `suspended` or `handed_off`.
    pub status: String,
    /// Why, as whoever changed it said.
    pub status_reason: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When its newest execution did something.
    pub updated_at: DateTime<Utc>,
}

impl SessionSummary {
    /// Its place in the list.
    pub fn position(&self) -> Position {
        Position::in_time(self.created_at, self.id.0)
    }

    fn from_row(row: &Row) -> Self {
        Self {
            id: SessionId(row.get("id")),
            agent_id: AgentId(row.get("agent_id")),
            agent_name: row.get("agent_name"),
            trigger_id: TriggerId(row.get("trigger_id")),
            trigger_name: row.get("trigger_name"),
            status: row.get("status"),
            status_reason: row.get("status_reason"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// A tenant's sessions that come `after` a position, newest first: up to `limit` that are looked
/// for, among as many as one request looks at.
pub async fn sessions(
    store: &Store,
    tenant: TenantId,
    filter: &SessionFilter,
    after: Option<Position>,
    limit: i64,
) -> Result<Stretch<SessionSummary>, StoreError> {
    let failed = StoreError::query("views.sessions");
    let client = store.client("views.sessions").await?;
    let statement = client.prepare_cached(SESSIONS).await.map_err(&failed)?;
    let to = filter.to.unwrap_or(END_OF_TIME).min(END_OF_TIME);
    let after = after.unwrap_or(Position::in_time(to, Uuid::max()));
    let rows = client
        .query(
            &statement,
            &[
                &tenant.0,
                &after.time(),
                &after.id,
                &filter.from.unwrap_or(BEGINNING_OF_TIME).max(BEGINNING_OF_TIME),
                &filter.status.map(SessionState::as_str),
                &filter.trigger_id.map(|id| id.0),
                &filter.agent_id.map(|id| id.0),
                &MAX_LOOKED_AT,
                &limit,
            ],
        )
        .await
        .map_err(&failed)?;
    let last = rows.last().filter(|row| row.get("is_last"));
    let stopped_at = last.map(|row| SessionSummary::from_row(row).position());
    let found = rows.iter().filter(|row| row.get("matches")).map(SessionSummary::from_row);
    Ok(Stretch { found: found.collect(), stopped_at })
}
