//! Taking the next execution of sessions that have one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use recado_types::{AgentId, ExecutionId, SessionId, TenantId, TriggerId};
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::lanes::{self, LaneKind, Lease, millis};
use crate::{Store, StoreError};

/// Marks the heads of leased lanes as running, and reads all that a run needs.
const START: &str = "\
-- executions.start
WITH started AS (
    UPDATE executions
       SET status = 'running', attempt_count = attempt_count + 1,
           started_at = coalesce(started_at, now())
      FROM unnest($1::uuid[]) AS lane (session_id)
     WHERE executions.id = (SELECT head.id FROM executions head
                             WHERE head.session_id = lane.session_id
                               AND head.finished_at IS NULL
                             ORDER BY head.seq LIMIT 1)
    RETURNING executions.id, executions.tenant_id, executions.trigger_id, executions.agent_id,
              executions.session_id, executions.seq, executions.message_ids,
              executions.separator, executions.attempt_count, executions.created_at,
              executions.started_at
)
SELECT started.id, started.tenant_id, started.trigger_id, started.agent_id, started.session_id,
       started.message_ids, started.attempt_count, started.created_at,
       (extract(epoch FROM now() - started.started_at) * 1000)::bigint AS running_ms,
       triggers.trigger_config, agents.name AS agent_name, agents.model, agents.system_prompt,
       (SELECT string_agg(m.text, started.separator ORDER BY m.seq)
          FROM messages m WHERE m.id = ANY (started.message_ids)) AS input,
       (SELECT m.context FROM messages m
         WHERE m.id = started.message_ids[cardinality(started.message_ids)]) AS context,
       (SELECT json_agg(json_build_array(turn.normalized_query, turn.agent_response)
                        ORDER BY turn.seq)
          FROM (SELECT seq, normalized_query, agent_response,
                       sum(octet_length(normalized_query) + octet_length(agent_response))
                           OVER (ORDER BY seq DESC) AS bytes
                  FROM (SELECT seq, normalized_query, agent_response FROM executions past
                         WHERE past.session_id = started.session_id
                           AND past.finished_at IS NOT NULL AND past.seq < started.seq
                           AND past.status = 'success'
                         ORDER BY past.seq DESC LIMIT $2) recent) turn
         WHERE turn.bytes <= $3) AS history
  FROM started
  JOIN triggers ON triggers.id = started.trigger_id
  JOIN agents ON agents.id = started.agent_id";

const GIVE_BACK: &str = "\
-- executions.give_back
WITH lane AS (
    UPDATE lanes
       SET next_run_at = now() + $4::bigint * interval '1 millisecond', lease_token = NULL
     WHERE kind = 'execution' AND session_id = $1 AND lease_token = $2
    RETURNING session_id
)
UPDATE executions SET attempt_count = attempt_count - 1 FROM lane WHERE executions.id = $3";

/// One earlier exchange of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What the agent was asked.
    pub query: String,
    /// What it answered.
    pub response: String,
}

/// An execution and the right to run it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The right.
    pub lease: Lease,
    /// Which execution.
    pub execution_id: ExecutionId,
    /// Whose.
    pub tenant_id: TenantId,
    /// The way its messages came in.
    pub trigger_id: TriggerId,
    /// Who answers.
    pub agent_id: AgentId,
    /// Whose conversation.
    pub session_id: SessionId,
    /// How often it was claimed, this time included.
    pub attempt: u32,
    /// How long ago it was claimed for the first time.
    pub running_for: Duration,
    /// The texts of its messages, joined.
    pub input: String,
    /// How many messages that are.
    pub n_messages: u32,
    /// The context of its last message.
    pub context: Map<String, Value>,
    /// The trigger's configuration, as it is now.
    pub trigger_config: Value,
    /// The agent's name.
    pub agent_name: String,
    /// `provider.model`.
    pub model: String,
    /// What the model is told about itself.
    pub system_prompt: String,
    /// The last exchanges of the session, oldest first.
    pub history: Vec<Turn>,
    /// When the first message was admitted.
    pub created_at: DateTime<Utc>,
}

/// How much of a session's past an execution is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// How many exchanges, at most.
    pub turns: u32,
    /// How many bytes of text, at most; older exchanges are left out first.
    pub bytes: u32,
}

