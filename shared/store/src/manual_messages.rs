//! What people say in an agent's place.
//!
//! It is written down as an execution that ended well when it began, with the text as its answer:
//! so it has its place in the session, is delivered like any other answer, and the agent remembers
//! it as something that was said to the user. Nobody is told: the worker finds a lane that is due
//! within its next poll.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{AgentId, DeliveryId, ExecutionId, MessageId, SessionId, TenantId, TriggerId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{Store, StoreError};

/// None of it ever changes but the trigger. In the session of a sub-agent nobody listens, whatever
/// the trigger says. The session is held, so that housekeeping does not remove it meanwhile: before
/// the lane, as housekeeping does.
const PLACE: &str = "\
-- manual_messages.place
SELECT s.trigger_id, s.agent_id, t.deleted_at IS NOT NULL AS is_deleted,
       coalesce(t.trigger_config #>> '{execution,callback}',
                t.trigger_config #>> '{email,smtp}') IS NOT NULL
       AND coalesce((SELECT parent_execution_id FROM executions
                      WHERE session_id = s.id AND finished_at IS NOT NULL
                      ORDER BY seq LIMIT 1),
                    (SELECT parent_execution_id FROM executions
                      WHERE session_id = s.id AND finished_at IS NULL
                      ORDER BY seq LIMIT 1)) IS NULL AS has_callback
  FROM sessions s JOIN triggers t ON t.id = s.trigger_id
 WHERE s.tenant_id = $1 AND s.id = $2
   FOR KEY SHARE OF s";

/// Before the executions, as everybody does; and before the place in the session is taken, so that
/// two people who write at the same moment are delivered in the order of their places. Makes sure
/// that there is a lane, too: the update changes nothing, and locks.
const LOCK_LANE: &str = "\
-- manual_messages.lock_lane
INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued)
VALUES ('delivery', $1, $2, $3, 0)
ON CONFLICT (kind, session_id) DO UPDATE SET queued = lanes.queued";

/// Where to is said by the last message of the session.
const CONTEXT: &str = "\
-- manual_messages.context
SELECT coalesce(
           (SELECT id FROM messages
             WHERE tenant_id = $1 AND session_id = $2 AND execution_id IS NULL
             ORDER BY seq DESC LIMIT 1),
           (SELECT coalesce(context_from, message_ids[cardinality(message_ids)])
              FROM ((SELECT seq, context_from, message_ids FROM executions
                      WHERE session_id = $2 AND finished_at IS NULL
                        AND (context_from IS NOT NULL OR message_ids <> '{}')
                      ORDER BY seq DESC LIMIT 1)
                     UNION ALL
                    (SELECT seq, context_from, message_ids FROM executions
                      WHERE session_id = $2 AND finished_at IS NOT NULL
                        AND (context_from IS NOT NULL OR message_ids <> '{}')
                      ORDER BY seq DESC LIMIT 1)) newest
             ORDER BY seq DESC LIMIT 1)) AS message_id";

/// Housekeeping removes a message under the lock of its execution, unless something that is on its
/// way needs it: whoever has this lock, and finds the message afterwards, keeps it.
const HOLD_CONTEXT: &str = "\
-- manual_messages.hold_context
SELECT id FROM executions WHERE id = (SELECT execution_id FROM messages WHERE id = $1)
   FOR KEY SHARE";

const SAY: &str = "\
-- manual_messages.say
WITH said AS (
    INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq, message_ids,
                            separator, status, created_at, started_at, finished_at,
                            normalized_query, agent_response, author, context_from)
    SELECT $1, $2, $3, $4, $5, nextval('messages_seq_seq'), '{}', '', 'success', $6, $6, $6, '',
           $7, $8, context.id
      FROM messages context WHERE context.id = $10
    RETURNING id, tenant_id, trigger_id, session_id, seq
), delivery AS (
    INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq, status,
                            created_at, requested_at)
    SELECT $9, tenant_id, id, trigger_id, session_id, seq, 'pending', $6, $6 FROM said
)
UPDATE lanes
   SET queued = queued + 1, next_run_at = coalesce(next_run_at, now()), trigger_id = $3
  FROM said
 WHERE lanes.kind = 'delivery' AND lanes.session_id = $5";

