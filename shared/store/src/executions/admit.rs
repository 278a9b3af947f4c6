//! Where each message finds its one execution.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_messages::{ExecutionRequested, Inbound};
use recado_types::{ExecutionId, MessageId, TraceContext};
use uuid::Uuid;

use super::waiting::{Waiting, wait};
use crate::messages::{self, Columns, OpenMessage};
use crate::{Store, StoreError};

/// Any number; it only has to be the same in every process that admits.
pub(crate) const ADMISSION_LOCK: i64 = 0x6164_6d69;

/// There is one admitter at a time: the queue has a single active consumer, and for the moment
/// in which the broker believes that the last one is dead and it is not, there is this lock.
const LOCK: &str = "\
-- executions.lock
SELECT pg_advisory_xact_lock($1)";

/// Messages that were recorded before the first message asked for of their session, are in no
/// execution, and are not among those asked for. There are none, but when a trigger's buffer was
/// switched off with a window open: its messages must not be overtaken by those that came after.
const OLDER: &str = "\
-- executions.older
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
                  AS asked (session_id, id, accepted_at)
), firsts AS MATERIALIZED (
    SELECT asked.session_id, min(m.seq) AS seq, min(asked.accepted_at) AS accepted_at
      FROM asked LEFT JOIN messages m ON m.id = asked.id AND m.execution_id IS NULL
     GROUP BY asked.session_id
)
SELECT m.id, m.tenant_id, m.trigger_id, m.session_id, m.text, m.context, m.accepted_at,
       m.fingerprint, m.trace_context,
       t.trigger_config #> '{execution,message_buffer}' AS message_buffer
  FROM firsts
  JOIN messages m ON m.session_id = firsts.session_id AND m.execution_id IS NULL
  JOIN triggers t ON t.id = m.trigger_id
 WHERE CASE WHEN firsts.seq IS NOT NULL THEN m.seq < firsts.seq
            ELSE m.accepted_at < firsts.accepted_at END
   AND NOT EXISTS (SELECT FROM asked WHERE asked.id = m.id)
 ORDER BY m.session_id, m.seq
 LIMIT 1000";

/// How many overtaken messages make one execution, at most: as many as a window may hold.
const MAX_OVERTAKEN: usize = 100;

