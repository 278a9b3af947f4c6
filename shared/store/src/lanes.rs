//! Lanes: one session's queue in front of one kind of work. ARCHITECTURE.md explains them.
//!
//! Finishing is part of the statements that write the work down (`executions.finish`,
//! `deliveries.record`, …); here is what all kinds share.
//!
//! Time is the database's: a lease has to mean the same to every instance, however their clocks
//! differ.

use std::collections::HashSet;
use std::time::Duration;

use deadpool_postgres::Object as Client;
use recado_types::SessionId;
use uuid::Uuid;

use crate::{Store, StoreError};

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

/// A statement of its own, which commits before the head of a lane is read: a statement that does
/// both would lock the newest version of a lane (READ COMMITTED rechecks the rows it locks) but
/// read the lane's work as it was before, and run again what had just been finished.
const CLAIM: &str = "\
-- lanes.claim
WITH due AS MATERIALIZED (
    SELECT session_id FROM lanes
     WHERE kind = $1 AND next_run_at <= now()
     ORDER BY next_run_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE lanes
   SET next_run_at = now() + $3::bigint * interval '1 millisecond',
       lease_token = gen_random_uuid()
  FROM due
 WHERE lanes.kind = $1 AND lanes.session_id = due.session_id
RETURNING lanes.session_id, lanes.lease_token";

/// Locks in the order of the sessions, as `executions.admit` does: two that lock in different
/// orders wait for each other.
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

const RELEASE: &str = "\
-- lanes.release
UPDATE lanes SET next_run_at = now() + $3::bigint * interval '1 millisecond', lease_token = NULL
 WHERE kind = $1 AND lease_token = ANY ($2) AND session_id = ANY ($4)";

const BACKLOG: &str = "\
-- lanes.backlog
SELECT count(*) AS n_lanes,
       coalesce(extract(epoch FROM now() - min(next_run_at)), 0)::double precision AS oldest_s
  FROM lanes WHERE kind = $1 AND next_run_at <= now()";

/// Leases up to `limit` lanes that may run, the longest waiting first.
pub(crate) async fn claim(
    client: &Client,
    kind: LaneKind,
    limit: usize,
    lease: Duration,
) -> Result<Vec<Lease>, StoreError> {
    let failed = StoreError::query("lanes.claim");
    let statement = client.prepare_cached(CLAIM).await.map_err(&failed)?;
    let (kind, limit) = (kind.as_str(), i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = client.query(&statement, &[&kind, &limit, &millis(lease)]).await;
    let leases = rows.map_err(&failed)?;
    let leases = leases.iter().map(|row| Lease {
        session_id: SessionId(row.get("session_id")),
        token: row.get("lease_token"),
    });
    Ok(leases.collect())
}

/// The lease of a session among those just claimed.
pub(crate) fn lease_of(leases: &[Lease], session: SessionId) -> Option<Lease> {
    leases.iter().copied().find(|lease| lease.session_id == session)
}

/// A lane that counts work which is not there: a bug, or a hand in the database. It stays leased,
/// and is looked at again when the lease runs out.
pub(crate) fn complain_of_empty(kind: LaneKind, claimed: &[Lease], found: usize) {
    if found < claimed.len() {
        let (n_claimed, kind) = (claimed.len(), kind.as_str());
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
    let tokens: Vec<Uuid> = leases.iter().map(|lease| lease.token).collect();
    let sessions: Vec<Uuid> = leases.iter().map(|lease| lease.session_id.0).collect();
    let (kind, pause) = (kind.as_str(), millis(pause));
    client.execute(&statement, &[&kind, &tokens, &pause, &sessions]).await.map_err(&failed)?;
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

/// What waits to be claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// How many lanes.
    pub n_lanes: i64,
    /// How long the oldest has waited, in seconds.
    pub oldest_s: f64,
}

/// Counts the lanes that could run and do not.
pub async fn backlog(store: &Store, kind: LaneKind) -> Result<Backlog, StoreError> {
    let failed = StoreError::query("lanes.backlog");
    let client = store.client("lanes.backlog").await?;
    let statement = client.prepare_cached(BACKLOG).await.map_err(&failed)?;
    let row = client.query_one(&statement, &[&kind.as_str()]).await.map_err(&failed)?;
    Ok(Backlog { n_lanes: row.get("n_lanes"), oldest_s: row.get("oldest_s") })
}
