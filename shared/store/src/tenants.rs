//! Tenants and their projects.

use chrono::{DateTime, Utc};
use recado_types::{ProjectId, TenantId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::{Store, StoreError};

/// A tenant and its first project, to be there from now on.
#[derive(Clone, Copy, Debug)]
pub struct EnsureTenant<'a> {
    /// The tenant.
    pub id: TenantId,
    /// The project that everything goes to unless another one is named.
    pub project_id: ProjectId,
    /// What people call the tenant.
    pub name: &'a str,
}

/// A tenant, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Which.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// Where its tools may go when a context field or a model names the host.
    pub allowed_hosts: Vec<String>,
    /// Where its callbacks, tools and event webhooks may go at all; anywhere if it is empty.
    pub destination_hosts: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What is changed of a tenant; the rest stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChanges {
    /// What people call it.
    pub name: Option<String>,
    /// Where its tools may be led.
    pub allowed_hosts: Option<Vec<String>>,
    /// Where its requests may go at all.
    pub destination_hosts: Option<Vec<String>>,
}

impl Tenant {
    fn from_row(row: &Row) -> Self {
        Self {
            id: TenantId(row.get("id")),
            name: row.get("name"),
            allowed_hosts: row.get("allowed_hosts"),
            destination_hosts: row.get("destination_hosts"),
            created_at: row.get("created_at"),
        }
    }
}

const ENSURE: &str = "\
-- tenants.ensure
WITH tenant AS (
    INSERT INTO tenants (id, name, created_at) VALUES ($1, $3, $4) ON CONFLICT DO NOTHING)
INSERT INTO projects (id, tenant_id, name, created_at) VALUES ($2, $1, 'default', $4)
ON CONFLICT DO NOTHING";

const EXISTS: &str = "\
-- tenants.exists
SELECT EXISTS (SELECT FROM tenants WHERE id = $1)";

const FIND: &str = "\
-- tenants.find
SELECT id, name, allowed_hosts, destination_hosts, created_at FROM tenants WHERE id = $1";

const UPDATE: &str = "\
-- tenants.update
UPDATE tenants
   SET name = coalesce($2, name),
       allowed_hosts = coalesce($3::text[], allowed_hosts),
       destination_hosts = coalesce($4::text[], destination_hosts)
 WHERE id = $1
RETURNING id, name, allowed_hosts, destination_hosts, created_at";

const DEFAULT_PROJECT: &str = "\
-- tenants.default_project
SELECT id FROM projects WHERE tenant_id = $1 ORDER BY created_at, id LIMIT 1";

/// Makes the tenant and its project unless they are there. Changes nothing the second time.
pub async fn ensure(
    store: &Store,
    tenant: &EnsureTenant<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let failed = StoreError::query("tenants.ensure");
    let client = store.client("tenants.ensure").await?;
    let statement = client.prepare_cached(ENSURE).await.map_err(&failed)?;
    let EnsureTenant { id, project_id, name } = tenant;
    client.execute(&statement, &[&id.0, &project_id.0, name, &now]).await.map_err(&failed)?;
    Ok(())
}

/// Whether there is such a tenant: a token may outlive it.
pub async fn exists(store: &Store, tenant: TenantId) -> Result<bool, StoreError> {
    let failed = StoreError::query("tenants.exists");
    let client = store.client("tenants.exists").await?;
    let statement = client.prepare_cached(EXISTS).await.map_err(&failed)?;
    let row = client.query_one(&statement, &[&tenant.0]).await.map_err(&failed)?;
    Ok(row.get(0))
}

/// A tenant.
pub async fn find(store: &Store, tenant: TenantId) -> Result<Option<Tenant>, StoreError> {
    let failed = StoreError::query("tenants.find");
    let client = store.client("tenants.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Tenant::from_row))
}

/// Changes what is given of a tenant; `None` if there is no such tenant.
pub async fn update(
    store: &Store,
    tenant: TenantId,
    changes: &TenantChanges,
) -> Result<Option<Tenant>, StoreError> {
    let failed = StoreError::query("tenants.update");
    let client = store.client("tenants.update").await?;
    let statement = client.prepare_cached(UPDATE).await.map_err(&failed)?;
    let TenantChanges { name, allowed_hosts, destination_hosts } = changes;
    let parameters: [&(dyn ToSql + Sync); 4] = [&tenant.0, name, allowed_hosts, destination_hosts];
    let row = client.query_opt(&statement, &parameters).await.map_err(&failed)?;
    Ok(row.as_ref().map(Tenant::from_row))
}

/// The oldest project of a tenant.
pub async fn default_project(
    store: &Store,
    tenant: TenantId,
) -> Result<Option<ProjectId>, StoreError> {
    let failed = StoreError::query("tenants.default_project");
    let client = store.client("tenants.default_project").await?;
    let statement = client.prepare_cached(DEFAULT_PROJECT).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0]).await.map_err(&failed)?;
    Ok(row.map(|row| ProjectId(row.get("id"))))
}
