//! Those who wait for an execution that was there before they asked for it.

use deadpool_postgres::Transaction;
use recado_messages::ExecutionRequested;
use recado_types::{ExecutionId, SessionId};
use tokio_postgres::Row;
use uuid::Uuid;

/// Adds reply queues to the executions that messages are in, and answers those whose execution
/// has ended, or ends while we ask: nobody else will tell them.
///
/// An execution has ten at most. The newest stay: one client asks again and again, by whichever
/// instance of ingress, and only the last of its requests is sure to be still there.
const WAIT: &str = "\
-- executions.wait
WITH asked AS MATERIALIZED (
    SELECT DISTINCT messages.execution_id, messages.session_id, asked.reply_to
      FROM unnest($1::uuid[], $2::text[]) AS asked (message_id, reply_to)
      JOIN messages ON messages.id = asked.message_id
     WHERE messages.execution_id IS NOT NULL
), unfinished AS (
    UPDATE executions
       SET reply_to = (asked.queues
                       || ARRAY(SELECT known.queue FROM unnest(executions.reply_to) known (queue)
                                 WHERE known.queue <> ALL (asked.queues)))[1:10]
      FROM (SELECT execution_id, array_agg(reply_to) AS queues
              FROM asked GROUP BY execution_id) asked
     WHERE executions.id = asked.execution_id AND executions.finished_at IS NULL
    RETURNING executions.id
)
SELECT execution_id, session_id, reply_to FROM asked
 WHERE NOT EXISTS (SELECT FROM unfinished WHERE unfinished.id = asked.execution_id)";

/// Somebody who waits for an execution that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Their reply queue.
    pub reply_to: String,
    /// The session of the execution.
    pub session_id: SessionId,
    /// The execution.
    pub execution_id: ExecutionId,
}

/// Has those who made `requests` wait for the executions that their messages are in, and answers
/// those who need not wait.
pub(super) async fn wait(
    transaction: &Transaction<'_>,
    requests: &[&ExecutionRequested],
) -> Result<Vec<Waiting>, tokio_postgres::Error> {
    let (mut messages, mut queues) = (Vec::new(), Vec::new());
    for request in requests {
        let Some(queue) = request.reply_to.as_deref() else { continue };
        messages.extend(request.messages.iter().map(|message| message.id.0));
        queues.resize(messages.len(), queue);
    }
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let statement = transaction.prepare_cached(WAIT).await?;
    let rows = transaction.query(&statement, &[&messages, &queues]).await?;
    Ok(rows.iter().map(waiting_from_row).collect())
}

fn waiting_from_row(row: &Row) -> Waiting {
    Waiting {
        reply_to: row.get("reply_to"),
        session_id: SessionId(row.get("session_id")),
        execution_id: ExecutionId(row.get::<_, Uuid>("execution_id")),
    }
}
