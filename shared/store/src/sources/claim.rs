//! Taking sources that have something to do.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use recado_types::{AgentId, ProjectId, TenantId, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{SourceKind, SourceLease};
use crate::lanes::millis;
use crate::tenants::OverQuota;
use crate::{Store, StoreError};

/// Those that were claimed keep their `due_at`, so that they are found again if the lease runs out;
/// there are never more of them in front of the others than are in work.
const CLAIM: &str = "\
-- sources.claim
WITH chosen AS MATERIALIZED (
    SELECT trigger_id FROM sources
     WHERE kind = $1 AND due_at <= $2 AND (leased_until IS NULL OR leased_until <= now())
       AND tenant_id <> ALL ($5)
     ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE sources
   SET lease_token = gen_random_uuid(),
       leased_until = now() + $4::bigint * interval '1 millisecond'
  FROM chosen
 WHERE sources.trigger_id = chosen.trigger_id
RETURNING sources.trigger_id, sources.lease_token, sources.since, sources.position,
          sources.failure_count";

/// In a statement of its own, for the reason given at `lanes.claim`.
const TRIGGERS: &str = "\
-- sources.triggers
SELECT triggers.id, triggers.tenant_id, triggers.project_id, triggers.agent_id,
       triggers.trigger_config, tenants.destination_hosts,
       tenants.over_quota, tenants.over_quota_until
  FROM triggers
  JOIN tenants ON tenants.id = triggers.tenant_id
 WHERE triggers.id = ANY ($1)";

/// Found in the index, whatever the number of sources.
const NEXT_DUE: &str = "\
-- sources.next_due
SELECT due_at FROM sources
 WHERE kind = $1 AND due_at > $2 ORDER BY due_at LIMIT 1";

/// A source that was claimed.
#[derive(Clone, Debug)]
pub struct ClaimedSource {
    /// The right to work it.
    pub lease: SourceLease,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where its trigger belongs.
    pub project_id: ProjectId,
    /// Whom its messages are for.
    pub agent_id: AgentId,
    /// The trigger's configuration.
    pub trigger_config: Value,
    /// Where it begins if there is no position.
    pub since: DateTime<Utc>,
    /// How far it got.
    pub position: Option<Value>,
    /// How often in a row it failed.
    pub failure_count: u32,
    /// Where the tenant lets connections go.
    pub destination_hosts: Vec<String>,
    /// Whether its tenant has used up a quota. The time may have passed.
    pub over_quota: Option<OverQuota>,
}

/// Claims up to `limit` sources of a kind that are due at `now`, for `lease`; none of the tenants
/// that have `enough`.
pub async fn claim(
    store: &Store,
    kind: SourceKind,
    now: DateTime<Utc>,
    limit: usize,
    lease: Duration,
    enough: &[TenantId],
) -> Result<Vec<ClaimedSource>, StoreError> {
    let failed = StoreError::query("sources.claim");
    let client = store.client("sources.claim").await?;
    let statement = client.prepare_cached(CLAIM).await.map_err(&failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let enough: Vec<Uuid> = enough.iter().map(|tenant| tenant.0).collect();
    let rows = client
        .query(&statement, &[&kind.as_str(), &now, &limit, &millis(lease), &enough])
        .await
        .map_err(&failed)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let triggers = triggers_of(&client, &rows).await?;
    let claimed = rows.iter().filter_map(|row| {
        let trigger = triggers.get(&row.get::<_, Uuid>("trigger_id"))?;
        Some(ClaimedSource::from_rows(row, trigger))
    });
    Ok(claimed.collect())
}

async fn triggers_of(client: &Object, rows: &[Row]) -> Result<HashMap<Uuid, Row>, StoreError> {
    let failed = StoreError::query("sources.triggers");
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get("trigger_id")).collect();
    let statement = client.prepare_cached(TRIGGERS).await.map_err(&failed)?;
    let triggers = client.query(&statement, &[&ids]).await.map_err(&failed)?;
    Ok(triggers.into_iter().map(|row| (row.get("id"), row)).collect())
}

impl ClaimedSource {
    fn from_rows(source: &Row, trigger: &Row) -> Self {
        let lease = SourceLease {
            trigger_id: TriggerId(source.get("trigger_id")),
            token: source.get("lease_token"),
        };
        let failure_count: i32 = source.get("failure_count");
        Self {
            lease,
            tenant_id: TenantId(trigger.get("tenant_id")),
            project_id: ProjectId(trigger.get("project_id")),
            agent_id: AgentId(trigger.get("agent_id")),
            trigger_config: trigger.get("trigger_config"),
            since: source.get("since"),
            position: source.get("position"),
            failure_count: u32::try_from(failure_count).unwrap_or_default(),
            destination_hosts: trigger.get("destination_hosts"),
            over_quota: OverQuota::from_row(trigger),
        }
    }
}

/// When the next source of a kind is due that is not yet at `now`.
pub async fn next_due(
    store: &Store,
    kind: SourceKind,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let failed = StoreError::query("sources.next_due");
    let client = store.client("sources.next_due").await?;
    let statement = client.prepare_cached(NEXT_DUE).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&kind.as_str(), &now]).await.map_err(&failed)?;
    Ok(row.map(|row| row.get("due_at")))
}
