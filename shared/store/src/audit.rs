//! The audit log: who changed what through the API.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use recado_types::TenantId;
use uuid::Uuid;

use crate::{Store, StoreError};

/// Somebody is about to change something.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Of this line.
    pub id: Uuid,
    /// Whose things they change.
    pub tenant: TenantId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub subject: String,
    /// As what.
    pub role: &'static str,
    /// How: `PATCH`.
    pub method: &'static str,
    /// What, as it was called.
    pub path: String,
    /// What, as the API calls it: `/api/triggers/{id}`.
    pub operation: String,
    /// The request, as logs and the client know it.
    pub request_id: String,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was answered.
    pub status: i32,
    /// The names of the fields that were given.
    pub fields: Vec<String>,
    /// The id of what was made.
    pub resource_id: Option<String>,
}

const BEGIN: &str = "\
-- audit.begin
INSERT INTO audit_log (id, tenant_id, at, subject, role, method, path, operation, request_id)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM tenants WHERE id = $2";

const COMPLETE: &str = "\
-- audit.complete
UPDATE audit_log SET status = $2, fields = $3, resource_id = $4 WHERE id = $1";

/// Writes a line; `false` if there is no such tenant.
pub async fn begin(store: &Store, entry: &Entry) -> Result<bool, StoreError> {
    let client = store.client("audit.begin").await?;
    begin_with(&client, entry).await
}

/// The same, in a transaction of somebody's.
pub(crate) async fn begin_with(
    client: &impl GenericClient,
    entry: &Entry,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("audit.begin");
    let statement = client.prepare_cached(BEGIN).await.map_err(&failed)?;
    let Entry { id, tenant, at, subject, role, method, path, operation, request_id } = entry;
    let n_written = client
        .execute(
            &statement,
            &[id, &tenant.0, at, subject, role, method, path, operation, request_id],
        )
        .await
        .map_err(&failed)?;
    Ok(n_written == 1)
}

/// Says how it ended.
pub async fn complete(store: &Store, id: Uuid, outcome: &Outcome) -> Result<(), StoreError> {
    let failed = StoreError::query("audit.complete");
    let client = store.client("audit.complete").await?;
    let statement = client.prepare_cached(COMPLETE).await.map_err(&failed)?;
    let Outcome { status, fields, resource_id } = outcome;
    client.execute(&statement, &[&id, status, fields, resource_id]).await.map_err(&failed)?;
    Ok(())
}