/// How many executions are started at a time: all their texts are in memory at once.
const STARTS_AT_ONCE: usize = 32;

/// Claims up to `limit` executions for `lease`, each with its session's `history`. One session has
/// one at a time.
pub async fn claim(
    store: &Store,
    limit: usize,
    lease: Duration,
    history: History,
) -> Result<Vec<Claimed>, StoreError> {
    let mut claimed = Vec::new();
    while claimed.len() < limit {
        let wanted = (limit - claimed.len()).min(STARTS_AT_ONCE);
        match claim_some(store, wanted, lease, history).await {
            Ok(some) => {
                let n_claimed = some.len();
                claimed.extend(some);
                if n_claimed < wanted {
                    break;
                }
            }
            // What was claimed before is worked; whoever claims next meets the error again.
            Err(_) if !claimed.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}

async fn claim_some(
    store: &Store,
    limit: usize,
    lease: Duration,
    history: History,
) -> Result<Vec<Claimed>, StoreError> {
    let client = store.client("lanes.claim").await?;
    let leases = lanes::claim(&client, LaneKind::Execution, limit, lease).await?;
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let claimed = start(&client, &leases, history).await;
    if claimed.is_err() {
        drop(client);
        lanes::give_up(store, LaneKind::Execution, &leases).await;
    }
    claimed
}

async fn start(
    client: &Object,
    leases: &[Lease],
    history: History,
) -> Result<Vec<Claimed>, StoreError> {
    let failed = StoreError::query("executions.start");
    let sessions: Vec<Uuid> = leases.iter().map(|lease| lease.session_id.0).collect();
    let statement = client.prepare_cached(START).await.map_err(&failed)?;
    let (turns, bytes) = (i64::from(history.turns), i64::from(history.bytes));
    let rows = client.query(&statement, &[&sessions, &turns, &bytes]).await.map_err(&failed)?;
    lanes::complain_of_empty(LaneKind::Execution, leases, rows.len());
    Ok(rows.iter().filter_map(|row| claimed_from_row(row, leases)).collect())
}

/// Gives an execution back that could not be run for want of a server, to be claimed again after
/// `pause`. It does not count as an attempt.
pub async fn give_back(
    store: &Store,
    claimed: &Claimed,
    pause: Duration,
) -> Result<(), StoreError> {
    let failed = StoreError::query("executions.give_back");
    let client = store.client("executions.give_back").await?;
    let statement = client.prepare_cached(GIVE_BACK).await.map_err(&failed)?;
    let Lease { session_id, token } = claimed.lease;
    client
        .execute(&statement, &[&session_id.0, &token, &claimed.execution_id.0, &millis(pause)])
        .await
        .map_err(&failed)?;
    Ok(())
}

fn claimed_from_row(row: &Row, leases: &[Lease]) -> Option<Claimed> {
    let session_id = SessionId(row.get("session_id"));
    let history: Option<Json<Vec<(String, String)>>> = row.get("history");
    let turns = history.map(|Json(turns)| turns).unwrap_or_default();
    let message_ids: Vec<Uuid> = row.get("message_ids");
    let context: Option<Json<Map<String, Value>>> = row.get("context");
    let running_ms = u64::try_from(row.get::<_, i64>("running_ms")).unwrap_or_default();
    Some(Claimed {
        lease: lanes::lease_of(leases, session_id)?,
        execution_id: ExecutionId(row.get("id")),
        tenant_id: TenantId(row.get("tenant_id")),
        trigger_id: TriggerId(row.get("trigger_id")),
        agent_id: AgentId(row.get("agent_id")),
        session_id,
        attempt: u32::try_from(row.get::<_, i32>("attempt_count")).unwrap_or_default(),
        running_for: Duration::from_millis(running_ms),
        input: row.get::<_, Option<String>>("input").unwrap_or_default(),
        n_messages: u32::try_from(message_ids.len()).unwrap_or(u32::MAX),
        context: context.map(|Json(context)| context).unwrap_or_default(),
        trigger_config: row.get("trigger_config"),
        agent_name: row.get("agent_name"),
        model: row.get("model"),
        system_prompt: row.get("system_prompt"),
        history: turns.into_iter().map(|(query, response)| Turn { query, response }).collect(),
        created_at: row.get("created_at"),
    })
}
