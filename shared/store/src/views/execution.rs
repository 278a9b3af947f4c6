//! One execution with everything that belongs to it, as it was at one moment.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{AgentId, DeliveryId, ExecutionId, MessageId, SessionId, TenantId, TriggerId};
use serde_json::{Map, Value};
use tokio_postgres::types::Json;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use crate::{Store, StoreError};

/// The most messages and model calls that are shown. A delivery is bounded by its trigger's
/// configuration.
const MAX_MESSAGES: i64 = 1_000;
const MAX_CALLS: i64 = 1_000;

const EXECUTION: &str = "\
-- views.execution
SELECT e.id, e.trigger_id, e.status, e.attempt_count, e.created_at, e.started_at, e.finished_at,
       e.separator, e.message_ids, e.normalized_query, e.agent_response,
       e.error_code, e.error_message, e.tokens_used, e.cost_usd, e.session_id, e.agent_id,
       e.reply_to <> '{}' AS was_awaited,
       a.name AS agent_name,
       coalesce(s.status, 'active') AS session_status,
       coalesce(s.created_at, e.created_at) AS session_created_at
  FROM executions e
  LEFT JOIN sessions s ON s.id = e.session_id
  LEFT JOIN agents a ON a.id = e.agent_id
 WHERE e.tenant_id = $1 AND e.trigger_id = $2 AND e.id = $3";

/// A message in no execution is in the session's open window.
const SESSION_ACTIVITY: &str = "\
-- views.session_activity
SELECT (coalesce(sum(n_messages), 0)
        + (SELECT count(*) FROM messages WHERE session_id = $1 AND execution_id IS NULL))::bigint
           AS n_messages,
       max(last_at) AS last_at
  FROM (SELECT cardinality(message_ids) AS n_messages, finished_at AS last_at
          FROM executions WHERE session_id = $1 AND finished_at IS NOT NULL
         UNION ALL
        SELECT cardinality(message_ids), coalesce(started_at, created_at)
          FROM executions WHERE session_id = $1 AND finished_at IS NULL) activity";

const MESSAGES: &str = "\
-- views.execution_messages
SELECT id, text, context, accepted_at, recorded_at FROM messages
 WHERE tenant_id = $1 AND id = ANY ($2) ORDER BY seq LIMIT $3";

const LLM_CALLS: &str = "\
-- views.execution_llm_calls
SELECT provider, model, input_tokens, output_tokens, cached_input_tokens, cost_usd,
       response_time_ms, finish_reason, created_at
  FROM llm_calls WHERE execution_id = $1 ORDER BY iteration, id LIMIT $2";

const DELIVERIES: &str = "\
-- views.execution_deliveries
SELECT id, status, chunk_count, truncated, error_code, error_message, created_at, finished_at
  FROM deliveries WHERE execution_id = $1 ORDER BY created_at, id";

const CHUNKS: &str = "\
-- views.delivery_chunks
SELECT delivery_id, chunk_index, body, status, sent_at, provider_id
  FROM chunks WHERE delivery_id = ANY ($1) ORDER BY delivery_id, chunk_index";

const ATTEMPTS: &str = "\
-- views.delivery_attempts
SELECT delivery_id, chunk_index, attempt, started_at, duration_ms, status_code, error_code
  FROM attempts WHERE delivery_id = ANY ($1) ORDER BY delivery_id, chunk_index, attempt";

/// An execution and everything that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionView {
    /// Which.
    pub id: ExecutionId,
    /// The way its messages came in.
    pub trigger_id: TriggerId,
    /// Where it stands.
    pub status: String,
    /// How often a worker took it on.
    pub attempt_count: i32,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// When it first ran.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What the agent is asked: what it was asked, once it ran.
    pub normalized_query: String,
    /// What the agent answered.
    pub agent_response: Option<String>,
    /// Whether a sender waits for its end, or did.
    pub was_awaited: bool,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// What the providers counted.
    pub tokens_used: Option<i64>,
    /// What that cost.
    pub cost_usd: Option<f64>,
    /// Its session.
    pub session: SessionView,
    /// Its messages, in order.
    pub messages: Vec<MessageView>,
    /// The model calls it made, in order.
    pub llm_calls: Vec<LlmCallView>,
    /// How its response travels.
    pub deliveries: Vec<DeliveryView>,
}

