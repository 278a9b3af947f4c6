//! Lanes: one session's queue in front of one kind of work. ARCHITECTURE.md explains them.
//!
//! Finishing is part of the statements that write the work down (`executions.finish`,
//! `deliveries.record`, …); here is what all kinds share.
//!
//! Time is the database's: a lease has to mean the same to every instance, however their clocks
//! differ.
//!
//! Whoever locks several rows locks lanes before anything else, and lanes in the order of their
//! sessions: two that lock in different orders wait for each other.

mod backlog;

use std::collections::HashSet;
use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use recado_types::SessionId;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::metrics::LANES_WAITED_SECONDS;
use crate::{Store, StoreError};

pub(crate) use backlog::MAX_COUNTED;
pub use backlog::{Backlog, BacklogOf, backlog};

/// A kind of work that sessions queue for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneKind {
    /// Running the agent.
    Execution,
    /// Sending its answer.
    Delivery,
}

impl LaneKind {
    /// As stored, and as a label in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Delivery => "delivery",
        }
    }
}

/// The right to work one lane until it runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Whose lane.
    pub session_id: SessionId,
    /// What tells this claim from every other.
    pub token: Uuid,
}

/// Whether what was written under a lease was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a lost lease means that somebody else works here now"]
pub enum Held {
    /// It was.
    Yes,
    /// Nothing was: the lease ran out, and somebody else may be at work.
    No,
}

impl Held {
    pub(crate) fn from_count(n_lanes: i64) -> Self {
        if n_lanes == 0 { Self::No } else { Self::Yes }
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 1_000_000)
}

/// Any number; it only has to be the same in every process that claims under a cap.
const CAP_LOCK: i64 = 0x6361_7073;

/// One claims under a cap at a time, and counts what the one before leased: two that count at the
/// same moment would both fill what is left.
const LOCK_CAPS: &str = "\
-- lanes.lock_caps
SELECT pg_advisory_xact_lock($1)";

/// Execution lanes only; those of deliveries are claimed by `deliveries.claim`.
///
/// Takes from all tenants in turn: the next lane is that of the tenant who has the fewest, leased
/// and chosen together, and of its lanes the one that waits longest.
///
/// Each tenant is found by one step in `lanes_due` and gives twice the limit at most, so that the
/// price depends on how many tenants wait and not on how many lanes. The second half is for those
/// who claim at the same moment: they skip what is locked here. That the candidates are named a
/// second time, as an array, is for the planner: it then looks them up instead of reading all lanes.
///
/// What is read with this has to be read by a statement of its own: a statement that does both
/// would lock the newest version of a lane (READ COMMITTED rechecks the rows it locks) but read the
/// lane's work as it was before, and run again what had just been finished.
const CLAIM: &str = "\
-- lanes.claim
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
), candidates AS MATERIALIZED (
    SELECT due.session_id, due.next_run_at, busy.n_leased + due.place AS turn
      FROM tenants,
           LATERAL (SELECT count(*) FILTER (WHERE lanes.next_run_at > now()) AS n_leased
                      FROM lanes
                     WHERE lanes.kind = 'execution' AND lanes.tenant_id = tenants.tenant_id
                       AND lanes.lease_token IS NOT NULL) busy,
           LATERAL (SELECT oldest.*, row_number() OVER (ORDER BY oldest.next_run_at) AS place
                      FROM (SELECT lanes.session_id, lanes.next_run_at FROM lanes
                             WHERE lanes.kind = 'execution' AND lanes.tenant_id = tenants.tenant_id
                               AND lanes.next_run_at <= now()
                             ORDER BY lanes.next_run_at
                             LIMIT least(2 * $1::bigint,
                                         greatest($3::bigint - busy.n_leased, 0))) oldest) due
     ORDER BY turn, due.next_run_at LIMIT 2 * $1::bigint
), chosen AS MATERIALIZED (
    SELECT lanes.session_id, lanes.next_run_at AS due_at
      FROM candidates
      JOIN lanes ON lanes.kind = 'execution' AND lanes.session_id = candidates.session_id
     WHERE lanes.session_id = ANY (ARRAY(SELECT session_id FROM candidates))
       AND lanes.next_run_at <= now()
     ORDER BY candidates.turn, candidates.next_run_at
     LIMIT $1 FOR UPDATE OF lanes SKIP LOCKED
)
UPDATE lanes
   SET next_run_at = now() + $2::bigint * interval '1 millisecond',
       lease_token = gen_random_uuid()
  FROM chosen
 WHERE lanes.kind = 'execution' AND lanes.session_id = chosen.session_id
