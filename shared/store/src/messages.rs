//! Accepted messages: recording them for a window, and reading them back to flush it.

use recado_messages::{Inbound, Payload};
use recado_types::trigger::MessageBuffer;
use recado_types::{Fingerprint, MessageId, SessionId, TenantId, TraceContext, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{Store, StoreError};

/// Records messages in their order and answers those that nobody has requested an execution for:
/// the new ones, and the repeated ones whose window is still open; and those in conflict.
///
/// A row that is neither ours nor to be seen is one that somebody else committed while we waited
/// for it. What it says cannot be compared here, so it is taken for a conflict: trying again tells.
const RECORD: &str = "\
-- messages.record
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[],
                         $5::text[], $6::json[], $7::timestamptz[], $8::uuid[],
                         $9::json[], $10::text[])
             WITH ORDINALITY AS input (id, tenant_id, trigger_id, session_id,
                                       text, context, accepted_at, fingerprint, payload,
                                       trace_context, place)
), recorded AS (
    INSERT INTO messages (id, tenant_id, trigger_id, session_id,
                          text, context, accepted_at, fingerprint, payload, trace_context)
    SELECT id, tenant_id, trigger_id, session_id, text, context, accepted_at, fingerprint, payload,
           trace_context
      FROM input ORDER BY place
    ON CONFLICT (id) DO NOTHING
    RETURNING id, fingerprint
), compared AS (
    SELECT input.id,
           recorded.id IS NOT NULL
           OR (known.execution_id IS NULL
               AND (known.requested_at IS NULL
                    OR known.requested_at < now() - interval '1 minute')) AS is_open,
           CASE WHEN recorded.id IS NULL AND known.id IS NULL THEN input.fingerprint IS NOT NULL
                ELSE coalesce(recorded.fingerprint, known.fingerprint) <> input.fingerprint
           END IS TRUE AS is_conflict
      FROM input LEFT JOIN recorded USING (id) LEFT JOIN messages known USING (id)
)
SELECT id, is_open, is_conflict FROM compared WHERE is_open OR is_conflict";

/// A request that was confirmed a minute ago and did not make an execution is taken for lost.
const OPEN: &str = "\
-- messages.open
SELECT m.id, m.tenant_id, m.trigger_id, m.session_id, m.text, m.context, m.accepted_at,
       m.fingerprint, m.trace_context,
       t.trigger_config #> '{execution,message_buffer}' AS message_buffer
  FROM unnest($1::uuid[]) AS asked (session_id),
       LATERAL (SELECT * FROM messages
                 WHERE messages.session_id = asked.session_id AND execution_id IS NULL
                   AND (requested_at IS NULL OR requested_at < now() - interval '1 minute')
                 ORDER BY seq LIMIT $2) m
  JOIN triggers t ON t.id = m.trigger_id
 ORDER BY m.session_id, m.seq";

const MARK_REQUESTED: &str = "\
-- messages.mark_requested
UPDATE messages SET requested_at = now() WHERE id = ANY ($1) AND execution_id IS NULL";

/// One row for each session with open messages; a session has one trigger.
const OPEN_WINDOWS: &str = "\
-- messages.open_windows
SELECT open.session_id, open.ids, open.oldest_ms, open.newest_ms,
       t.trigger_config #> '{execution,message_buffer}' AS message_buffer
  FROM (SELECT session_id, trigger_id, array_agg(id ORDER BY seq) AS ids,
               (extract(epoch FROM now() - min(recorded_at)) * 1000)::bigint AS oldest_ms,
               (extract(epoch FROM now() - max(recorded_at)) * 1000)::bigint AS newest_ms
          FROM messages
         WHERE execution_id IS NULL AND session_id > $1
           AND (requested_at IS NULL OR requested_at < now() - interval '1 minute')
         GROUP BY session_id, trigger_id
         ORDER BY session_id
         LIMIT $2) open
  JOIN triggers t ON t.id = open.trigger_id
 ORDER BY open.session_id";

