//! How much has something to do that nobody does.

use chrono::{DateTime, Utc};

use crate::lanes::MAX_COUNTED;
use crate::{Store, StoreError};

/// In `sources_due`, the longest due of each kind first. What is to be done "at once" has no time
/// since when; it is counted all the same.
const BACKLOG: &str = "\
-- sources.backlog
SELECT count(*) AS n_due,
       greatest(coalesce(extract(epoch FROM $1 - min(due.due_at)
                                 FILTER (WHERE due.due_at > '-infinity')), 0),
                0)::double precision AS oldest_s
  FROM (VALUES ('schedule'), ('db_event'), ('imap')) AS kinds (kind),
       LATERAL (SELECT sources.due_at FROM sources
                 WHERE sources.kind = kinds.kind AND sources.due_at <= $1
                   AND (sources.leased_until IS NULL OR sources.leased_until <= now())
                 ORDER BY sources.due_at LIMIT $2) due";

/// What waits to be claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// How many sources; of a kind, 10,000 stands for more, too.
    pub n_due: i64,
    /// How long the oldest has waited, in seconds.
    pub oldest_s: f64,
}

/// Counts the sources that have something to do at `now` and that nobody holds.
pub async fn backlog(store: &Store, now: DateTime<Utc>) -> Result<Backlog, StoreError> {
    let failed = StoreError::query("sources.backlog");
    let client = store.client("sources.backlog").await?;
    let statement = client.prepare_cached(BACKLOG).await.map_err(&failed)?;
    let row = client.query_one(&statement, &[&now, &MAX_COUNTED]).await.map_err(&failed)?;
    Ok(Backlog { n_due: row.get("n_due"), oldest_s: row.get("oldest_s") })
}
