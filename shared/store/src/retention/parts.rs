//! What hangs on executions: calls, deliveries, messages, context windows.
//!
//! What hangs on one is looked up for each of them by itself, and then named by an array: so the
//! planner has no reason to read a whole table, whatever it believes to be in there.

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::executions::Chosen;
use super::{Removed, STATEMENT_ROWS, Step, execute};
use crate::StoreError;

/// A statement that removes or empties up to `$2` rows of what `$1` names.
struct Sweep {
    table: &'static str,
    operation: &'static str,
    statement: &'static str,
    of: Of,
}

/// How many context windows an execution may have begun; it has far fewer iterations.
const MAX_WINDOWS: i64 = 1_000;

/// What `$1` names.
#[derive(Clone, Copy)]
enum Of {
    Executions,
    Deliveries,
}

const EMPTY_LLM_CALLS: &str = "\
-- retention.empty_llm_calls
UPDATE llm_calls SET response = NULL
 WHERE id = ANY (ARRAY(
           SELECT part.id FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT id FROM llm_calls
                            WHERE execution_id = done.id
                              AND (response IS NOT NULL)
                            LIMIT $2) part
            LIMIT $2))";

const EMPTY_TOOL_CALLS: &str = "\
-- retention.empty_tool_calls
UPDATE tool_calls SET input = 'null', output = NULL
 WHERE id = ANY (ARRAY(
           SELECT part.id FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT id FROM tool_calls
                            WHERE execution_id = done.id
                              AND (output IS NOT NULL OR input::text <> 'null')
                            LIMIT $2) part
            LIMIT $2))";

const EMPTY_ATTEMPTS: &str = "\
-- retention.empty_attempts
UPDATE attempts SET response_body = NULL
 WHERE ctid = ANY (ARRAY(
           SELECT part.ctid FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT ctid FROM attempts
                            WHERE delivery_id = done.id
                              AND (response_body IS NOT NULL)
                            LIMIT $2) part
            LIMIT $2))";

/// Nobody else touches the chunks of a delivery that has ended, so they stay where they are.
const EMPTY_CHUNKS: &str = "\
-- retention.empty_chunks
UPDATE chunks SET body = ''
 WHERE ctid = ANY (ARRAY(
           SELECT part.ctid FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT ctid FROM chunks
                            WHERE delivery_id = done.id
                              AND (body <> '')
                            LIMIT $2) part
            LIMIT $2))";

const DELETE_LLM_CALLS: &str = "\
-- retention.delete_llm_calls
DELETE FROM llm_calls
 WHERE id = ANY (ARRAY(
           SELECT part.id FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT id FROM llm_calls
                            WHERE execution_id = done.id
                            LIMIT $2) part
            LIMIT $2))";

const DELETE_TOOL_CALLS: &str = "\
-- retention.delete_tool_calls
DELETE FROM tool_calls
 WHERE id = ANY (ARRAY(
           SELECT part.id FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT id FROM tool_calls
                            WHERE execution_id = done.id
                            LIMIT $2) part
            LIMIT $2))";

const DELETE_ATTEMPTS: &str = "\
-- retention.delete_attempts
DELETE FROM attempts
 WHERE ctid = ANY (ARRAY(
           SELECT part.ctid FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT ctid FROM attempts
                            WHERE delivery_id = done.id
                            LIMIT $2) part
            LIMIT $2))";

const DELETE_CHUNKS: &str = "\
-- retention.delete_chunks
DELETE FROM chunks
 WHERE ctid = ANY (ARRAY(
           SELECT part.ctid FROM unnest($1::uuid[]) AS done (id),
                  LATERAL (SELECT ctid FROM chunks
                            WHERE delivery_id = done.id
                            LIMIT $2) part
            LIMIT $2))";

/// An execution has one delivery.
const DELETE_DELIVERIES: &str = "\
-- retention.delete_deliveries
DELETE FROM deliveries WHERE id = ANY ($1)";

/// One that was moved to another execution is that one's.
const DELETE_MESSAGES: &str = "\
-- retention.delete_messages
DELETE FROM messages WHERE id = ANY ($1) AND execution_id = ANY ($2)";

const EMPTY_MESSAGES: &str = "\
-- retention.empty_messages
UPDATE messages SET payload = NULL
 WHERE id = ANY ($1) AND execution_id = ANY ($2) AND payload IS NOT NULL";

/// The windows themselves stay: the latest one of a session says where its history begins, however
/// old it is.
const EMPTY_WINDOWS: &str = "\
-- retention.empty_windows
UPDATE context_windows SET summary = NULL
 WHERE id = ANY (ARRAY(
           SELECT part.id FROM unnest($1::uuid[], $2::uuid[]) AS done (session_id, execution_id),
                  LATERAL (SELECT id FROM context_windows w
                            WHERE w.session_id = done.session_id
                              AND w.execution_id = done.execution_id AND w.summary IS NOT NULL
                            LIMIT $3) part))";

/// All but the latest of a session, which goes with the session.
const DELETE_WINDOWS: &str = "\
-- retention.delete_windows
DELETE FROM context_windows
 WHERE id = ANY (ARRAY(
           SELECT part.id FROM unnest($1::uuid[], $2::uuid[]) AS done (session_id, execution_id),
                  LATERAL (SELECT id FROM context_windows w
                            WHERE w.session_id = done.session_id
                              AND w.execution_id = done.execution_id
                              AND EXISTS (SELECT FROM context_windows later
                                           WHERE later.session_id = w.session_id
                                             AND later.sequence > w.sequence)
                            LIMIT $3) part))";