/// A message in no execution, with what flushing it needs.
#[derive(Clone, Debug)]
pub struct OpenMessage {
    /// The message.
    pub message: Inbound,
    /// `execution.message_buffer` of its trigger, as it is now.
    pub message_buffer: Option<MessageBuffer>,
    /// Where in a trace it was published, if that is recorded.
    pub trace: Option<TraceContext>,
}

const FINGERPRINT: &str = "\
-- messages.fingerprint
SELECT fingerprint FROM messages WHERE id = $1";

/// What is known of a message that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What it says, in short; `None` if nobody noted it down.
    pub fingerprint: Option<Fingerprint>,
}

/// The columns of a batch of messages, for `unnest`.
pub(crate) struct Columns<'m> {
    pub(crate) ids: Vec<Uuid>,
    pub(crate) tenants: Vec<Uuid>,
    pub(crate) triggers: Vec<Uuid>,
    pub(crate) sessions: Vec<Uuid>,
    pub(crate) texts: Vec<&'m str>,
    pub(crate) contexts: Vec<Json<&'m serde_json::Map<String, Value>>>,
    pub(crate) accepted: Vec<chrono::DateTime<chrono::Utc>>,
    pub(crate) fingerprints: Vec<Option<Uuid>>,
    pub(crate) payloads: Vec<Option<Json<&'m Payload>>>,
}

impl<'m> Columns<'m> {
    pub(crate) fn of(messages: impl Iterator<Item = &'m Inbound> + Clone) -> Self {
        Self {
            ids: messages.clone().map(|m| m.id.0).collect(),
            tenants: messages.clone().map(|m| m.tenant_id.0).collect(),
            triggers: messages.clone().map(|m| m.trigger_id.0).collect(),
            sessions: messages.clone().map(|m| m.session_id.0).collect(),
            texts: messages.clone().map(|m| m.text.as_str()).collect(),
            contexts: messages.clone().map(|m| Json(&m.context)).collect(),
            accepted: messages.clone().map(|m| m.accepted_at).collect(),
            fingerprints: messages.clone().map(|m| m.fingerprint.map(|of| of.0)).collect(),
            payloads: messages.map(|m| m.payload.as_ref().map(Json)).collect(),
        }
    }
}

/// What a batch of messages came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Those that nobody has requested an execution for yet.
    pub open: Vec<MessageId>,
    /// Ids under which something else is recorded than (one of) the messages said: those were
    /// not kept. Two messages are told apart by their fingerprints; one without is in no conflict.
    pub conflicts: Vec<MessageId>,
}

/// Records `messages`, in their order. Of two with one id the first counts; recording it again
/// changes nothing.
pub async fn record(store: &Store, messages: &[&Inbound]) -> Result<Kept, StoreError> {
    record_traced(store, messages, &[]).await
}

/// The same, with where in a trace each was published.
pub async fn record_traced(
    store: &Store,
    messages: &[&Inbound],
    traces: &[Option<&TraceContext>],
) -> Result<Kept, StoreError> {
    let failed = StoreError::query("messages.record");
    let columns = Columns::of(messages.iter().copied());
    let trace = |n| traces.get(n).copied().flatten().map(TraceContext::as_str);
    let traces: Vec<Option<&str>> = (0..messages.len()).map(trace).collect();
    let client = store.client("messages.record").await?;
    let statement = client.prepare_cached(RECORD).await.map_err(&failed)?;
    let rows = client
        .query(
            &statement,
            &[
                &columns.ids,
                &columns.tenants,
                &columns.triggers,
                &columns.sessions,
                &columns.texts,
                &columns.contexts,
                &columns.accepted,
                &columns.fingerprints,
                &columns.payloads,
                &traces,
            ],
        )
        .await
        .map_err(&failed)?;
    let those_that = |is_so: &str| {
        let rows = rows.iter().filter(|row| row.get(is_so));
        rows.map(|row| MessageId(row.get("id"))).collect()
    };
    Ok(Kept { open: those_that("is_open"), conflicts: those_that("is_conflict") })
}

