//! Taking the next execution of sessions that have one.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::start::{Claimed, History, START};
use crate::lanes::{self, LaneKind, Lease, millis};
use crate::{Store, StoreError};

const GIVE_BACK: &str = "\
-- executions.give_back
WITH lane AS (
    UPDATE lanes
       SET next_run_at = now() + $4::bigint * interval '1 millisecond', lease_token = NULL
     WHERE kind = 'execution' AND session_id = $1 AND lease_token = $2
    RETURNING session_id
)
UPDATE executions SET attempt_count = attempt_count - 1, events_due = NOT $5
  FROM lane WHERE executions.id = $3";

/// How many executions are started at a time: all their texts are in memory at once.
const STARTS_AT_ONCE: usize = 32;
/// How long claims go on after each other before what was claimed is worked: it is leased already.
const CLAIMING: Duration = Duration::from_secs(1);
/// How long reading what was claimed may take, well below any lease.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// How long an execution rests that cannot be read.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(30);

/// Claims up to `limit` executions for `lease`, each with its session's `history`. One session has
/// one at a time, and one tenant not more than `tenant_slots`, all runners together.
pub async fn claim(
    store: &Store,
    limit: usize,
    lease: Duration,
    tenant_slots: usize,
    history: History,
) -> Result<Vec<Claimed>, StoreError> {
    let begun = Instant::now();
    let mut claimed = Vec::new();
    while claimed.len() < limit && begun.elapsed() < CLAIMING {
        let wanted = (limit - claimed.len()).min(STARTS_AT_ONCE);
        match claim_some(store, wanted, lease, tenant_slots, history).await {
            Ok(some) => {
                let n_claimed = some.len();
                claimed.extend(some);
                if n_claimed < wanted {
                    break;
                }
            }
            // What was claimed before is worked; whoever claims next meets the error again.
            Err(_) if !claimed.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}

/// Two statements in one transaction: the second one has a snapshot of its own, taken when the
/// lanes are locked, so it sees all that those did who had them before.
async fn claim_some(
    store: &Store,
    limit: usize,
    lease: Duration,
    tenant_slots: usize,
    history: History,
) -> Result<Vec<Claimed>, StoreError> {
    let failed = StoreError::query("executions.claim");
    let tenant_slots = i64::try_from(tenant_slots).unwrap_or(i64::MAX);
    let mut client = store.client("executions.claim").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let leases = lanes::claim(&transaction, limit, lease, tenant_slots).await?;
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    match timeout(START_PATIENCE, start(&transaction, &leases, history)).await {
        Ok(Ok(claimed)) => {
            transaction.commit().await.map_err(&failed)?;
            Ok(claimed)
        }
        Ok(Err(error)) if error.is_transient() => Err(error),
        // Nothing is leased. Were it not for this, the same lanes would be tried again and again,
        // and one that cannot be read would keep all others waiting.
        _unreadable => {
            drop(transaction);
            drop(client);
            claim_one_by_one(store, limit, lease, tenant_slots, history).await
        }
    }
}

/// Claims like the others, but starts each lane by itself. Those that cannot be read rest.
async fn claim_one_by_one(
    store: &Store,
    limit: usize,
    lease: Duration,
    tenant_slots: i64,
    history: History,
) -> Result<Vec<Claimed>, StoreError> {
    let failed = StoreError::query("executions.claim");
    let mut client = store.client("executions.claim").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let leases = lanes::claim(&transaction, limit, lease, tenant_slots).await?;
    transaction.commit().await.map_err(&failed)?;
    let (mut claimed, mut unreadable) = (Vec::new(), Vec::new());
    for lease in leases {
        let alone = std::slice::from_ref(&lease);
        match timeout(START_PATIENCE, start(&client, alone, history)).await {
            Ok(Ok(started)) => claimed.extend(started),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(session.id = %lease.session_id, error, "an execution cannot be read");
                unreadable.push(lease);
            }
            Err(_elapsed) => {
                tracing::error!(session.id = %lease.session_id, "an execution takes too long to read");
                unreadable.push(lease);
            }
        }
    }
    drop(client);
    lanes::release(store, LaneKind::Execution, &unreadable, UNREADABLE_PAUSE).await?;
    Ok(claimed)
}

async fn start(
    client: &impl GenericClient,
    leases: &[Lease],
    history: History,
) -> Result<Vec<Claimed>, StoreError> {
    let failed = StoreError::query("executions.start");
    let sessions: Vec<Uuid> = leases.iter().map(|lease| lease.session_id.0).collect();
    let statement = client.prepare_cached(START).await.map_err(&failed)?;
    let (turns, bytes) = (i64::from(history.turns), i64::from(history.bytes));
    let rows = client.query(&statement, &[&sessions, &turns, &bytes]).await;
    let rows = rows.map_err(&failed)?;
    lanes::complain_of_empty(LaneKind::Execution, leases.len(), rows.len());
    Ok(rows.iter().filter_map(|row| Claimed::from_row(row, leases)).collect())
}

/// Gives an execution back that could not be run for want of a server, to be claimed again after
/// `pause`. It does not count as an attempt. `is_told` says whether everything that happened in it
/// was told; if not, whoever takes it up again tells all of it.
pub async fn give_back(
    store: &Store,
    claimed: &Claimed,
    pause: Duration,
    is_told: bool,
) -> Result<(), StoreError> {
    let failed = StoreError::query("executions.give_back");
    let client = store.client("executions.give_back").await?;
    let statement = client.prepare_cached(GIVE_BACK).await.map_err(&failed)?;
    let Lease { session_id, token } = claimed.lease;
    client
        .execute(
            &statement,
            &[&session_id.0, &token, &claimed.execution_id.0, &millis(pause), &is_told],
        )
        .await
        .map_err(&failed)?;
    Ok(())
}
