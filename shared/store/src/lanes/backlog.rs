//! How much waits to be claimed, for alerts and for whoever decides how many processes there are.
//!
//! What more processes could not work is not waiting for them: executions of tenants who have all
//! the slots that a tenant may have, and deliveries to destinations that do not answer. Of these
//! the one that is to be tried next waits, since the time it was to be tried: if nobody does, that
//! is to be noticed.

use super::LaneKind;
use crate::{Store, StoreError};

/// As in `lanes.claim`, one step in `lanes_due` finds each tenant. Of a tenant no more lanes are
/// counted than it has slots left, and no more than `$1` in all.
///
/// A slot that is free now may be one that is about to be taken: who has nearly all of its slots
/// waits for its own work, so how long that takes is no measure of the oldest either.
///
/// A sub-agent takes the place that its first ancestor had in the line, and so does a parent whose
/// sub-agent has answered (`executions.answer_parent`): there `next_run_at` says whose turn it is
/// and not since when anything waits, so these are no measure of the oldest. With them go the few
/// that waited for an approval: to tell them apart is not worth a look into their calls.
const BACKLOG_OF_EXECUTIONS: &str = "\
-- lanes.backlog_of_executions
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM lanes
      WHERE kind = 'execution' AND next_run_at IS NOT NULL
      ORDER BY tenant_id LIMIT 1)
     UNION ALL
    SELECT next.tenant_id
      FROM tenants,
           LATERAL (SELECT lanes.tenant_id FROM lanes
                     WHERE lanes.kind = 'execution' AND lanes.tenant_id > tenants.tenant_id
                       AND lanes.next_run_at IS NOT NULL
                     ORDER BY lanes.tenant_id LIMIT 1) next
), roomy AS MATERIALIZED (
    SELECT tenants.tenant_id, $2 - busy.n_leased AS n_left,
           busy.n_leased * 10 < $2 * 9 AS has_room
      FROM tenants,
           LATERAL (SELECT count(*) FILTER (WHERE lanes.next_run_at > now()) AS n_leased
                      FROM lanes
                     WHERE lanes.kind = 'execution' AND lanes.tenant_id = tenants.tenant_id
                       AND lanes.lease_token IS NOT NULL) busy
     WHERE busy.n_leased < $2
)
SELECT (SELECT count(*)
          FROM (SELECT FROM roomy,
                       LATERAL (SELECT FROM lanes
                                 WHERE lanes.kind = 'execution'
                                   AND lanes.tenant_id = roomy.tenant_id
                                   AND lanes.next_run_at <= now()
                                 LIMIT least($1, roomy.n_left)) one
                 LIMIT $1) counted) AS n_lanes,
       coalesce((SELECT extract(epoch FROM now() - min(oldest.next_run_at))
                   FROM roomy,
                        LATERAL (SELECT due.next_run_at
                                   FROM (SELECT lanes.session_id, lanes.next_run_at FROM lanes
                                          WHERE lanes.kind = 'execution'
                                            AND lanes.tenant_id = roomy.tenant_id
                                            AND lanes.next_run_at <= now()
                                          ORDER BY lanes.next_run_at LIMIT $1) due
                                  WHERE NOT EXISTS (
                                        SELECT FROM executions
                                         WHERE executions.session_id = due.session_id
                                           AND executions.finished_at IS NULL
                                           AND (executions.parent_execution_id IS NOT NULL
                                                OR executions.status = 'waiting'))
                                  ORDER BY due.next_run_at LIMIT 1) oldest
                  WHERE roomy.has_room),
                0)::double precision AS oldest_s";

/// The same in `lanes_due_deliveries`, by destination. One that is open has room for one delivery,
/// once its time has come, as in `deliveries.claim`.
const BACKLOG_OF_DELIVERIES: &str = "\
-- lanes.backlog_of_deliveries
WITH RECURSIVE waiting AS (
    (SELECT tenant_id, trigger_id, next_run_at FROM lanes
      WHERE kind = 'delivery' AND next_run_at IS NOT NULL
      ORDER BY tenant_id, trigger_id, next_run_at LIMIT 1)
     UNION ALL
    SELECT next.tenant_id, next.trigger_id, next.next_run_at
      FROM waiting,
           LATERAL (SELECT lanes.tenant_id, lanes.trigger_id, lanes.next_run_at FROM lanes
                     WHERE lanes.kind = 'delivery' AND lanes.next_run_at IS NOT NULL
                       AND (lanes.tenant_id, lanes.trigger_id)
                           > (waiting.tenant_id, waiting.trigger_id)
                     ORDER BY lanes.tenant_id, lanes.trigger_id, lanes.next_run_at LIMIT 1) next
), due AS MATERIALIZED (
    SELECT waiting.tenant_id, waiting.trigger_id,
           greatest(waiting.next_run_at, destinations.probe_at) AS since,
           CASE WHEN destinations.trigger_id IS NULL THEN $1::bigint ELSE 1 END AS room
      FROM waiting
      LEFT JOIN destinations ON destinations.trigger_id = waiting.trigger_id
     WHERE waiting.next_run_at <= now()
       AND (destinations.trigger_id IS NULL OR destinations.probe_at <= now())
)
SELECT (SELECT count(*)
          FROM (SELECT FROM due,
                       LATERAL (SELECT FROM lanes
                                 WHERE lanes.kind = 'delivery'
                                   AND lanes.tenant_id = due.tenant_id
                                   AND lanes.trigger_id = due.trigger_id
                                   AND lanes.next_run_at <= now()
                                 LIMIT due.room) one
                 LIMIT $1) counted) AS n_lanes,
       coalesce((SELECT extract(epoch FROM now() - min(since)) FROM due),
                0)::double precision AS oldest_s";

/// How many are counted before it is enough to say "many".
pub(crate) const MAX_COUNTED: i64 = 10_000;

/// Whose backlog is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogOf {
    /// Executions, of which one tenant has no more than so many at a time.
    Executions {
        /// What is given to [`crate::executions::claim`].
        tenant_slots: usize,
    },
    /// Deliveries.
    Deliveries,
}

impl BacklogOf {
    /// The lanes it is about.
    pub fn kind(self) -> LaneKind {
        match self {
            Self::Executions { .. } => LaneKind::Execution,
            Self::Deliveries => LaneKind::Delivery,
        }
    }
}

/// What waits to be claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// How many lanes; 10,000 stands for more, too.
    pub n_lanes: i64,
    /// How long the oldest has waited, in seconds.
    pub oldest_s: f64,
}

/// Counts the lanes that could run and do not.
pub async fn backlog(store: &Store, of: BacklogOf) -> Result<Backlog, StoreError> {
    let failed = StoreError::query("lanes.backlog");
    let client = store.client("lanes.backlog").await?;
    let row = match of {
        BacklogOf::Executions { tenant_slots } => {
            let statement = client.prepare_cached(BACKLOG_OF_EXECUTIONS).await.map_err(&failed)?;
            let tenant_slots = i64::try_from(tenant_slots).unwrap_or(i64::MAX);
            client.query_one(&statement, &[&MAX_COUNTED, &tenant_slots]).await
        }
        BacklogOf::Deliveries => {
            let statement = client.prepare_cached(BACKLOG_OF_DELIVERIES).await.map_err(&failed)?;
            client.query_one(&statement, &[&MAX_COUNTED]).await
        }
    };
    let row = row.map_err(&failed)?;
    Ok(Backlog { n_lanes: row.get("n_lanes"), oldest_s: row.get("oldest_s") })
}