/// The first `limit` messages of each of `sessions` that wait for an execution, by session and in
/// order.
pub async fn open(
    store: &Store,
    sessions: &[SessionId],
    limit: u32,
) -> Result<Vec<OpenMessage>, StoreError> {
    let failed = StoreError::query("messages.open");
    let sessions: Vec<Uuid> = sessions.iter().map(|id| id.0).collect();
    let client = store.client("messages.open").await?;
    let statement = client.prepare_cached(OPEN).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&sessions, &i64::from(limit)]).await;
    Ok(rows.map_err(&failed)?.iter().map(open_from_row).collect())
}

/// Notes that a request with these messages is at the broker, so that nobody makes another one
/// while agent-runner takes its time.
pub async fn mark_requested(store: &Store, ids: &[MessageId]) -> Result<(), StoreError> {
    let failed = StoreError::query("messages.mark_requested");
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let client = store.client("messages.mark_requested").await?;
    let statement = client.prepare_cached(MARK_REQUESTED).await.map_err(&failed)?;
    client.execute(&statement, &[&ids]).await.map_err(&failed)?;
    Ok(())
}

/// Whether a message is recorded, and with which fingerprint; `None` if it is not.
pub async fn fingerprint(store: &Store, id: MessageId) -> Result<Option<Recorded>, StoreError> {
    let failed = StoreError::query("messages.fingerprint");
    let client = store.client("messages.fingerprint").await?;
    let statement = client.prepare_cached(FINGERPRINT).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&id.0]).await.map_err(&failed)?;
    let recorded = |row: Row| Recorded {
        fingerprint: row.get::<_, Option<Uuid>>("fingerprint").map(Fingerprint),
    };
    Ok(row.map(recorded))
}

pub(crate) fn open_from_row(row: &Row) -> OpenMessage {
    let Json(context) = row.get("context");
    OpenMessage {
        message: Inbound {
            id: MessageId(row.get("id")),
            tenant_id: TenantId(row.get("tenant_id")),
            trigger_id: TriggerId(row.get("trigger_id")),
            session_id: SessionId(row.get("session_id")),
            accepted_at: row.get("accepted_at"),
            text: row.get("text"),
            context,
            fingerprint: row.get::<_, Option<Uuid>>("fingerprint").map(Fingerprint),
            // It is recorded, and need not travel again.
            payload: None,
        },
        message_buffer: buffer_from_row(row),
        trace: trace_from_row(row),
    }
}

/// What its column `trace_context` says.
pub(crate) fn trace_from_row(row: &Row) -> Option<TraceContext> {
    TraceContext::parse(row.get::<_, Option<&str>>("trace_context")?)
}

fn buffer_from_row(row: &Row) -> Option<MessageBuffer> {
    row.get::<_, Option<Value>>("message_buffer").as_ref().and_then(MessageBuffer::from_saved)
}

/// The open messages of a session, as PostgreSQL knows them.
#[derive(Clone, Debug)]
pub struct OpenWindow {
    /// Whose.
    pub session_id: SessionId,
    /// Which, in order; at least one.
    pub message_ids: Vec<MessageId>,
    /// How long ago the first was recorded, by the database's clock.
    pub oldest_ms: i64,
    /// How long ago the last was recorded.
    pub newest_ms: i64,
    /// `execution.message_buffer` of its trigger, as it is now.
    pub message_buffer: Option<MessageBuffer>,
}

/// The next `limit` sessions after `session` that have open messages.
pub async fn open_windows(
    store: &Store,
    after: SessionId,
    limit: i64,
) -> Result<Vec<OpenWindow>, StoreError> {
    let failed = StoreError::query("messages.open_windows");
    let client = store.client("messages.open_windows").await?;
    let statement = client.prepare_cached(OPEN_WINDOWS).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&after.0, &limit]).await.map_err(&failed)?;
    let windows = rows.iter().map(|row| OpenWindow {
        session_id: SessionId(row.get("session_id")),
        message_ids: row.get::<_, Vec<Uuid>>("ids").into_iter().map(MessageId).collect(),
        oldest_ms: row.get("oldest_ms"),
        newest_ms: row.get("newest_ms"),
        message_buffer: buffer_from_row(row),
    });
    Ok(windows.collect())
}
