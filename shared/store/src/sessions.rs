//! Sessions: who talks with which agent. They are made by `executions.admit`.

use recado_types::{SessionId, TenantId};

use crate::{Store, StoreError};

const EXISTS: &str = "\
-- sessions.exists
SELECT EXISTS (SELECT FROM sessions WHERE id = $1 AND tenant_id = $2)";

/// Whether a tenant has the session: it does from the admission of its first message on.
pub async fn exists(
    store: &Store,
    tenant: TenantId,
    session: SessionId,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("sessions.exists");
    let client = store.client("sessions.exists").await?;
    let statement = client.prepare_cached(EXISTS).await.map_err(&failed)?;
    let row = client.query_one(&statement, &[&session.0, &tenant.0]).await.map_err(&failed)?;
    Ok(row.get(0))
}
