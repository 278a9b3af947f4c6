//! Writing down, in one statement, everything that executions led to.

mod write;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use recado_types::ExecutionId;
use tokio_postgres::types::ToSql;

use super::journal::LlmCall;
use super::start::{Claimed, Parent, ToolCallStatus};
use crate::lanes::Lease;
use crate::{Store, StoreError};

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

/// An execution's end, and the right to write it down.
#[derive(Clone, Debug)]
pub struct Conclusion {
    /// The right.
    pub lease: Lease,
    /// Which execution.
    pub execution_id: ExecutionId,
    /// How it ended. What it says to the caller of a sub-agent is told by [`finish`] alone.
    pub finish: Arc<Finish>,
}

impl Conclusion {
    /// The end of what was claimed.
    pub fn of(claimed: &Claimed, finish: Arc<Finish>) -> Self {
        Self { lease: claimed.lease, execution_id: claimed.execution_id, finish }
    }

    /// About how much of a statement it takes, in bytes.
    pub fn size(&self) -> usize {
        let Finish { outcome, normalized_query, llm_calls, .. } = &*self.finish;
        let outcome = match outcome {
            Outcome::Success { response, .. } => response.len(),
            Outcome::Failed { message, .. } | Outcome::Cancelled { message, .. } => message.len(),
            Outcome::Timeout => 0,
        };
        let calls: usize = llm_calls.iter().map(LlmCall::size).sum();
        size_of::<Finish>() + outcome + normalized_query.as_ref().map_or(0, String::len) + calls
    }
}

/// Ends an execution, if the lease is still held, and tells who waits for a sub-agent.
pub async fn finish(
    store: &Store,
    claimed: &Claimed,
    finish: &Finish,
) -> Result<Finished, StoreError> {
    let operation = "executions.finish";
    let mut client = store.client(operation).await?;
    let conclusion = Conclusion::of(claimed, Arc::new(finish.clone()));
    let Some(answer) = &finish.parent_answer else {
        return write_one(&client, conclusion).await;
    };
    let failed = StoreError::query(operation);
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK_LANES).await.map_err(&failed)?;
    let lanes = vec![claimed.session_id.0, answer.parent.session_id.0];
    transaction.execute(&lock, &[&lanes]).await.map_err(&failed)?;
    let finished = write_one(&transaction, conclusion).await?;
    if matches!(finished, Finished::Done { .. }) {
        answer_parent(&transaction, claimed, finish, answer).await?;
    }
    transaction.commit().await.map_err(&failed)?;
    Ok(finished)
}

/// Ends executions that are nobody's sub-agents, all or none, and answers in their order what became
/// of each. A batch in which one cannot be stored fails as a whole: the caller then has to repeat
/// them one by one.
pub async fn finish_all(store: &Store, batch: &[Conclusion]) -> Result<Vec<Finished>, StoreError> {
    let client = store.client("executions.finish").await?;
    write::write(&client, batch).await
}

/// Completes what [`finish_all`] answered after a try whose answer was lost: what that try has
/// written holds no lease any more, and is done all the same.
pub async fn finished_before(
    store: &Store,
    batch: &[Conclusion],
    finished: Vec<Finished>,
) -> Result<Vec<Finished>, StoreError> {
    let client = store.client("executions.finished_before").await?;
    write::finished_before(&client, batch, finished).await
}

async fn write_one(
    client: &impl GenericClient,
    conclusion: Conclusion,
) -> Result<Finished, StoreError> {
    let finished = write::write(client, &[conclusion]).await?;
    Ok(finished.into_iter().next().unwrap_or(Finished::Not))
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
