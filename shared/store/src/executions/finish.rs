//! Writing down, in one statement, everything an execution led to.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use recado_types::DeliveryId;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use super::journal::{LlmCall, insert_llm_calls};
use super::start::{Claimed, Parent, ToolCallStatus};
use crate::{Store, StoreError};

/// Nothing is written unless the lease is still held, and then all of it is: the result, the model
/// calls that are not in the journal, the delivery with its place in the session's delivery lane,
/// and the lane's next run.
///
/// A run that gives way to newer messages (`$15`) does not end if there are any.
///
/// The delivery's place is its execution's, or behind what the session has on its way: what a
/// person says while the agent is at work has a later place, may be half sent by now, and is not
/// interrupted. As in `redeliver.requeue`, the time decides between equal places. One step at the
/// end of `deliveries_unfinished` finds it.
const FINISH: &str = concat!(
    "\
-- executions.finish
WITH lane AS (
    UPDATE lanes
       SET queued = queued - 1, lease_token = NULL,
           next_run_at = CASE WHEN queued > 1 THEN now() END
     WHERE kind = 'execution' AND session_id = $1 AND lease_token = $2
       AND NOT ($15 AND EXISTS (
                SELECT FROM executions newer, executions own
                 WHERE own.id = $3 AND newer.session_id = $1 AND newer.seq > own.seq
                   AND newer.finished_at IS NULL AND newer.cancel_requested_at IS NULL))
    RETURNING session_id, queued
), finished AS (
    UPDATE executions
       SET status = $4, finished_at = greatest($5::timestamptz, started_at), normalized_query = $6,
           agent_response = $7, error_code = $8, error_message = $9,
           tokens_used = $10, cost_usd = $11, agent_variation = $14, events_due = $16
      FROM lane
     WHERE executions.id = $3
    RETURNING executions.id, executions.tenant_id, executions.trigger_id, executions.session_id,
              executions.seq, executions.reply_to
), calls AS (
    ",
    insert_llm_calls!("$12", "finished"),
    "
), delivery AS (
    INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                            status, created_at, requested_at)
    SELECT $13, finished.tenant_id, finished.id, finished.trigger_id, finished.session_id,
           greatest(finished.seq, last.seq), 'pending', $5,
           greatest($5, last.requested_at + interval '1 microsecond')
      FROM finished
      LEFT JOIN LATERAL (SELECT waiting.seq, waiting.requested_at FROM deliveries waiting
                          WHERE waiting.session_id = finished.session_id
                            AND waiting.finished_at IS NULL
                          ORDER BY waiting.seq DESC, waiting.requested_at DESC LIMIT 1) last
             ON true
     WHERE $13::uuid IS NOT NULL
    RETURNING session_id, tenant_id, trigger_id
), delivery_lane AS (
    INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued, next_run_at)
    SELECT 'delivery', session_id, tenant_id, trigger_id, 1, now() FROM delivery
    ON CONFLICT (kind, session_id) DO UPDATE
       SET queued = lanes.queued + 1, trigger_id = excluded.trigger_id,
           next_run_at = coalesce(lanes.next_run_at, excluded.next_run_at)
)
SELECT lane.queued AS n_left, finished.reply_to FROM lane LEFT JOIN finished USING (session_id)"
);

/// Both lanes that a sub-agent's end touches, in the order in which everybody locks lanes.
const LOCK_LANES: &str = "\
-- executions.lock_lanes
SELECT session_id FROM lanes WHERE kind = 'execution' AND session_id = ANY ($1)
 ORDER BY session_id FOR UPDATE";

/// Answers the call that a sub-agent was for, and wakes whoever made it: in the place in the
/// tenant's queue that it had, since its time is running. What the sub-agent waited for people is
/// taken off that time, up to all that has passed. A caller whose lane is leased will see the answer
/// before it parks (`control.park`).
const ANSWER_PARENT: &str = "\
-- executions.answer_parent
WITH answered AS (
    UPDATE tool_calls
       SET status = $2, output = $3, error_message = $4, duration_ms = $5, finished_at = $6
     WHERE id = $1 AND status = 'delegated'
    RETURNING execution_id
), parent AS (
    UPDATE executions
       SET paused_ms = least(
               executions.paused_ms
               + coalesce((SELECT paused_ms FROM executions child WHERE child.id = $7), 0),
               (extract(epoch FROM now() - executions.started_at) * 1000)::bigint)
      FROM answered
     WHERE executions.id = answered.execution_id
    RETURNING executions.session_id, executions.created_at
)
UPDATE lanes SET next_run_at = least(now(), parent.created_at)
  FROM parent
 WHERE lanes.kind = 'execution' AND lanes.session_id = parent.session_id
   AND lanes.lease_token IS NULL AND lanes.queued > 0";

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The agent answered.
    Success {
        /// What it said.
        response: String,
        /// Whether somebody waits for it at a callback.
        deliver: bool,
    },
    /// It could not answer.
    Failed {
        /// A stable code.
        code: &'static str,
        /// What an admin can do about it; no internals, no secrets.
        message: String,
    },
    /// It took longer than the trigger allows.
    Timeout,
    /// It was told to end.
    Cancelled {
        /// A stable code: `cancelled`, `session_handed_off`.
        code: &'static str,
        /// By whom, for an admin.
        message: String,
    },
}

