//! The audit log, as it is shown.

use chrono::{DateTime, Utc};
use recado_types::TenantId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::position::{BEGINNING_OF_TIME, END_OF_TIME, Position};
use crate::{Store, StoreError};

/// Which lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// From then on.
    pub from: Option<DateTime<Utc>>,
    /// Until then.
    pub to: Option<DateTime<Utc>>,
}

/// Somebody changed something, or tried to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Of the line.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub subject: String,
    /// As what.
    pub role: String,
    /// How.
    pub method: String,
    /// What, as it was called.
    pub path: String,
    /// What, as the API calls it.
    pub operation: String,
    /// The request, as logs and the client know it.
    pub request_id: String,
    /// The names of the fields that were given.
    pub fields: Vec<String>,
    /// What was answered; `None` if that is not known (yet).
    pub status: Option<i32>,
    /// The id of what was made.
    pub resource_id: Option<String>,
}

impl AuditLine {
    /// Its place in the list.
    pub fn position(&self) -> Position {
        Position::in_time(self.at, self.id)
    }

    fn from_row(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            at: row.get("at"),
            subject: row.get("subject"),
            role: row.get("role"),
            method: row.get("method"),
            path: row.get("path"),
            operation: row.get("operation"),
            request_id: row.get("request_id"),
            fields: row.get("fields"),
            status: row.get("status"),
            resource_id: row.get("resource_id"),
        }
    }
}

const AUDIT_LOG: &str = "\
-- views.audit_log
SELECT id, at, subject, role, method, path, operation, request_id, fields, status, resource_id
  FROM audit_log
 WHERE tenant_id = $1 AND (at, id) < ($2, $3) AND at >= $4 AND at <= $5
 ORDER BY at DESC, id DESC LIMIT $6";

/// The lines before `before`, newest first.
pub async fn audit_log(
    store: &Store,
    tenant: TenantId,
    filter: &AuditFilter,
    before: Option<Position>,
    limit: i64,
) -> Result<Vec<AuditLine>, StoreError> {
    let failed = StoreError::query("views.audit_log");
    let client = store.client("views.audit_log").await?;
    let statement = client.prepare_cached(AUDIT_LOG).await.map_err(&failed)?;
    let (at, id) = before.map_or((END_OF_TIME, Uuid::max()), |before| (before.time(), before.id));
    let from = filter.from.unwrap_or(BEGINNING_OF_TIME);
    let to = filter.to.unwrap_or(END_OF_TIME);
    let rows = client.query(&statement, &[&tenant.0, &at, &id, &from, &to, &limit]).await;
    Ok(rows.map_err(&failed)?.iter().map(AuditLine::from_row).collect())
}