/// The session of an execution.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// Which.
    pub id: SessionId,
    /// Who answers.
    pub agent_id: AgentId,
    /// What people call the agent.
    pub agent_name: Option<String>,
    /// `active`.
    pub status: String,
    /// When its first message was recorded.
    pub created_at: DateTime<Utc>,
    /// When something last happened in it.
    pub updated_at: DateTime<Utc>,
    /// How many messages its sender has sent.
    pub n_messages: i64,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageView {
    /// Which.
    pub id: MessageId,
    /// What it says.
    pub text: String,
    /// What was mapped out of its payload; secrets included.
    pub context: Map<String, Value>,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When it was recorded, by the database's clock.
    pub recorded_at: DateTime<Utc>,
}

/// A model call.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmCallView {
    /// The provider's name.
    pub provider: String,
    /// The model's name at that provider.
    pub model: String,
    /// What the provider counted.
    pub input_tokens: Option<i64>,
    /// What the provider counted.
    pub output_tokens: Option<i64>,
    /// What the provider counted.
    pub cached_input_tokens: Option<i64>,
    /// What that cost.
    pub cost_usd: Option<f64>,
    /// How long it took.
    pub response_time_ms: i64,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryView {
    /// Which.
    pub id: DeliveryId,
    /// Where it stands.
    pub status: String,
    /// How many chunks the response became.
    pub chunk_count: Option<i32>,
    /// Whether something was cut off.
    pub truncated: bool,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its chunks, in order.
    pub chunks: Vec<ChunkView>,
}

/// A chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkView {
    /// Its place, from 0.
    pub index: i32,
    /// Its text.
    pub text: String,
    /// Where it stands.
    pub status: String,
    /// When the channel took it.
    pub sent_at: Option<DateTime<Utc>>,
    /// What the channel calls it.
    pub provider_id: Option<String>,
    /// Every request made to send it, in order.
    pub attempts: Vec<AttemptView>,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptView {
    /// Which one, from 1.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// What the channel answered.
    pub status_code: Option<i32>,
    /// Why there was no answer, or what was wrong with it.
    pub error_code: Option<String>,
}

/// An execution of a trigger with everything that belongs to it; `None` if there is none.
///
/// All of it is read from one snapshot, so that its parts agree with each other.
pub async fn execution(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
    id: ExecutionId,
) -> Result<Option<ExecutionView>, StoreError> {
    let failed = StoreError::query("views.execution");
    let mut client = store.client("views.execution").await?;
    let snapshot = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(&failed)?;
    let statement = snapshot.prepare_cached(EXECUTION).await.map_err(&failed)?;
    let row = snapshot.query_opt(&statement, &[&tenant.0, &trigger.0, &id.0]).await;
    let Some(row) = row.map_err(&failed)? else { return Ok(None) };

    // All of them are sent at once and answered in order.
    let message_ids: Vec<Uuid> = row.get("message_ids");
    let (session, messages, llm_calls, deliveries) = tokio::try_join!(
        session_of(&snapshot, &row),
        messages_of(&snapshot, tenant, &message_ids),
        llm_calls_of(&snapshot, id),
        deliveries_of(&snapshot, id),
    )?;
    let normalized_query = row.get::<_, Option<String>>("normalized_query").unwrap_or_else(|| {
        let texts: Vec<&str> = messages.iter().map(|message| message.text.as_str()).collect();
        texts.join(row.get("separator"))
    });
    Ok(Some(ExecutionView {
        id,
        trigger_id: trigger,
        status: row.get("status"),
        attempt_count: row.get("attempt_count"),
        created_at: row.get("created_at"),
        started_at: row.get("started_at"),
        finished_at: row.get("finished_at"),
        normalized_query,
        agent_response: row.get("agent_response"),
        was_awaited: row.get("was_awaited"),
        error_code: row.get("error_code"),
        error_message: row.get("error_message"),
        tokens_used: row.get("tokens_used"),
        cost_usd: row.get("cost_usd"),
        session,
        messages,
        llm_calls,
        deliveries,
    }))
}

async fn session_of(snapshot: &Transaction<'_>, row: &Row) -> Result<SessionView, StoreError> {
    let id = row.get("session_id");
    let activity = query(snapshot, SESSION_ACTIVITY, "views.session_activity", &[&id]).await?;
    // An aggregate without GROUP BY is one row.
    let last_at = activity.first().and_then(|activity| activity.get("last_at"));
    let created_at: DateTime<Utc> = row.get("session_created_at");
    Ok(SessionView {
        id: SessionId(id),
        agent_id: AgentId(row.get("agent_id")),
        agent_name: row.get("agent_name"),
        status: row.get("session_status"),
        created_at,
        updated_at: created_at.max(last_at.unwrap_or(created_at)),
        n_messages: activity.first().map_or(0, |activity| activity.get("n_messages")),
    })
}

