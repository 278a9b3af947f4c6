//! The statement that ends executions, and what it takes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use recado_types::DeliveryId;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::{Conclusion, Finished, Outcome};
use crate::StoreError;
use crate::executions::journal::{LlmCall, insert_llm_calls};

/// Ends executions, each if its lease is still held, or nothing of it is written: the result, the
/// model calls that are not in the journal, the delivery with its place in the session's delivery
/// lane, and the lane's next run. Lanes are locked in the order of their sessions.
///
/// A run that gives way to newer messages (`gives_way`) does not end if there are any.
///
/// The delivery's place is its execution's, or behind what the session has on its way: what a
/// person says while the agent is at work has a later place, may be half sent by now, and is not
/// interrupted. As in `redeliver.requeue`, the time decides between equal places. One step at the
/// end of `deliveries_unfinished` finds it.
const FINISH: &str = concat!(
    "\
-- executions.finish
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::bigint[], $11::float8[], $12::json[], $13::uuid[],
        $14::text[], $15::boolean[], $16::boolean[])
      AS asked (session_id, token, execution_id, status, finished_at, normalized_query,
                agent_response, error_code, error_message, tokens_used, cost_usd, llm_calls,
                delivery_id, agent_variation, gives_way, events_due)
), held AS MATERIALIZED (
    SELECT asked.session_id, asked.token, lanes.queued - 1 AS n_left
      FROM asked
      JOIN lanes ON lanes.kind = 'execution' AND lanes.session_id = asked.session_id
                AND lanes.lease_token = asked.token
     WHERE NOT (asked.gives_way AND EXISTS (
                SELECT FROM executions newer, executions own
                 WHERE own.id = asked.execution_id AND newer.session_id = asked.session_id
                   AND newer.seq > own.seq AND newer.finished_at IS NULL
                   AND newer.cancel_requested_at IS NULL))
     ORDER BY lanes.session_id FOR UPDATE OF lanes
), written AS MATERIALIZED (
    SELECT asked.*, held.n_left FROM asked JOIN held USING (session_id, token)
), lane AS (
    UPDATE lanes
       SET queued = written.n_left, lease_token = NULL,
           next_run_at = CASE WHEN written.n_left > 0 THEN now() END
      FROM written
     WHERE lanes.kind = 'execution' AND lanes.session_id = written.session_id
), finished AS (
    UPDATE executions
       SET status = written.status,
           finished_at = greatest(written.finished_at, executions.started_at),
           normalized_query = written.normalized_query, agent_response = written.agent_response,
           error_code = written.error_code, error_message = written.error_message,
           tokens_used = written.tokens_used, cost_usd = written.cost_usd,
           agent_variation = written.agent_variation, events_due = written.events_due
      FROM written
     WHERE executions.id = written.execution_id
    RETURNING executions.id, executions.tenant_id, executions.trigger_id, executions.session_id,
              executions.seq, executions.reply_to, written.delivery_id, written.llm_calls,
              written.finished_at AS ended_at, written.token, written.n_left
), calls AS (
    ",
    insert_llm_calls!("run.llm_calls", "finished"),
    "
), delivery AS (
    INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                            status, created_at, requested_at)
    SELECT finished.delivery_id, finished.tenant_id, finished.id, finished.trigger_id,
           finished.session_id, greatest(finished.seq, last.seq), 'pending', finished.ended_at,
           greatest(finished.ended_at, last.requested_at + interval '1 microsecond')
      FROM finished
      LEFT JOIN LATERAL (SELECT waiting.seq, waiting.requested_at FROM deliveries waiting
                          WHERE waiting.session_id = finished.session_id
                            AND waiting.finished_at IS NULL
                          ORDER BY waiting.seq DESC, waiting.requested_at DESC LIMIT 1) last
             ON true
     WHERE finished.delivery_id IS NOT NULL
    RETURNING session_id, tenant_id, trigger_id
), delivery_lane AS (
    INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued, next_run_at)
    SELECT 'delivery', session_id, tenant_id, trigger_id, 1, now() FROM delivery
     ORDER BY session_id
    ON CONFLICT (kind, session_id) DO UPDATE
       SET queued = lanes.queued + 1, trigger_id = excluded.trigger_id,
           next_run_at = coalesce(lanes.next_run_at, excluded.next_run_at)
)
SELECT session_id, token, n_left, reply_to FROM finished"
);

/// Ends executions, all or none, and answers in their order what became of each.
pub(super) async fn write(
    client: &impl GenericClient,
    batch: &[Conclusion],
) -> Result<Vec<Finished>, StoreError> {
    let failed = StoreError::query("executions.finish");
    let mut columns = Columns::default();
    for conclusion in batch {
        columns.push(conclusion);
    }
    let statement = client.prepare_cached(FINISH).await.map_err(&failed)?;
    let rows = client.query(&statement, &columns.parameters()).await.map_err(&failed)?;
    let mut done: HashMap<(Uuid, Uuid), Finished> =
        rows.iter().map(|row| ((row.get("session_id"), row.get("token")), done(row))).collect();
    let lease = |conclusion: &Conclusion| (conclusion.lease.session_id.0, conclusion.lease.token);
    Ok(batch
        .iter()
        .map(|conclusion| done.remove(&lease(conclusion)).unwrap_or(Finished::Not))
        .collect())
}

