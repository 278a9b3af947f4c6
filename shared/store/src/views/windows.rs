//! The bursts of messages that wait to become executions, as PostgreSQL knows them.

use chrono::{DateTime, TimeDelta, Utc};
use recado_types::buffer::{Verdict, Window};
use recado_types::trigger::MessageBuffer;
use recado_types::{AgentId, SessionId, TenantId, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;

use crate::{Store, StoreError};

/// In the order of `messages_open_by_tenant`, which has open messages and no others. Their times
/// are those of the database, as the sweeper has them. A session has one trigger.
const OPEN_BURSTS: &str = "\
-- views.open_bursts
SELECT open.*, t.name AS trigger_name, t.agent_id,
       t.trigger_config #> '{execution,message_buffer}' AS message_buffer
  FROM (SELECT session_id, trigger_id, count(*) AS n_messages,
               min(accepted_at) AS first_accepted_at, max(accepted_at) AS last_accepted_at,
               min(recorded_at) AS first_recorded_at, max(recorded_at) AS last_recorded_at,
               count(*) FILTER (WHERE requested_at IS NULL) = 0 AS is_requested
          FROM messages
         WHERE tenant_id = $1 AND execution_id IS NULL AND session_id > $2
         GROUP BY session_id, trigger_id
         ORDER BY session_id LIMIT $3) open
  JOIN LATERAL (SELECT name, agent_id, trigger_config FROM triggers
                 WHERE id = open.trigger_id LIMIT 1) t ON true
 ORDER BY open.session_id";

/// A session's messages that are in no execution yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBurst {
    /// Whose.
    pub session_id: SessionId,
    /// The way they came in.
    pub trigger_id: TriggerId,
    /// What people call that.
    pub trigger_name: String,
    /// Who will answer.
    pub agent_id: AgentId,
    /// How many.
    pub n_messages: i64,
    /// When the first was accepted.
    pub first_accepted_at: DateTime<Utc>,
    /// When the last was accepted.
    pub last_accepted_at: DateTime<Utc>,
    /// Whether all of them are on their way to the agent.
    pub is_requested: bool,
    /// When the window closes if nothing else comes, by the trigger's configuration; `None` if the
    /// trigger does not buffer any more: then they go with whatever comes next, or at once.
    pub expected_at: Option<DateTime<Utc>>,
}

impl OpenBurst {
    fn from_row(row: &Row) -> Self {
        let buffer: Option<Value> = row.get("message_buffer");
        let buffer = buffer.as_ref().and_then(MessageBuffer::from_saved);
        let n_messages: i64 = row.get("n_messages");
        let recorded = [row.get("first_recorded_at"), row.get("last_recorded_at")];
        Self {
            session_id: SessionId(row.get("session_id")),
            trigger_id: TriggerId(row.get("trigger_id")),
            trigger_name: row.get("trigger_name"),
            agent_id: AgentId(row.get("agent_id")),
            n_messages,
            first_accepted_at: row.get("first_accepted_at"),
            last_accepted_at: row.get("last_accepted_at"),
            is_requested: row.get("is_requested"),
            expected_at: buffer.map(|buffer| expected_at(recorded, n_messages, &buffer)),
        }
    }
}

/// When a window closes that nothing else comes into.
fn expected_at(
    [first, last]: [DateTime<Utc>; 2],
    n_messages: i64,
    buffer: &MessageBuffer,
) -> DateTime<Utc> {
    let since_first = (last - first).num_milliseconds();
    let n_messages = u32::try_from(n_messages).unwrap_or(u32::MAX);
    let window = Window { first_at_ms: 0, last_at_ms: since_first, n_messages };
    match window.verdict(since_first, &buffer.policy) {
        Verdict::Flush => last,
        Verdict::HoldUntil(ms) => first + TimeDelta::milliseconds(ms),
    }
}

/// A tenant's sessions after `session` with messages that are in no execution yet.
pub async fn open_bursts(
    store: &Store,
    tenant: TenantId,
    after: Option<SessionId>,
    limit: i64,
) -> Result<Vec<OpenBurst>, StoreError> {
    let failed = StoreError::query("views.open_bursts");
    let client = store.client("views.open_bursts").await?;
    let statement = client.prepare_cached(OPEN_BURSTS).await.map_err(&failed)?;
    let after = after.unwrap_or(SessionId::first());
    let rows = client.query(&statement, &[&tenant.0, &after.0, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(OpenBurst::from_row).collect())
}

#[cfg(test)]
mod tests {
    use recado_types::buffer::BufferPolicy;

    use super::*;

    #[test]
    fn a_window_closes_when_its_session_is_quiet_or_it_is_full() {
        let at = |ms: i64| DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap();
        let policy = BufferPolicy::new(3_000, 5, Some(10_000));
        let buffer = MessageBuffer { policy, separator: "\n".into() };
        assert_eq!(expected_at([at(0), at(1_000)], 2, &buffer), at(4_000));
        assert_eq!(expected_at([at(0), at(9_000)], 4, &buffer), at(10_000));
        assert_eq!(expected_at([at(0), at(1_000)], 5, &buffer), at(1_000));
    }
}
