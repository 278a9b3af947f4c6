//! How a source is, for people.

use chrono::{DateTime, Utc};
use recado_types::{TenantId, TriggerId};
use serde_json::Value;

use crate::{Store, StoreError};

const FIND: &str = "\
-- sources.find
SELECT kind, nullif(due_at, '-infinity') AS due_at, due_at IS NOT NULL AS is_due,
       coalesce(leased_until > now(), false) AS is_held,
       position, failure_count, error_code, error_message, failing_since, fired_at,
       left_out_count, left_out_reason
  FROM sources WHERE tenant_id = $1 AND trigger_id = $2";

/// How a source is.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStatus {
    /// `schedule`, `db_event` or `imap`.
    pub kind: String,
    /// When it is looked at next; `None` for at once, or never.
    pub due_at: Option<DateTime<Utc>>,
    /// Whether it will ever be looked at again.
    pub is_due: bool,
    /// Whether an instance is at it.
    pub is_held: bool,
    /// How far it got.
    pub position: Option<Value>,
    /// How often in a row it failed.
    pub failure_count: i32,
    /// What went wrong.
    pub error_code: Option<String>,
    /// The same for people.
    pub error_message: Option<String>,
    /// Since when it does.
    pub failing_since: Option<DateTime<Utc>>,
    /// When something last came of it.
    pub fired_at: Option<DateTime<Utc>>,
    /// How much did not become a message since it was last changed.
    pub left_out_count: i64,
    /// Why the last of it did not.
    pub left_out_reason: Option<String>,
}

/// The source of a trigger; `None` for one that does not fire by itself.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
) -> Result<Option<SourceStatus>, StoreError> {
    let failed = StoreError::query("sources.find");
    let client = store.client("sources.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &trigger.0]).await.map_err(&failed)?;
    Ok(row.map(|row| SourceStatus {
        kind: row.get("kind"),
        due_at: row.get("due_at"),
        is_due: row.get("is_due"),
        is_held: row.get("is_held"),
        position: row.get("position"),
        failure_count: row.get("failure_count"),
        error_code: row.get("error_code"),
        error_message: row.get("error_message"),
        failing_since: row.get("failing_since"),
        fired_at: row.get("fired_at"),
        left_out_count: row.get("left_out_count"),
        left_out_reason: row.get("left_out_reason"),
    }))
}