RETURNING lanes.session_id, lanes.lease_token,
          extract(epoch FROM now() - chosen.due_at)::double precision AS waited_s";

/// In the order of the sessions, as everywhere.
const RENEW: &str = "\
-- lanes.renew
WITH held AS MATERIALIZED (
    SELECT lanes.session_id
      FROM unnest($2::uuid[], $3::uuid[]) AS asked (session_id, token)
      JOIN lanes ON lanes.kind = $1 AND lanes.session_id = asked.session_id
                AND lanes.lease_token = asked.token
     ORDER BY lanes.session_id FOR UPDATE OF lanes
)
UPDATE lanes SET next_run_at = now() + $4::bigint * interval '1 millisecond'
  FROM held
 WHERE lanes.kind = $1 AND lanes.session_id = held.session_id
RETURNING lanes.lease_token";

/// In the order of the sessions, as everywhere.
const RELEASE: &str = "\
-- lanes.release
WITH held AS MATERIALIZED (
    SELECT lanes.session_id
      FROM unnest($2::uuid[], $3::uuid[]) AS asked (session_id, token)
      JOIN lanes ON lanes.kind = $1 AND lanes.session_id = asked.session_id
                AND lanes.lease_token = asked.token
     ORDER BY lanes.session_id FOR UPDATE OF lanes
)
UPDATE lanes
   SET next_run_at = now() + $4::bigint * interval '1 millisecond', lease_token = NULL
  FROM held
 WHERE lanes.kind = $1 AND lanes.session_id = held.session_id";

const LOCK: &str = "\
-- lanes.lock
SELECT session_id FROM lanes
 WHERE kind = 'execution' AND session_id = ANY ($1) ORDER BY session_id FOR UPDATE";

/// Whether it is parked is asked of the newest version, in SET: a condition in WHERE would be
/// asked of the version that the statement sees first, and pass over a lane that is being parked.
const WAKE: &str = "\
-- lanes.wake
WITH locked AS MATERIALIZED (
    SELECT session_id FROM lanes
     WHERE kind = 'execution' AND session_id = ANY ($1) ORDER BY session_id FOR UPDATE
)
UPDATE lanes
   SET next_run_at = CASE WHEN lease_token IS NULL AND queued > 0
                          THEN least(next_run_at, now()) ELSE next_run_at END
  FROM locked
 WHERE lanes.kind = 'execution' AND lanes.session_id = locked.session_id";

/// Leases up to `limit` execution lanes that may run, from all tenants in turn, the longest waiting
/// first; no tenant then has more than `tenant_cap` of them.
///
/// The cap holds for those who claim in transactions: the next one counts when this one's ends.
pub(crate) async fn claim(
    client: &impl GenericClient,
    limit: usize,
    lease: Duration,
    tenant_cap: i64,
) -> Result<Vec<Lease>, StoreError> {
    let failed = StoreError::query("lanes.claim");
    let lock = client.prepare_cached(LOCK_CAPS).await.map_err(&failed)?;
    client.execute(&lock, &[&CAP_LOCK]).await.map_err(&failed)?;
    let statement = client.prepare_cached(CLAIM).await.map_err(&failed)?;
    // Twice the limit has to be a number, too.
    let limit = i64::from(u32::try_from(limit).unwrap_or(u32::MAX));
    let rows =
        client.query(&statement, &[&limit, &millis(lease), &tenant_cap]).await.map_err(&failed)?;
    note_waits(LaneKind::Execution, &rows);
    let leases = rows.iter().map(|row| Lease {
        session_id: SessionId(row.get("session_id")),
        token: row.get("lease_token"),
    });
    Ok(leases.collect())
}