/// Attaches every message that is in no execution yet, and makes executions of what it attached.
///
/// The input comes in requests, numbered `request`; those of its messages that are attached become
/// one execution, whose id derives from the first of them (`alone_id`). So two requests that
/// overlap, because a window was flushed twice, give two executions without a message in common,
/// and a request that brings nothing new gives none. Whose agent answers is decided here, and who
/// waits for it is noted.
///
/// A message that is known with another fingerprint is in conflict: what is known counts, and is
/// attached if it was not. It is compared after attaching, since buffer may be recording it now.
///
/// Retention takes messages away before executions. What comes after that under the id of one is
/// known by the execution that it would become (`is_past`). Whether it says the same nobody can
/// tell any more, so it is in conflict, and what buffer has recorded of it goes. One that was not
/// the first of its execution is new.
const ADMIT: &str = "\
-- executions.admit
WITH input AS (
    SELECT asked.*, known.execution_id AS known_execution, known.fingerprint AS known_fingerprint,
           known.execution_id IS NULL AND past.id IS NOT NULL AS is_past
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[],
                  $5::text[], $6::json[], $7::timestamptz[], $8::uuid[],
                  $14::json[], $9::uuid[], $10::integer[], $11::text[], $12::text[],
                  $15::text[])
           WITH ORDINALITY AS asked (id, tenant_id, trigger_id, session_id,
                                     text, context, accepted_at, fingerprint,
                                     payload, alone_id, request, separator, reply_to,
                                     trace_context, place)
      LEFT JOIN messages known USING (id)
      LEFT JOIN executions past ON past.id = asked.alone_id
), open AS (
    SELECT input.*,
           first_value(alone_id) OVER (PARTITION BY request ORDER BY place) AS execution_id
      FROM input
     WHERE known_execution IS NULL AND NOT is_past
), forgotten AS (
    DELETE FROM messages
     WHERE id = ANY (ARRAY(SELECT id FROM input WHERE is_past)) AND execution_id IS NULL
), attached AS (
    INSERT INTO messages (id, tenant_id, trigger_id, session_id,
                          text, context, accepted_at, fingerprint, payload, trace_context,
                          execution_id)
    SELECT id, tenant_id, trigger_id, session_id,
           text, context, accepted_at, fingerprint, payload, trace_context, execution_id
      FROM open ORDER BY place
    ON CONFLICT (id) DO UPDATE SET execution_id = excluded.execution_id
       WHERE messages.execution_id IS NULL
    RETURNING id, seq, tenant_id, trigger_id, session_id, execution_id, fingerprint
), new_sessions AS (
    INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at)
    SELECT DISTINCT ON (session_id) session_id, attached.tenant_id, trigger_id,
           triggers.agent_id, $13::timestamptz
      FROM attached JOIN triggers ON triggers.id = trigger_id ORDER BY session_id
    ON CONFLICT (id) DO NOTHING
), new_executions AS (
    INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id,
                            seq, message_ids, separator, reply_to, trace_context, status,
                            created_at)
    SELECT attached.execution_id, attached.tenant_id, trigger_id, triggers.agent_id, session_id,
           min(seq), array_agg(attached.id ORDER BY seq), min(requests.separator),
           array_remove(ARRAY[min(requests.reply_to)], NULL), min(requests.trace_context),
           'queued', $13::timestamptz
      FROM attached
      JOIN (SELECT DISTINCT execution_id, separator, reply_to, trace_context FROM open) requests
           USING (execution_id)
      JOIN triggers ON triggers.id = trigger_id
     GROUP BY attached.execution_id, attached.tenant_id, trigger_id, triggers.agent_id, session_id
    RETURNING session_id, tenant_id
), queued AS (
    INSERT INTO lanes (kind, session_id, tenant_id, queued, next_run_at)
    SELECT 'execution', session_id, tenant_id, count(*), now()
      FROM new_executions GROUP BY session_id, tenant_id ORDER BY session_id
    ON CONFLICT (kind, session_id) DO UPDATE
       SET queued = lanes.queued + excluded.queued,
           next_run_at = coalesce(lanes.next_run_at, excluded.next_run_at)
    RETURNING session_id
)
SELECT (SELECT count(*) FROM attached) AS n_messages,
       (SELECT count(*) FROM new_executions) AS n_executions,
       (SELECT count(*) FROM queued) AS n_lanes,
       ARRAY(SELECT input.id FROM input LEFT JOIN attached USING (id)
              WHERE is_past
                 OR coalesce(attached.fingerprint, known_fingerprint) <> input.fingerprint)
           AS conflicts";

/// What a batch of requests came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Messages that found their execution now; the others had one.
    pub n_messages: u64,
    /// Executions that were made.
    pub n_executions: u64,
    /// Those who asked for an execution that has ended already: they are to be told now. All
    /// others are told when it ends (see [`Finished::Done`](super::Finished::Done)).
    pub finished: Vec<Waiting>,
    /// Ids under which something else is known than (one of) the messages said, or of which it is
    /// not known any more what they said: those found no execution, and what they say is kept
    /// nowhere. Two messages are told apart by their fingerprints; one without is in no conflict
    /// with another that is known.
    pub conflicts: Vec<MessageId>,
}

/// Admits requests, in their order. Of two messages with one id the first counts; admitting one
/// again changes nothing.
pub async fn admit(
    store: &Store,
    requests: &[&ExecutionRequested],
    now: DateTime<Utc>,
) -> Result<Admitted, StoreError> {
    admit_traced(store, requests, &[], now).await
}