/// What somebody says.
#[derive(Clone, Copy, Debug)]
pub struct ManualMessage<'m> {
    /// The id it gets as an execution: a fresh one.
    pub id: ExecutionId,
    /// What.
    pub text: &'m str,
    /// Who.
    pub author: &'m str,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// It is in the session's lane.
    Queued {
        /// Its delivery.
        delivery_id: DeliveryId,
    },
    /// The session's trigger was deleted.
    TriggerDeleted,
    /// There is nowhere to send it to.
    NoCallback,
    /// The message that says where to is not kept any longer.
    Removed,
    /// The tenant has no such session.
    NotFound,
}

/// Says something to the user of a session, behind all that was said so far: whether an agent may
/// answer in it or not.
pub async fn say(
    store: &Store,
    tenant: TenantId,
    session: SessionId,
    message: &ManualMessage<'_>,
    now: DateTime<Utc>,
) -> Result<Saying, StoreError> {
    let failed = StoreError::query("manual_messages.say");
    let mut client = store.client("manual_messages.say").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let place = transaction.prepare_cached(PLACE).await.map_err(&failed)?;
    let row = transaction.query_opt(&place, &[&tenant.0, &session.0]).await.map_err(&failed)?;
    let Some(row) = row else { return Ok(Saying::NotFound) };
    if row.get("is_deleted") {
        return Ok(Saying::TriggerDeleted);
    }
    if !row.get::<_, bool>("has_callback") {
        return Ok(Saying::NoCallback);
    }
    let (trigger, agent) = parties(&row);
    let lock = transaction.prepare_cached(LOCK_LANE).await.map_err(&failed)?;
    transaction.execute(&lock, &[&session.0, &tenant.0, &trigger.0]).await.map_err(&failed)?;
    let Some(context) = hold_context(&transaction, tenant, session).await? else {
        // Waited for: a claim passes over a lane that is still locked.
        transaction.rollback().await.map_err(&failed)?;
        return Ok(Saying::Removed);
    };
    let delivery_id = DeliveryId::of(message.id);
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &message.id.0,
        &tenant.0,
        &trigger.0,
        &agent.0,
        &session.0,
        &now,
        &message.text,
        &message.author,
        &delivery_id.0,
        &context.0,
    ];
    let say = transaction.prepare_cached(SAY).await.map_err(&failed)?;
    if transaction.execute(&say, &parameters).await.map_err(&failed)? == 0 {
        transaction.rollback().await.map_err(&failed)?;
        return Ok(Saying::Removed);
    }
    transaction.commit().await.map_err(&failed)?;
    Ok(Saying::Queued { delivery_id })
}

/// The message that says where to, which is kept from now on unless it is gone already.
async fn hold_context(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    session: SessionId,
) -> Result<Option<MessageId>, StoreError> {
    let failed = StoreError::query("manual_messages.context");
    let context = transaction.prepare_cached(CONTEXT).await.map_err(&failed)?;
    let row = transaction.query_one(&context, &[&tenant.0, &session.0]).await.map_err(&failed)?;
    let Some(message) = row.get::<_, Option<Uuid>>("message_id") else { return Ok(None) };
    let hold = transaction.prepare_cached(HOLD_CONTEXT).await.map_err(&failed)?;
    transaction.execute(&hold, &[&message]).await.map_err(&failed)?;
    Ok(Some(MessageId(message)))
}

fn parties(row: &Row) -> (TriggerId, AgentId) {
    (TriggerId(row.get("trigger_id")), AgentId(row.get("agent_id")))
}
