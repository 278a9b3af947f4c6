//! A session and what happens in it, at a bounded price.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, ExecutionId, SessionId, TenantId, TriggerId};
use tokio_postgres::Row;

use super::Parameters;
use super::snapshot::Snapshot;
use crate::{Store, StoreError};

/// How many executions of a session are looked at, the newest first, and how many open messages.
const MAX_COUNTED: i64 = 10_000;

const SESSION: &str = "\
-- views.session
SELECT s.agent_id, a.name AS agent_name, s.trigger_id, t.name AS trigger_name, s.status,
       s.status_reason, s.created_at
  FROM sessions s
  LEFT JOIN agents a ON a.id = s.agent_id
  LEFT JOIN triggers t ON t.id = s.trigger_id
 WHERE s.tenant_id = $1 AND s.id = $2";

/// What happened in `$session`. A message in no execution is in the session's open window. Both
/// halves of a session's executions have an index of their own.
macro_rules! activity {
    ($session:literal) => {
        concat!(
            "SELECT count(*) AS n_executions,
       count(*) FILTER (WHERE NOT has_ended) AS n_unfinished,
       (coalesce(sum(n_messages), 0)
        + (SELECT count(*) FROM (SELECT FROM messages
                                  WHERE session_id = ",
            $session,
            " AND execution_id IS NULL
                                  LIMIT $2) open))::bigint AS n_messages,
       max(last_at) AS last_at
  FROM ((SELECT cardinality(message_ids) AS n_messages, finished_at AS last_at,
                true AS has_ended
           FROM executions WHERE session_id = ",
            $session,
            " AND finished_at IS NOT NULL
          ORDER BY seq DESC LIMIT $2)
         UNION ALL
        (SELECT cardinality(message_ids), coalesce(started_at, created_at), false
           FROM executions WHERE session_id = ",
            $session,
            " AND finished_at IS NULL
          ORDER BY seq DESC LIMIT $2)) activity"
        )
    };
}

const ACTIVITY: &str = concat!(
    "\
-- views.session_activity
",
    activity!("$1")
);

/// Of the session that an execution is in.
const ACTIVITY_AROUND: &str = concat!(
    "\
-- views.execution_activity
",
    activity!("(SELECT session_id FROM executions WHERE id = $1)")
);

/// The session of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Which.
    pub id: SessionId,
    /// Who answers.
    pub agent_id: AgentId,
    /// What people call the agent.
    pub agent_name: Option<String>,
    /// `active`, `suspended` or `handed_off`.
    pub status: String,
    /// Why, as whoever changed it said.
    pub status_reason: Option<String>,
    /// When its first message was recorded.
    pub created_at: DateTime<Utc>,
    /// When something last happened in it.
    pub updated_at: DateTime<Utc>,
    /// How many messages its sender has sent: in the newest 10,000 executions, if there are more.
    pub n_messages: i64,
}

/// A session by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDetail {
    /// What an execution shows of it, too.
    pub session: SessionView,
    /// The way its messages come in.
    pub trigger_id: TriggerId,
    /// What people call that.
    pub trigger_name: Option<String>,
    /// How many executions it has: 20,000 at most, as far as they are counted.
    pub n_executions: i64,
    /// How many of them have not ended: 10,000 at most.
    pub n_unfinished: i64,
}

/// What happened in a session.
#[derive(Clone, Copy)]
pub(super) struct Activity {
    n_executions: i64,
    n_unfinished: i64,
    pub(super) n_messages: i64,
    pub(super) last_at: Option<DateTime<Utc>>,
}

/// A session; `None` if the tenant has none of this id.
pub async fn session(
    store: &Store,
    tenant: TenantId,
    id: SessionId,
) -> Result<Option<SessionDetail>, StoreError> {
    let snapshot = Snapshot::of(store, "views.session").await?;
    let parameters: Parameters<'_> = &[&tenant.0, &id.0];
    let rows = snapshot.query(SESSION, "views.session", parameters).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let parameters: Parameters<'_> = &[&id.0, &MAX_COUNTED];
    let rows = snapshot.query(ACTIVITY, "views.session_activity", parameters).await?;
    let activity = activity_from(&rows);
    let created_at: DateTime<Utc> = row.get("created_at");
    let session = SessionView {
        id,
        agent_id: AgentId(row.get("agent_id")),
        agent_name: row.get("agent_name"),
        status: row.get("status"),
        status_reason: row.get("status_reason"),
        created_at,
        updated_at: created_at.max(activity.last_at.unwrap_or(created_at)),
        n_messages: activity.n_messages,
    };
    Ok(Some(SessionDetail {
        session,
        trigger_id: TriggerId(row.get("trigger_id")),
        trigger_name: row.get("trigger_name"),
        n_executions: activity.n_executions,
        n_unfinished: activity.n_unfinished,
    }))
}

pub(super) async fn activity_around(
    snapshot: &Snapshot,
    id: ExecutionId,
) -> Result<Activity, StoreError> {
    let parameters: Parameters<'_> = &[&id.0, &MAX_COUNTED];
    let rows = snapshot.query(ACTIVITY_AROUND, "views.execution_activity", parameters).await?;
    Ok(activity_from(&rows))
}

/// An aggregate without GROUP BY is one row.
fn activity_from(rows: &[Row]) -> Activity {
    let count = |column| rows.first().map_or(0, |row| row.get::<_, i64>(column));
    Activity {
        n_executions: count("n_executions"),
        n_unfinished: count("n_unfinished"),
        n_messages: count("n_messages"),
        last_at: rows.first().and_then(|row| row.get("last_at")),
    }
}
