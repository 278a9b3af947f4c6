//! First answers to requests with an `Idempotency-Key`, which are good for a day.

use chrono::{DateTime, TimeDelta, Utc};

use super::STATEMENT_ROWS;
use crate::{Store, StoreError};

/// How long they are kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

const REMOVE: &str = "\
-- retention.remove_old_requests
DELETE FROM idempotent_requests
 WHERE (tenant_id, key) IN
       (SELECT tenant_id, key FROM idempotent_requests
         WHERE created_at < $1 ORDER BY created_at LIMIT $2
           FOR UPDATE SKIP LOCKED)";

/// Removes the oldest of those that are too old, whosever they are. Answers how many, and whether
/// that was all.
pub async fn remove_old_requests(
    store: &Store,
    now: DateTime<Utc>,
) -> Result<(u64, bool), StoreError> {
    let failed = StoreError::query("retention.remove_old_requests");
    let client = store.client("retention.remove_old_requests").await?;
    let statement = client.prepare_cached(REMOVE).await.map_err(&failed)?;
    let limit = i64::try_from(STATEMENT_ROWS).unwrap_or(i64::MAX);
    let n_rows = client.execute(&statement, &[&(now - KEPT), &limit]).await.map_err(&failed)?;
    Ok((n_rows, usize::try_from(n_rows).is_ok_and(|n_rows| n_rows < STATEMENT_ROWS)))
}