/// What all calls of an execution came to, those in the journal included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// As far as the providers counted; `None` if they never did.
    pub tokens: Option<i64>,
    /// As far as there are prices; `None` if there are none.
    pub cost_usd: Option<f64>,
}

/// What a sub-agent's caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentAnswer {
    /// Which call it is.
    pub parent: Parent,
    /// What the caller's model reads.
    pub output: String,
    /// Why there is no answer.
    pub error_message: Option<String>,
    /// How long it took.
    pub duration_ms: i64,
}

/// Everything an execution led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// How it ended.
    pub outcome: Outcome,
    /// What the agent was asked, for the history; `None` if even that cannot be kept.
    pub normalized_query: Option<String>,
    /// The form of the agent that answered, if it got that far.
    pub variation: Option<String>,
    /// The calls it made that are not in the journal.
    pub llm_calls: Vec<LlmCall>,
    /// What all calls came to.
    pub totals: Totals,
    /// Whether it has to give way if newer messages wait.
    pub gives_way: bool,
    /// Whether somebody is to be told of its last events in any case.
    pub events_due: bool,
    /// For a sub-agent.
    pub parent_answer: Option<ParentAnswer>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

impl Finish {
    /// An end without anything else to write down.
    pub fn new(outcome: Outcome, normalized_query: &str, finished_at: DateTime<Utc>) -> Self {
        Self {
            outcome,
            normalized_query: Some(normalized_query.to_owned()),
            variation: None,
            llm_calls: Vec::new(),
            totals: Totals::default(),
            gives_way: false,
            events_due: false,
            parent_answer: None,
            finished_at,
        }
    }
}

/// What became of the attempt to end an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a lost lease means that somebody else works here now"]
pub enum Finished {
    /// It is ended.
    Done {
        /// Whether another execution waits in its lane.
        more: bool,
        /// The reply queues of those who wait for its end.
        reply_to: Vec<String>,
    },
    /// Nothing was written: the lease ran out, and somebody else may run it; or it has to give way.
    Not,
}

/// Ends an execution, if the lease is still held.
pub async fn finish(
    store: &Store,
    claimed: &Claimed,
    finish: &Finish,
) -> Result<Finished, StoreError> {
    let operation = "executions.finish";
    let mut client = store.client(operation).await?;
    let Some(answer) = &finish.parent_answer else {
        return write(&client, claimed, finish).await;
    };
    let failed = StoreError::query(operation);
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK_LANES).await.map_err(&failed)?;
    let lanes = vec![claimed.session_id.0, answer.parent.session_id.0];
    transaction.execute(&lock, &[&lanes]).await.map_err(&failed)?;
    let finished = write(&transaction, claimed, finish).await?;
    if matches!(finished, Finished::Done { .. }) {
        answer_parent(&transaction, claimed, finish, answer).await?;
    }
    transaction.commit().await.map_err(&failed)?;
    Ok(finished)
}

async fn write(
    client: &impl GenericClient,
    claimed: &Claimed,
    finish: &Finish,
) -> Result<Finished, StoreError> {
    let failed = StoreError::query("executions.finish");
    let (status, response, code, message) = match &finish.outcome {
        Outcome::Success { response, .. } => ("success", Some(response.as_str()), None, None),
        Outcome::Failed { code, message } => ("failed", None, Some(*code), Some(message.as_str())),
        Outcome::Timeout => {
            ("timeout", None, Some("timeout"), Some("the agent did not answer in time"))
        }
        Outcome::Cancelled { code, message } => {
            ("cancelled", None, Some(*code), Some(message.as_str()))
        }
    };
    let delivers = matches!(finish.outcome, Outcome::Success { deliver: true, .. });
    let delivery_id = delivers.then(|| DeliveryId::of(claimed.execution_id).0);
    let parameters: [&(dyn ToSql + Sync); 16] = [
        &claimed.lease.session_id.0,
        &claimed.lease.token,
        &claimed.execution_id.0,
        &status,
        &finish.finished_at,
        &finish.normalized_query,
        &response,
        &code,
        &message,
        &finish.totals.tokens,
        &finish.totals.cost_usd,
        &Json(&finish.llm_calls),
        &delivery_id,
        &finish.variation,
        &finish.gives_way,
        &finish.events_due,
    ];
    let statement = client.prepare_cached(FINISH).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &parameters).await.map_err(&failed)?;
    Ok(row.as_ref().map_or(Finished::Not, done_from_row))
}

async fn answer_parent(
    transaction: &Transaction<'_>,
    claimed: &Claimed,
    finish: &Finish,
    answer: &ParentAnswer,
) -> Result<(), StoreError> {
    let failed = StoreError::query("executions.answer_parent");
    let status = match answer.error_message {
        None => ToolCallStatus::Success,
        Some(_) => ToolCallStatus::Error,
    };
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &answer.parent.tool_call_id.0,
        &status.as_str(),
        &answer.output,
        &answer.error_message,
        &answer.duration_ms,
        &finish.finished_at,
        &claimed.execution_id.0,
    ];
    let statement = transaction.prepare_cached(ANSWER_PARENT).await.map_err(&failed)?;
    transaction.execute(&statement, &parameters).await.map_err(&failed)?;
    Ok(())
}

fn done_from_row(row: &Row) -> Finished {
    let reply_to: Option<Vec<String>> = row.get("reply_to");
    Finished::Done { more: row.get::<_, i32>("n_left") > 0, reply_to: reply_to.unwrap_or_default() }
}