/// Counts how long lanes that were just claimed had been due.
pub(crate) fn note_waits(kind: LaneKind, claimed: &[Row]) {
    let waited = LANES_WAITED_SECONDS.with_label_values(&[kind.as_str()]);
    for row in claimed {
        waited.observe(row.get::<_, f64>("waited_s").max(0.0));
    }
}

/// Locks the execution lanes of these sessions, where they have one: until the transaction ends,
/// nobody writes down anything that they did in them.
pub(crate) async fn lock(
    transaction: &Transaction<'_>,
    sessions: &[Uuid],
) -> Result<(), StoreError> {
    let failed = StoreError::query("lanes.lock");
    let statement = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    transaction.query(&statement, &[&sessions]).await.map_err(&failed)?;
    Ok(())
}

/// Makes the execution lanes of these sessions due, where they are parked. Whoever works one sees
/// by itself what has changed: it parks under the same lock (see [`crate::control`]).
pub(crate) async fn wake(
    transaction: &Transaction<'_>,
    sessions: &[Uuid],
) -> Result<(), StoreError> {
    let failed = StoreError::query("lanes.wake");
    let statement = transaction.prepare_cached(WAKE).await.map_err(&failed)?;
    transaction.execute(&statement, &[&sessions]).await.map_err(&failed)?;
    Ok(())
}

/// The lease of a session among those just claimed.
pub(crate) fn lease_of(leases: &[Lease], session: SessionId) -> Option<Lease> {
    leases.iter().copied().find(|lease| lease.session_id == session)
}

/// A lane that counts work which is not there: a bug, or a hand in the database. It stays leased,
/// and is looked at again when the lease runs out.
pub(crate) fn complain_of_empty(kind: LaneKind, n_claimed: usize, found: usize) {
    if found < n_claimed {
        let kind = kind.as_str();
        tracing::error!(lane.kind = kind, n_claimed, n_found = found, "lanes without work");
    }
}

/// Extends the leases that are still held by `lease`, and answers those that are not.
pub async fn renew(
    store: &Store,
    kind: LaneKind,
    leases: &[Lease],
    lease: Duration,
) -> Result<Vec<Lease>, StoreError> {
    let failed = StoreError::query("lanes.renew");
    let client = store.client("lanes.renew").await?;
    let statement = client.prepare_cached(RENEW).await.map_err(&failed)?;
    let sessions: Vec<Uuid> = leases.iter().map(|lease| lease.session_id.0).collect();
    let tokens: Vec<Uuid> = leases.iter().map(|lease| lease.token).collect();
    let kind = kind.as_str();
    let rows = client.query(&statement, &[&kind, &sessions, &tokens, &millis(lease)]).await;
    let kept: HashSet<Uuid> =
        rows.map_err(&failed)?.iter().map(|row| row.get("lease_token")).collect();
    Ok(leases.iter().copied().filter(|lease| !kept.contains(&lease.token)).collect())
}

/// Gives lanes back with their heads still to be done, to be claimed again after `pause`.
pub async fn release(
    store: &Store,
    kind: LaneKind,
    leases: &[Lease],
    pause: Duration,
) -> Result<(), StoreError> {
    let failed = StoreError::query("lanes.release");
    let client = store.client("lanes.release").await?;
    let statement = client.prepare_cached(RELEASE).await.map_err(&failed)?;
    let sessions: Vec<Uuid> = leases.iter().map(|lease| lease.session_id.0).collect();
    let tokens: Vec<Uuid> = leases.iter().map(|lease| lease.token).collect();
    let (kind, pause) = (kind.as_str(), millis(pause));
    client.execute(&statement, &[&kind, &sessions, &tokens, &pause]).await.map_err(&failed)?;
    Ok(())
}

/// Gives back lanes whose heads could not be read, after a pause that lets others go first. If this
/// fails too, their leases run out.
pub(crate) async fn give_up(store: &Store, kind: LaneKind, leases: &[Lease]) {
    if let Err(error) = release(store, kind, leases, Duration::from_secs(1)).await {
        let (error, kind) = (&error as &dyn std::error::Error, kind.as_str());
        tracing::debug!(error, lane.kind = kind, "claimed lanes wait for their leases to run out");
    }
}