async fn messages_of(
    snapshot: &Transaction<'_>,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<MessageView>, StoreError> {
    let parameters: Parameters<'_> = &[&tenant.0, &ids, &MAX_MESSAGES];
    let rows = query(snapshot, MESSAGES, "views.execution_messages", parameters).await?;
    let message = |row: &Row| {
        let Json(context) = row.get("context");
        MessageView {
            id: MessageId(row.get("id")),
            text: row.get("text"),
            context,
            accepted_at: row.get("accepted_at"),
            recorded_at: row.get("recorded_at"),
        }
    };
    Ok(rows.iter().map(message).collect())
}

async fn llm_calls_of(
    snapshot: &Transaction<'_>,
    execution: ExecutionId,
) -> Result<Vec<LlmCallView>, StoreError> {
    let parameters: Parameters<'_> = &[&execution.0, &MAX_CALLS];
    let rows = query(snapshot, LLM_CALLS, "views.execution_llm_calls", parameters).await?;
    let call = |row: &Row| LlmCallView {
        provider: row.get("provider"),
        model: row.get("model"),
        input_tokens: row.get("input_tokens"),
        output_tokens: row.get("output_tokens"),
        cached_input_tokens: row.get("cached_input_tokens"),
        cost_usd: row.get("cost_usd"),
        response_time_ms: row.get("response_time_ms"),
        finish_reason: row.get("finish_reason"),
        created_at: row.get("created_at"),
    };
    Ok(rows.iter().map(call).collect())
}

async fn deliveries_of(
    snapshot: &Transaction<'_>,
    execution: ExecutionId,
) -> Result<Vec<DeliveryView>, StoreError> {
    let operation = "views.execution_deliveries";
    let deliveries = query(snapshot, DELIVERIES, operation, &[&execution.0]).await?;
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = deliveries.iter().map(|row| row.get("id")).collect();
    let parameters: Parameters<'_> = &[&ids];
    let (chunks, attempts) = tokio::try_join!(
        query(snapshot, CHUNKS, "views.delivery_chunks", parameters),
        query(snapshot, ATTEMPTS, "views.delivery_attempts", parameters),
    )?;
    Ok(deliveries.iter().map(|row| delivery(row, &chunks, &attempts)).collect())
}

fn delivery(row: &Row, chunks: &[Row], attempts: &[Row]) -> DeliveryView {
    let id: Uuid = row.get("id");
    let of_delivery = |row: &&Row| row.get::<_, Uuid>("delivery_id") == id;
    DeliveryView {
        id: DeliveryId(id),
        status: row.get("status"),
        chunk_count: row.get("chunk_count"),
        truncated: row.get("truncated"),
        error_code: row.get("error_code"),
        error_message: row.get("error_message"),
        created_at: row.get("created_at"),
        finished_at: row.get("finished_at"),
        chunks: chunks.iter().filter(of_delivery).map(|row| chunk(row, attempts)).collect(),
    }
}

fn chunk(row: &Row, attempts: &[Row]) -> ChunkView {
    let place = |row: &Row| -> (Uuid, i32) { (row.get("delivery_id"), row.get("chunk_index")) };
    let attempt = |row: &Row| AttemptView {
        attempt: row.get("attempt"),
        started_at: row.get("started_at"),
        duration_ms: row.get("duration_ms"),
        status_code: row.get("status_code"),
        error_code: row.get("error_code"),
    };
    ChunkView {
        index: row.get("chunk_index"),
        text: row.get("body"),
        status: row.get("status"),
        sent_at: row.get("sent_at"),
        provider_id: row.get("provider_id"),
        attempts: attempts.iter().filter(|a| place(a) == place(row)).map(attempt).collect(),
    }
}

type Parameters<'p> = &'p [&'p (dyn tokio_postgres::types::ToSql + Sync)];

async fn query(
    snapshot: &Transaction<'_>,
    sql: &str,
    operation: &'static str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, StoreError> {
    let failed = StoreError::query(operation);
    let statement = snapshot.prepare_cached(sql).await.map_err(&failed)?;
    snapshot.query(&statement, parameters).await.map_err(&failed)
}
