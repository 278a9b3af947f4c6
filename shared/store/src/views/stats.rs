//! How a tenant's triggers are doing, at a bounded price.

use chrono::{DateTime, Utc};
use recado_types::TenantId;

use crate::{Store, StoreError};

/// How many executions are looked at.
const MAX_EXECUTIONS: i64 = 10_000;

const TRIGGERS: &str = "\
-- views.stats
SELECT trigger_type, count(*) AS total, count(*) FILTER (WHERE enabled) AS enabled
  FROM triggers WHERE tenant_id = $1 AND deleted_at IS NULL
 GROUP BY trigger_type";

/// Walks `executions_by_tenant` backwards and stops when it has seen enough: the price does not grow
/// with the table. What sub-agents did is part of what they were asked in, and what people said in
/// an agent's place is no execution.
const EXECUTIONS: &str = "\
-- views.stats
SELECT status, count(*) AS n_executions, min(created_at) AS since
  FROM (SELECT status, created_at FROM executions
         WHERE tenant_id = $1 AND parent_execution_id IS NULL AND author IS NULL
         ORDER BY created_at DESC, id DESC LIMIT $2) newest
 GROUP BY status";

/// How many triggers of a type a tenant has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerCounts {
    /// The type.
    pub trigger_type: String,
    /// All that were not deleted.
    pub total: i64,
    /// Those of them that take messages.
    pub enabled: i64,
}

/// How many executions stand where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCount {
    /// Where.
    pub status: String,
    /// How many.
    pub n_executions: i64,
    /// When the oldest of them was admitted.
    pub since: DateTime<Utc>,
}

/// How a tenant's triggers are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Its triggers, by type.
    pub triggers: Vec<TriggerCounts>,
    /// Its newest executions, by status.
    pub executions: Vec<StatusCount>,
    /// The most executions that are counted; the newest ones are.
    pub max_executions: i64,
}

/// Counts triggers and their newest executions.
pub async fn stats(store: &Store, tenant: TenantId) -> Result<Stats, StoreError> {
    let failed = StoreError::query("views.stats");
    let client = store.client("views.stats").await?;
    let statement = client.prepare_cached(TRIGGERS).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0]).await.map_err(&failed)?;
    let triggers = rows.iter().map(|row| TriggerCounts {
        trigger_type: row.get("trigger_type"),
        total: row.get("total"),
        enabled: row.get("enabled"),
    });
    let triggers = triggers.collect();

    let statement = client.prepare_cached(EXECUTIONS).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0, &MAX_EXECUTIONS]).await.map_err(&failed)?;
    let count = |row: &tokio_postgres::Row| StatusCount {
        status: row.get("status"),
        n_executions: row.get("n_executions"),
        since: row.get("since"),
    };
    Ok(Stats {
        triggers,
        executions: rows.iter().map(count).collect(),
        max_executions: MAX_EXECUTIONS,
    })
}
