//! Giving the messages of a run that was interrupted to the one that interrupted it.

use recado_types::ExecutionId;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::finish::Finish;
use super::journal::insert_llm_calls;
use super::start::Claimed;
use crate::{Store, StoreError};

/// The only statement that moves a message from one execution to another: the first one ends
/// without a result, so each message is still in the input of one execution that counts. Who waited
/// for it waits for the other one.
///
/// The next execution cannot have begun: its lane is ours.
const SUPERSEDE: &str = concat!(
    "\
-- executions.supersede
WITH next AS MATERIALIZED (
    SELECT newer.id FROM executions newer, executions own
     WHERE own.id = $3 AND newer.session_id = $1 AND newer.seq > own.seq
       AND newer.finished_at IS NULL AND newer.cancel_requested_at IS NULL
     ORDER BY newer.seq LIMIT 1
), lane AS (
    UPDATE lanes SET queued = queued - 1, lease_token = NULL, next_run_at = now()
      FROM next
     WHERE kind = 'execution' AND session_id = $1 AND lease_token = $2
    RETURNING session_id
), old AS (
    SELECT executions.* FROM executions, lane WHERE executions.id = $3
), newer AS (
    SELECT next.id FROM next, lane
), merged AS (
    UPDATE executions
       SET message_ids = old.message_ids || executions.message_ids,
           reply_to = ARRAY(SELECT DISTINCT queue
                              FROM unnest(executions.reply_to || old.reply_to) queue LIMIT 10),
           supersede_count = old.supersede_count + 1
      FROM old, newer
     WHERE executions.id = newer.id
    RETURNING executions.id
), moved AS (
    UPDATE messages SET execution_id = merged.id
      FROM old, merged
     WHERE messages.id = ANY (old.message_ids)
), calls AS (
    ",
    insert_llm_calls!("$7", "old"),
    "
), ended AS (
    UPDATE executions
       SET status = 'cancelled', error_code = 'superseded', error_message = $5,
           finished_at = greatest($4::timestamptz, executions.started_at),
           normalized_query = $6, message_ids = '{}', superseded_by = merged.id,
           tokens_used = $8, cost_usd = $9, agent_variation = $10, events_due = $11
      FROM old, merged
     WHERE executions.id = old.id
    RETURNING executions.reply_to
)
SELECT merged.id, ended.reply_to FROM merged, ended"
);

/// What became of the attempt to give way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a run that did not give way has to end in another way"]
pub enum Superseded {
    /// The run has ended, and its messages are in another one.
    By {
        /// Which.
        newer: ExecutionId,
        /// The reply queues of those who waited for the end of this one.
        reply_to: Vec<String>,
    },
    /// Nobody interrupts, or the lease ran out.
    No,
}

/// Ends a run in favour of the next one of its session, if there is one and the lease is held.
///
/// Of `finish`, everything counts but the outcome: what was done in vain has its price, too.
pub async fn supersede(
    store: &Store,
    claimed: &Claimed,
    finish: &Finish,
) -> Result<Superseded, StoreError> {
    let failed = StoreError::query("executions.supersede");
    let client = store.client("executions.supersede").await?;
    let statement = client.prepare_cached(SUPERSEDE).await.map_err(&failed)?;
    let lease = claimed.lease;
    let reason = "a newer message came before the agent had answered";
    let input = finish.normalized_query.as_deref().unwrap_or_default();
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &lease.session_id.0,
        &lease.token,
        &claimed.execution_id.0,
        &finish.finished_at,
        &reason,
        &input,
        &Json(&finish.llm_calls),
        &finish.totals.tokens,
        &finish.totals.cost_usd,
        &finish.variation,
        &finish.events_due,
    ];
    let row = client.query_opt(&statement, &parameters).await.map_err(&failed)?;
    Ok(row.map_or(Superseded::No, |row| Superseded::By {
        newer: ExecutionId(row.get::<_, Uuid>("id")),
        reply_to: row.get("reply_to"),
    }))
}
