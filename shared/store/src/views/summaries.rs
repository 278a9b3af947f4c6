//! A tenant's executions, one line each.

use chrono::{DateTime, Utc};
use recado_types::{AgentId, ExecutionId, SessionId, TenantId, TriggerId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::position::{BEGINNING_OF_TIME, END_OF_TIME, Position, Stretch};
use crate::{Store, StoreError};

/// Deleted triggers count: what they led to can still be looked up.
const TRIGGER_EXISTS: &str = "\
-- views.trigger_exists
SELECT EXISTS (SELECT FROM triggers WHERE tenant_id = $1 AND id = $2)";

/// How many executions one request looks at: comparing texts takes much longer than comparing ids.
pub(super) const MAX_LOOKED_AT: i64 = 5_000;
const MAX_TEXTS_LOOKED_AT: i64 = 1_000;

/// Looks at the first `$11` of some rows, in order, and shows those that are looked for; of the
/// last one that it looked at, it tells in any case. Each row is judged as it is read, so no more
/// are read than it takes to fill a page.
///
/// A sub-agent's execution is found through the call that it answers, and in no list.
macro_rules! listed {
    ($order:literal, $rows:expr) => {
        concat!(
            "\
SELECT e.id, e.trigger_id, e.agent_id, e.session_id, e.seq, e.status, e.attempt_count, e.author,
       e.agent_version, cardinality(e.message_ids) AS n_messages, e.created_at, e.started_at,
       e.finished_at, e.error_code, e.tokens_used, e.cost_usd, e.matches, e.is_last,
       (SELECT d.status FROM deliveries d WHERE d.execution_id = e.id LIMIT 1) AS delivery_status
  FROM (SELECT looked.*, row_number() OVER (ORDER BY ",
            $order,
            ") = $11 AS is_last,
               created_at >= $4 AND created_at <= $5
               AND ($6::text IS NULL OR status = $6)
               AND ($7::uuid IS NULL OR trigger_id = $7)
               AND ($8::uuid IS NULL OR agent_id = $8)
               AND ($9::uuid IS NULL OR session_id = $9)
               AND ($10::text IS NULL OR coalesce(normalized_query, input) ILIKE $10
                    OR agent_response ILIKE $10) AS matches
          FROM (",
            $rows,
            "
                 ORDER BY ",
            $order,
            " LIMIT $11) looked) e
 WHERE e.matches OR e.is_last
 ORDER BY ",
            $order,
            " LIMIT $12"
        )
    };
}

/// Newest first. Neither part of the position ever changes, so a page after a cursor is the same
/// however much is written meanwhile.
///
/// The end of the time that is asked for is where the list begins, and no condition here: of a
/// time between two parameters the planner expects so little that it would read and sort all of it.
macro_rules! listed_by_time {
    ($which:literal) => {
        listed!(
            "created_at DESC, id DESC",
            concat!(
                "SELECT * FROM executions
                 WHERE ",
                $which,
                " AND parent_execution_id IS NULL
                   AND (created_at, id) < ($2, $3) AND created_at >= $4"
            )
        )
    };
}

const OF_TENANT: &str = concat!(
    "\
-- views.executions_of_tenant
",
    listed_by_time!("tenant_id = $1")
);

const OF_TRIGGER: &str = concat!(
    "\
-- views.executions_of_trigger
",
    listed_by_time!("tenant_id = $1 AND trigger_id = $7")
);

/// Those that did not go well, by an index of their own, which a parameter would not lead to.
const BAD: &str = concat!(
    "\
-- views.executions_bad
",
    listed_by_time!("tenant_id = $1 AND result IN ('failed', 'timeout')")
);

const BAD_OF_TRIGGER: &str = concat!(
    "\
-- views.executions_bad_of_trigger
",
    listed_by_time!("tenant_id = $1 AND trigger_id = $7 AND result IN ('failed', 'timeout')")
);

/// Those that have not ended, of any trigger: they are few.
const UNFINISHED: &str = concat!(
    "\
-- views.executions_unfinished
",
    listed_by_time!("tenant_id = $1 AND finished_at IS NULL")
);

/// By their place in the session, in which both halves of its executions have an index. A place is
/// one execution's alone (but for sub-agents, who are in sessions of their own).
const OF_SESSION: &str = concat!(
    "\
-- views.executions_of_session
",
    listed!(
        "seq DESC",
        "SELECT * FROM (
                (SELECT * FROM executions
                  WHERE tenant_id = $1 AND session_id = $9 AND finished_at IS NULL
                    AND parent_execution_id IS NULL AND seq < $2 AND id <> $3
                  ORDER BY seq DESC LIMIT $11)
                 UNION ALL
                (SELECT * FROM executions
                  WHERE tenant_id = $1 AND session_id = $9 AND finished_at IS NOT NULL
                    AND parent_execution_id IS NULL AND seq < $2 AND id <> $3
                  ORDER BY seq DESC LIMIT $11)) halves"
    )
);

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// It waits for its turn in its session.
    Queued,
    /// The agent is at work.
    Running,
    /// It waits for an approval, a sub-agent, or its session.
    Waiting,
    /// The agent answered.
    Success,
    /// It could not answer.
    Failed,
    /// It took too long.
    Timeout,
    /// Somebody stopped it.
    Cancelled,
}

impl ExecutionStatus {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Success,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
    ];

    /// As stored and as shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which executions to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecutionFilter {
    /// Those that stand here only.
    pub status: Option<ExecutionStatus>,
    /// Those that came in this way only.
    pub trigger_id: Option<TriggerId>,
    /// Those of one agent only.
    pub agent_id: Option<AgentId>,
    /// Those of one conversation only, by their places in it.
    pub session_id: Option<SessionId>,
    /// Those that were admitted then or later only.
    pub from: Option<DateTime<Utc>>,
    /// Those that were admitted then or earlier only.
    pub to: Option<DateTime<Utc>>,
    /// Those in whose question or answer this stands only, in whatever case.
    pub text: Option<String>,
}

impl ExecutionFilter {
    /// The statement whose index has the fewest rows that are not looked for.
    fn statement(&self) -> &'static str {
        use ExecutionStatus::{Cancelled, Failed, Queued, Running, Success, Timeout, Waiting};
        match (self.session_id, self.status, self.trigger_id) {
            (Some(_), _, _) => OF_SESSION,
            (None, Some(Failed | Timeout), Some(_)) => BAD_OF_TRIGGER,
            (None, Some(Failed | Timeout), None) => BAD,
            (None, Some(Queued | Running | Waiting), _) => UNFINISHED,
            (None, Some(Success | Cancelled) | None, Some(_)) => OF_TRIGGER,
            (None, Some(Success | Cancelled) | None, None) => OF_TENANT,
        }
    }

    /// The pattern of `ILIKE` that stands for the text itself.
    fn pattern(&self) -> Option<String> {
        let special = |c: char| matches!(c, '%' | '_' | '\\').then_some('\\');
        let escaped = |text: &String| -> String {
            text.chars().flat_map(|c| special(c).into_iter().chain([c])).collect()
        };
        self.text.as_ref().map(|text| format!("%{}%", escaped(text)))
    }
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionSummary {
    /// Which.
    pub id: ExecutionId,
    /// The way its messages came in.
    pub trigger_id: TriggerId,
    /// Who answers.
    pub agent_id: AgentId,
    /// The version of the agent that it began with; `None` until it did.
    pub agent_version: Option<i32>,
    /// Whose conversation.
    pub session_id: SessionId,
    /// Its place in the list.
    pub position: Position,
    /// Where it stands.
    pub status: String,
    /// How often a worker took it on.
    pub attempt_count: i32,
    /// Who said it in the agent's place; `None` for the agent.
    pub author: Option<String>,
    /// How many messages it answers.
    pub n_messages: i32,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// When it first ran.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error_code: Option<String>,
    /// What the providers counted.
    pub tokens_used: Option<i64>,
    /// What that cost.
    pub cost_usd: Option<f64>,
    /// Where its delivery stands, if it has one.
    pub delivery_status: Option<String>,
}

impl ExecutionSummary {
    fn from_row(row: &Row, is_by_place: bool) -> Self {
        let id: Uuid = row.get("id");
        let position = if is_by_place {
            Position { at: row.get("seq"), id }
        } else {
            Position::in_time(row.get("created_at"), id)
        };
        Self {
            id: ExecutionId(id),
            position,
            author: row.get("author"),
            trigger_id: TriggerId(row.get("trigger_id")),
            agent_id: AgentId(row.get("agent_id")),
            agent_version: row.get("agent_version"),
            session_id: SessionId(row.get("session_id")),
            status: row.get("status"),
            attempt_count: row.get("attempt_count"),
            n_messages: row.get("n_messages"),
            created_at: row.get("created_at"),
            started_at: row.get("started_at"),
            finished_at: row.get("finished_at"),
            error_code: row.get("error_code"),
            tokens_used: row.get("tokens_used"),
            cost_usd: row.get("cost_usd"),
            delivery_status: row.get("delivery_status"),
        }
    }
}

/// Whether the tenant has, or had, such a trigger.
pub async fn trigger_exists(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("views.trigger_exists");
    let client = store.client("views.trigger_exists").await?;
    let statement = client.prepare_cached(TRIGGER_EXISTS).await.map_err(&failed)?;
    let row = client.query_one(&statement, &[&tenant.0, &trigger.0]).await.map_err(&failed)?;
    Ok(row.get(0))
}

/// A tenant's executions that come `after` a position, newest first: up to `limit` that are looked
/// for, among as many as one request looks at.
pub async fn executions(
    store: &Store,
    tenant: TenantId,
    filter: &ExecutionFilter,
    after: Option<Position>,
    limit: i64,
) -> Result<Stretch<ExecutionSummary>, StoreError> {
    let failed = StoreError::query("views.executions");
    let client = store.client("views.executions").await?;
    let statement = client.prepare_cached(filter.statement()).await.map_err(&failed)?;
    let is_by_place = filter.session_id.is_some();
    let to = filter.to.unwrap_or(END_OF_TIME).min(END_OF_TIME);
    let begin = if is_by_place {
        Position { at: i64::MAX, id: Uuid::max() }
    } else {
        Position::in_time(to, Uuid::max())
    };
    let after = after.unwrap_or(begin);
    let after_time = after.time();
    let after_at: &(dyn ToSql + Sync) = if is_by_place { &after.at } else { &after_time };
    let n_looked_at = if filter.text.is_some() { MAX_TEXTS_LOOKED_AT } else { MAX_LOOKED_AT };
    let rows = client
        .query(
            &statement,
            &[
                &tenant.0,
                after_at,
                &after.id,
                &filter.from.unwrap_or(BEGINNING_OF_TIME).max(BEGINNING_OF_TIME),
                &to,
                &filter.status.map(ExecutionStatus::as_str),
                &filter.trigger_id.map(|id| id.0),
                &filter.agent_id.map(|id| id.0),
                &filter.session_id.map(|id| id.0),
                &filter.pattern(),
                &n_looked_at,
                &limit,
            ],
        )
        .await
        .map_err(&failed)?;
    let (mut found, mut stopped_at) = (Vec::new(), None);
    for row in &rows {
        let summary = ExecutionSummary::from_row(row, is_by_place);
        if row.get("is_last") {
            stopped_at = Some(summary.position);
        }
        if row.get("matches") {
            found.push(summary);
        }
    }
    Ok(Stretch { found, stopped_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_looked_for_as_it_is() {
        let filter = ExecutionFilter { text: Some(r"50%_\é".to_owned()), ..Default::default() };
        assert_eq!(filter.pattern().unwrap(), r"%50\%\_\\é%");
        assert_eq!(ExecutionFilter::default().pattern(), None);
    }
}