const CALL_BODIES: &[Sweep] = &[
    sweep("llm_calls", "retention.empty_llm_calls", EMPTY_LLM_CALLS, Of::Executions),
    sweep("tool_calls", "retention.empty_tool_calls", EMPTY_TOOL_CALLS, Of::Executions),
    sweep("attempts", "retention.empty_attempts", EMPTY_ATTEMPTS, Of::Deliveries),
];

/// What was said stands in what went to models, too.
const TEXTS: &[Sweep] = &[
    sweep("llm_calls", "retention.empty_llm_calls", EMPTY_LLM_CALLS, Of::Executions),
    sweep("tool_calls", "retention.empty_tool_calls", EMPTY_TOOL_CALLS, Of::Executions),
    sweep("attempts", "retention.empty_attempts", EMPTY_ATTEMPTS, Of::Deliveries),
    sweep("chunks", "retention.empty_chunks", EMPTY_CHUNKS, Of::Deliveries),
];

const EVERYTHING: &[Sweep] = &[
    sweep("llm_calls", "retention.delete_llm_calls", DELETE_LLM_CALLS, Of::Executions),
    sweep("tool_calls", "retention.delete_tool_calls", DELETE_TOOL_CALLS, Of::Executions),
    sweep("attempts", "retention.delete_attempts", DELETE_ATTEMPTS, Of::Deliveries),
    sweep("chunks", "retention.delete_chunks", DELETE_CHUNKS, Of::Deliveries),
];

const fn sweep(
    table: &'static str,
    operation: &'static str,
    statement: &'static str,
    of: Of,
) -> Sweep {
    Sweep { table, operation, statement, of }
}

/// Removes up to [`STATEMENT_ROWS`] of each kind that `step` takes from the chosen executions.
/// Answers whether that was all.
pub(super) async fn remove(
    transaction: &Transaction<'_>,
    step: Step,
    chosen: &Chosen,
    removed: &mut Removed,
) -> Result<bool, StoreError> {
    if chosen.ids.is_empty() {
        return Ok(true);
    }
    let sweeps = match step {
        Step::CallBodies => CALL_BODIES,
        Step::Texts => TEXTS,
        Step::Everything => EVERYTHING,
    };
    for sweep in sweeps {
        if run(transaction, sweep, chosen, removed).await? == STATEMENT_ROWS {
            // What hangs on these goes before them.
            return Ok(false);
        }
    }
    if step == Step::Everything {
        let operation = "retention.delete_deliveries";
        let n_rows =
            execute(transaction, operation, DELETE_DELIVERIES, &[&chosen.deliveries]).await?;
        removed.add("deliveries", n_rows);
    }
    remove_messages(transaction, step, chosen, removed).await?;
    remove_windows(transaction, step, chosen, removed).await?;
    Ok(true)
}

async fn run(
    transaction: &Transaction<'_>,
    sweep: &Sweep,
    chosen: &Chosen,
    removed: &mut Removed,
) -> Result<usize, StoreError> {
    let ids = match sweep.of {
        Of::Executions => &chosen.ids,
        Of::Deliveries => &chosen.deliveries,
    };
    if ids.is_empty() {
        return Ok(0);
    }
    let limit = i64::try_from(STATEMENT_ROWS).unwrap_or(i64::MAX);
    let parameters: [&(dyn ToSql + Sync); 2] = [ids, &limit];
    let n_rows = execute(transaction, sweep.operation, sweep.statement, &parameters).await?;
    removed.add(sweep.table, n_rows);
    Ok(usize::try_from(n_rows).unwrap_or(usize::MAX))
}

/// An execution has few messages: as many as a window may hold, and those that were handed on.
async fn remove_messages(
    transaction: &Transaction<'_>,
    step: Step,
    chosen: &Chosen,
    removed: &mut Removed,
) -> Result<(), StoreError> {
    let (operation, statement) = match step {
        Step::CallBodies => ("retention.empty_messages", EMPTY_MESSAGES),
        Step::Texts | Step::Everything => ("retention.delete_messages", DELETE_MESSAGES),
    };
    for some in chosen.messages.chunks(STATEMENT_ROWS) {
        let parameters: [&(dyn ToSql + Sync); 2] = [&some, &chosen.ids];
        removed.add("messages", execute(transaction, operation, statement, &parameters).await?);
    }
    Ok(())
}

async fn remove_windows(
    transaction: &Transaction<'_>,
    step: Step,
    chosen: &Chosen,
    removed: &mut Removed,
) -> Result<(), StoreError> {
    if step == Step::CallBodies {
        return Ok(());
    }
    let limit = MAX_WINDOWS;
    let parameters: [&(dyn ToSql + Sync); 3] = [&chosen.sessions, &chosen.ids, &limit];
    let operation = "retention.empty_windows";
    let n_emptied = execute(transaction, operation, EMPTY_WINDOWS, &parameters).await?;
    removed.add("context_windows", n_emptied);
    if step == Step::Everything {
        let operation = "retention.delete_windows";
        execute(transaction, operation, DELETE_WINDOWS, &parameters).await?;
    }
    Ok(())
}