/// The same, with where in a trace each of `requests` was published: what becomes of it is part of
/// that trace.
pub async fn admit_traced(
    store: &Store,
    requests: &[&ExecutionRequested],
    traces: &[Option<&TraceContext>],
    now: DateTime<Utc>,
) -> Result<Admitted, StoreError> {
    let operation = "executions.admit";
    let failed = StoreError::query(operation);
    let mut client = store.client(operation).await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    transaction.execute(&lock, &[&ADMISSION_LOCK]).await.map_err(&failed)?;
    let overtaken = overtaken(&transaction, requests).await.map_err(&failed)?;
    // Who is overtaken was asked for by nobody; the trace of its first message goes on.
    let traces: Vec<Option<&TraceContext>> = overtaken
        .iter()
        .map(|overtaken| overtaken.trace.as_ref())
        .chain((0..requests.len()).map(|n| traces.get(n).copied().flatten()))
        .collect();
    let requests: Vec<&ExecutionRequested> =
        overtaken.iter().map(|it| &it.request).chain(requests.iter().copied()).collect();
    let (entries, mut conflicts) = distinct(&requests);
    let columns = Columns::of(entries.iter().map(|entry| entry.message));
    let alone: Vec<Uuid> =
        entries.iter().map(|entry| ExecutionId::of_first(entry.message.id).0).collect();
    let numbers: Vec<i32> = entries.iter().map(|entry| entry.request).collect();
    let separators: Vec<&str> = entries.iter().map(|entry| entry.separator).collect();
    let reply_to: Vec<Option<&str>> = entries.iter().map(|entry| entry.reply_to).collect();
    let trace =
        |entry: &Entry<'_>| traces[usize::try_from(entry.request).ok()?].map(TraceContext::as_str);
    let traces: Vec<Option<&str>> = entries.iter().map(trace).collect();

    let statement = transaction.prepare_cached(ADMIT).await.map_err(&failed)?;
    let row = transaction
        .query_one(
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
                &alone,
                &numbers,
                &separators,
                &reply_to,
                &now,
                &columns.payloads,
                &traces,
            ],
        )
        .await
        .map_err(&failed)?;
    let count = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or_default();
    let (n_messages, n_executions) = (count("n_messages"), count("n_executions"));
    conflicts.extend(row.get::<_, Vec<Uuid>>("conflicts").into_iter().map(MessageId));
    // Where each request made an execution, each execution knows who waits for it.
    let finished = if n_executions < requests.len() as u64 {
        wait(&transaction, &requests).await.map_err(&failed)?
    } else {
        Vec::new()
    };
    transaction.commit().await.map_err(&failed)?;
    Ok(Admitted { n_messages, n_executions, finished, conflicts })
}

/// A window that would be overtaken, as a request of its own.
struct Overtaken {
    request: ExecutionRequested,
    trace: Option<TraceContext>,
}

/// The windows that `requests` would overtake.
async fn overtaken(
    transaction: &Transaction<'_>,
    requests: &[&ExecutionRequested],
) -> Result<Vec<Overtaken>, tokio_postgres::Error> {
    let messages = || requests.iter().flat_map(|request| &request.messages);
    let sessions: Vec<Uuid> = messages().map(|message| message.session_id.0).collect();
    let ids: Vec<Uuid> = messages().map(|message| message.id.0).collect();
    let accepted: Vec<DateTime<Utc>> = messages().map(|message| message.accepted_at).collect();
    let statement = transaction.prepare_cached(OLDER).await?;
    let rows = transaction.query(&statement, &[&sessions, &ids, &accepted]).await?;
    let mut windows: Vec<Overtaken> = Vec::new();
    for OpenMessage { message, message_buffer, trace } in rows.iter().map(messages::open_from_row) {
        match windows.last_mut() {
            Some(window)
                if window.request.messages[0].session_id == message.session_id
                    && window.request.messages.len() < MAX_OVERTAKEN =>
            {
                window.request.messages.push(message);
            }
            _ => {
                let separator =
                    message_buffer.map_or_else(|| "\n".to_owned(), |buffer| buffer.separator);
                let messages = vec![message];
                let request = ExecutionRequested { messages, separator, reply_to: None };
                windows.push(Overtaken { request, trace });
            }
        }
    }
    Ok(windows)
}

/// One message of a request.
struct Entry<'m> {
    message: &'m Inbound,
    request: i32,
    separator: &'m str,
    reply_to: Option<&'m str>,
}

/// A statement cannot touch a row twice, so of a message that is there twice the first counts.
/// Also answers the ids that came with two contents.
fn distinct<'m>(requests: &[&'m ExecutionRequested]) -> (Vec<Entry<'m>>, Vec<MessageId>) {
    let mut firsts = HashMap::new();
    let (mut entries, mut conflicts) = (Vec::new(), Vec::new());
    for (request, requested) in (0..).zip(requests) {
        let (separator, reply_to) = (&requested.separator, requested.reply_to.as_deref());
        for message in &requested.messages {
            match firsts.entry(message.id) {
                Vacant(first) => {
                    first.insert(message.fingerprint);
                    entries.push(Entry { message, request, separator, reply_to });
                }
                Occupied(first) => {
                    let (first, again) = (*first.get(), message.fingerprint);
                    if first.is_some() && again.is_some() && first != again {
                        conflicts.push(message.id);
                    }
                }
            }
        }
    }
    (entries, conflicts)
}
