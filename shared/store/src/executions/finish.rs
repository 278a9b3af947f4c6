//! Writing down, in one statement, everything an execution led to.

use chrono::{DateTime, Utc};
use recado_types::{DeliveryId, LlmCallId};
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::Claimed;
use crate::{Store, StoreError};

/// Nothing is written unless the lease is still held, and then all of it is: the result, the model
/// calls, the delivery with its place in the session's delivery lane, and the lane's next run.
const FINISH: &str = "\
-- executions.finish
WITH lane AS (
    UPDATE lanes
       SET queued = queued - 1, lease_token = NULL,
           next_run_at = CASE WHEN queued > 1 THEN now() END
     WHERE kind = 'execution' AND session_id = $1 AND lease_token = $2
    RETURNING session_id, queued
), finished AS (
    UPDATE executions
       SET status = $4, finished_at = greatest($5::timestamptz, started_at), normalized_query = $6,
           agent_response = $7, error_code = $8, error_message = $9,
           tokens_used = $10, cost_usd = $11
      FROM lane
     WHERE executions.id = $3
    RETURNING executions.id, executions.tenant_id, executions.trigger_id, executions.session_id,
              executions.seq, executions.reply_to
), calls AS (
    INSERT INTO llm_calls (id, tenant_id, execution_id, iteration, provider, model, input_tokens,
                           output_tokens, cached_input_tokens, cost_usd, response_time_ms,
                           finish_reason, created_at)
    SELECT call.id, finished.tenant_id, finished.id, call.iteration, call.provider, call.model,
           call.input_tokens, call.output_tokens, call.cached_input_tokens, call.cost_usd,
           call.response_time_ms, call.finish_reason, call.created_at
      FROM finished,
           json_to_recordset($12) AS call (
               id uuid, iteration integer, provider text, model text, input_tokens bigint,
               output_tokens bigint, cached_input_tokens bigint, cost_usd double precision,
               response_time_ms bigint, finish_reason text, created_at timestamptz)
), delivery AS (
    INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                            status, created_at)
    SELECT $13, tenant_id, id, trigger_id, session_id, seq, 'pending', $5
      FROM finished WHERE $13::uuid IS NOT NULL
    RETURNING session_id
), delivery_lane AS (
    INSERT INTO lanes (kind, session_id, queued, next_run_at)
    SELECT 'delivery', session_id, 1, now() FROM delivery
    ON CONFLICT (kind, session_id) DO UPDATE
       SET queued = lanes.queued + 1,
           next_run_at = coalesce(lanes.next_run_at, excluded.next_run_at)
)
SELECT lane.queued AS n_left, finished.reply_to FROM lane LEFT JOIN finished USING (session_id)";

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
}

/// One call of a model.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LlmCall {
    /// Its id; the idempotency key that the provider was given.
    pub id: LlmCallId,
    /// Which turn of the loop it was, from 1.
    pub iteration: i32,
    /// The provider's name.
    pub provider: String,
    /// The model's name at that provider.
    pub model: String,
    /// What the provider counted, where it did.
    pub input_tokens: Option<i64>,
    /// What the provider counted, where it did.
    pub output_tokens: Option<i64>,
    /// What the provider counted, where it did.
    pub cached_input_tokens: Option<i64>,
    /// From the provider's price table, where it has the model.
    pub cost_usd: Option<f64>,
    /// How long it took.
    pub response_time_ms: i64,
    /// Why the model stopped, in the provider's words.
    pub finish_reason: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// Everything an execution led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// How it ended.
    pub outcome: Outcome,
    /// What the agent was asked, for the history; `None` if even that cannot be kept.
    pub normalized_query: Option<String>,
    /// The calls it made.
    pub llm_calls: Vec<LlmCall>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
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
    /// Nothing was written: the lease ran out, and somebody else may run it.
    Lost,
}

/// Ends an execution, if the lease is still held.
pub async fn finish(
    store: &Store,
    claimed: &Claimed,
    finish: &Finish,
) -> Result<Finished, StoreError> {
    let operation = "executions.finish";
    let failed = StoreError::query(operation);
    let (status, response, code, message) = match &finish.outcome {
        Outcome::Success { response, .. } => ("success", Some(response.as_str()), None, None),
        Outcome::Failed { code, message } => ("failed", None, Some(*code), Some(message.as_str())),
        Outcome::Timeout => {
            ("timeout", None, Some("timeout"), Some("the agent did not answer in time"))
        }
    };
    let delivers = matches!(finish.outcome, Outcome::Success { deliver: true, .. });
    let delivery_id = delivers.then(|| DeliveryId::of(claimed.execution_id).0);
    let calls = &finish.llm_calls;
    let tokens: Option<i64> =
        sum(calls, |call| call.input_tokens?.checked_add(call.output_tokens?));
    let cost: Option<f64> = sum(calls, |call| call.cost_usd);

    let client = store.client(operation).await?;
    let statement = client.prepare_cached(FINISH).await.map_err(&failed)?;
    let row = client
        .query_opt(
            &statement,
            &[
                &claimed.lease.session_id.0,
                &claimed.lease.token,
                &claimed.execution_id.0,
                &status,
                &finish.finished_at,
                &finish.normalized_query,
                &response,
                &code,
                &message,
                &tokens,
                &cost,
                &Json(calls),
                &delivery_id,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(row.as_ref().map_or(Finished::Lost, done_from_row))
}

fn done_from_row(row: &Row) -> Finished {
    let reply_to: Option<Vec<String>> = row.get("reply_to");
    Finished::Done { more: row.get::<_, i32>("n_left") > 0, reply_to: reply_to.unwrap_or_default() }
}

/// The sum of what is known; `None` if nothing is.
fn sum<N: std::iter::Sum>(calls: &[LlmCall], of: impl Fn(&LlmCall) -> Option<N>) -> Option<N> {
    let known: Vec<N> = calls.iter().filter_map(of).collect();
    (!known.is_empty()).then(|| known.into_iter().sum())
}
