//! Lanes: one session's queue in front of one kind of work. ARCHITECTURE.md explains them.
//!
//! Finishing is part of the statements that write the work down (`executions.finish`,
//! `deliveries.record`, …); here is what all kinds share.
//!
//! Time is the database's: a lease has to mean the same to every instance, however their clocks
//! differ.

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
   SET next_run_at = now() + $3::bigint * interval '1 millisecond', lease_token = $4
  FROM due
 WHERE lanes.kind = $1 AND lanes.session_id = due.session_id
RETURNING lanes.session_id";

const RENEW: &str = "\
-- lanes.renew
WITH held AS (SELECT * FROM unnest($2::uuid[], $3::uuid[]) AS held (session_id, token))
UPDATE lanes SET next_run_at = now() + $4::bigint * interval '1 millisecond'
  FROM held
 WHERE lanes.kind = $1 AND lanes.session_id = held.session_id AND lanes.lease_token = held.token
RETURNING lanes.session_id";

const RELEASE: &str = "\
-- lanes.release
UPDATE lanes SET next_run_at = now() + $4::bigint * interval '1 millisecond', lease_token = NULL
 WHERE kind = $1 AND session_id = $2 AND lease_token = $3";

const BACKLOG: &str = "\
-- lanes.backlog
SELECT count(*) AS n_lanes,
       coalesce(extract(epoch FROM now() - min(next_run_at)), 0)::double precision AS oldest_s
  FROM lanes WHERE kind = $1 AND next_run_at <= now()";

/// Leases up to `limit` lanes that may run, the longest waiting first, under one `token`.
pub(crate) async fn claim(
    client: &Client,
    kind: LaneKind,
    limit: usize,
    lease: Duration,
    token: Uuid,
) -> Result<Vec<Uuid>, StoreError> {
    let failed = StoreError::query("lanes.claim");
    let statement = client.prepare_cached(CLAIM).await.map_err(&failed)?;
    let (kind, limit) = (kind.as_str(), i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = client.query(&statement, &[&kind, &limit, &millis(lease), &token]).await;
    Ok(rows.map_err(&failed)?.iter().map(|row| row.get("session_id")).collect())
}

/// A lane that counts work which is not there: a bug, or a hand in the database. It stays leased,
/// and is looked at again when the lease runs out.
pub(crate) fn complain_of_empty(kind: LaneKind, claimed: &[Uuid], found: usize) {
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
    let kept: Vec<Uuid> = rows.map_err(&failed)?.iter().map(|row| row.get(0)).collect();
    Ok(leases.iter().copied().filter(|lease| !kept.contains(&lease.session_id.0)).collect())
}

/// Gives a lane back with its head still to be done, to be claimed again after `pause`.
pub async fn release(
    store: &Store,
    kind: LaneKind,
    lease: &Lease,
    pause: Duration,
) -> Result<(), StoreError> {
    let failed = StoreError::query("lanes.release");
    let client = store.client("lanes.release").await?;
    let statement = client.prepare_cached(RELEASE).await.map_err(&failed)?;
    let (kind, session) = (kind.as_str(), lease.session_id.0);
    let pause = millis(pause);
    client.execute(&statement, &[&kind, &session, &lease.token, &pause]).await.map_err(&failed)?;
    Ok(())
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