/// Of two that write an execution's end, only one writes this moment.
const FINISHED_BEFORE: &str = "\
-- executions.finished_before
SELECT e.id, e.reply_to, lanes.queued
  FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS asked (id, status, finished_at)
  JOIN executions e ON e.id = asked.id AND e.status = asked.status
                   AND e.finished_at = greatest(asked.finished_at, e.started_at)
  JOIN lanes ON lanes.kind = 'execution' AND lanes.session_id = e.session_id";

/// Looks up what seems not to have been done.
pub(super) async fn finished_before(
    client: &impl GenericClient,
    batch: &[Conclusion],
    mut finished: Vec<Finished>,
) -> Result<Vec<Finished>, StoreError> {
    let failed = StoreError::query("executions.finished_before");
    let mut columns = Columns::default();
    for (conclusion, finished) in batch.iter().zip(&finished) {
        if *finished == Finished::Not {
            columns.push(conclusion);
        }
    }
    if columns.execution_id.is_empty() {
        return Ok(finished);
    }
    let statement = client.prepare_cached(FINISHED_BEFORE).await.map_err(&failed)?;
    let asked: [&(dyn ToSql + Sync); 3] =
        [&columns.execution_id, &columns.status, &columns.finished_at];
    for row in client.query(&statement, &asked).await.map_err(&failed)? {
        let id: Uuid = row.get("id");
        let found = batch.iter().position(|conclusion| conclusion.execution_id.0 == id);
        if let Some(finished) = found.and_then(|position| finished.get_mut(position)) {
            let (more, reply_to) = (row.get::<_, i32>("queued") > 0, row.get("reply_to"));
            *finished = Finished::Done { more, reply_to };
        }
    }
    Ok(finished)
}

/// A batch as the statement takes it: an array for each column.
#[derive(Default)]
struct Columns<'a> {
    session_id: Vec<Uuid>,
    token: Vec<Uuid>,
    execution_id: Vec<Uuid>,
    status: Vec<&'static str>,
    finished_at: Vec<DateTime<Utc>>,
    normalized_query: Vec<Option<&'a str>>,
    agent_response: Vec<Option<&'a str>>,
    error_code: Vec<Option<&'a str>>,
    error_message: Vec<Option<&'a str>>,
    tokens_used: Vec<Option<i64>>,
    cost_usd: Vec<Option<f64>>,
    llm_calls: Vec<Json<&'a [LlmCall]>>,
    delivery_id: Vec<Option<Uuid>>,
    agent_variation: Vec<Option<&'a str>>,
    gives_way: Vec<bool>,
    events_due: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, conclusion: &'a Conclusion) {
        let Conclusion { lease, execution_id, finish } = conclusion;
        let (status, response, code, message) = match &finish.outcome {
            Outcome::Success { response, .. } => ("success", Some(response.as_str()), None, None),
            Outcome::Failed { code, message } => {
                ("failed", None, Some(*code), Some(message.as_str()))
            }
            Outcome::Timeout => {
                ("timeout", None, Some("timeout"), Some("the agent did not answer in time"))
            }
            Outcome::Cancelled { code, message } => {
                ("cancelled", None, Some(*code), Some(message.as_str()))
            }
        };
        let delivers = matches!(finish.outcome, Outcome::Success { deliver: true, .. });
        self.session_id.push(lease.session_id.0);
        self.token.push(lease.token);
        self.execution_id.push(execution_id.0);
        self.status.push(status);
        self.finished_at.push(finish.finished_at);
        self.normalized_query.push(finish.normalized_query.as_deref());
        self.agent_response.push(response);
        self.error_code.push(code);
        self.error_message.push(message);
        self.tokens_used.push(finish.totals.tokens);
        self.cost_usd.push(finish.totals.cost_usd);
        self.llm_calls.push(Json(&finish.llm_calls));
        self.delivery_id.push(delivers.then(|| DeliveryId::of(*execution_id).0));
        self.agent_variation.push(finish.variation.as_deref());
        self.gives_way.push(finish.gives_way);
        self.events_due.push(finish.events_due);
    }

    /// In the order of the statement.
    fn parameters(&self) -> [&(dyn ToSql + Sync); 16] {
        [
            &self.session_id,
            &self.token,
            &self.execution_id,
            &self.status,
            &self.finished_at,
            &self.normalized_query,
            &self.agent_response,
            &self.error_code,
            &self.error_message,
            &self.tokens_used,
            &self.cost_usd,
            &self.llm_calls,
            &self.delivery_id,
            &self.agent_variation,
            &self.gives_way,
            &self.events_due,
        ]
    }
}

fn done(row: &Row) -> Finished {
    let reply_to: Option<Vec<String>> = row.get("reply_to");
    Finished::Done { more: row.get::<_, i32>("n_left") > 0, reply_to: reply_to.unwrap_or_default() }
}
