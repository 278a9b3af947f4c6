//! Tenants and their projects.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use recado_types::{ProjectId, TenantId};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{Store, StoreError, audit};

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
    /// How long what has ended is kept.
    pub retention: Retention,
    /// What the operator grants it.
    pub quotas: Quotas,
    /// Which of the quotas is used up, and until when; as housekeeping saw it last. The time may
    /// have passed.
    pub over_quota: Option<OverQuota>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When somebody last changed it: what tells its versions apart.
    pub updated_at: DateTime<Utc>,
}

/// The fewest days that anything is kept: longer than anything that is repeated by itself (a
/// provider's retry, a delivery that waits) may take.
pub const MIN_RETENTION_DAYS: i32 = 2;
/// The most days that can be asked for.
pub const MAX_RETENTION_DAYS: i32 = 3650;

/// How many days what has ended is kept; `None` for ever. What is kept longer than what it is part
/// of goes with that: see [`crate::retention`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Executions, with everything that hangs on them.
    pub executions_days: Option<i32>,
    /// What people wrote, and what was answered.
    pub messages_days: Option<i32>,
    /// What went to models, tools and receivers, and what they said.
    pub call_bodies_days: Option<i32>,
}

/// What a tenant may use in a calendar month (UTC); `None` for as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Executions that its messages became; those of sub-agents are not counted.
    pub executions_per_month: Option<i64>,
    /// Tokens, as far as providers count them.
    pub tokens_per_month: Option<i64>,
}

/// A quota that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverQuota {
    /// Which.
    pub quota: Quota,
    /// Until when: the beginning of the next month.
    pub until: DateTime<Utc>,
}

/// What a quota is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// [`Quotas::executions_per_month`].
    Executions,
    /// [`Quotas::tokens_per_month`].
    Tokens,
}

impl Quota {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Executions => "executions",
            Self::Tokens => "tokens",
        }
    }
}

impl OverQuota {
    /// From `over_quota` and `over_quota_until`.
    pub(crate) fn from_row(row: &Row) -> Option<Self> {
        let quota = match row.get::<_, Option<&str>>("over_quota")? {
            "tokens" => Quota::Tokens,
            _ => Quota::Executions,
        };
        Some(Self { quota, until: row.get::<_, Option<_>>("over_quota_until")? })
    }
}

/// What becomes of something that there may be none of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is this from now on.
    To(Option<T>),
}

impl<T: Copy> Change<T> {
    /// Whether it changes, and what it then is.
    fn parts(self) -> (bool, Option<T>) {
        match self {
            Self::Keep => (false, None),
            Self::To(value) => (true, value),
        }
    }
}

/// What a tenant's own admins change of it; the rest stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChanges {
    /// What people call it.
    pub name: Option<String>,
    /// Where its tools may be led.
    pub allowed_hosts: Option<Vec<String>>,
    /// Where its requests may go at all.
    pub destination_hosts: Option<Vec<String>>,
    /// How many days executions are kept.
    pub executions_retention_days: Change<i32>,
    /// How many days what was said is kept.
    pub messages_retention_days: Change<i32>,
    /// How many days what went to others is kept.
    pub call_bodies_retention_days: Change<i32>,
}

/// What an operator changes of a tenant; the rest stays. Messages are refused, or taken again, as
/// soon as housekeeping has counted: see [`crate::usage::count`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorChanges {
    /// What its own admins can change, too.
    pub own: TenantChanges,
    /// How many executions it may have in a month.
    pub executions_per_month: Change<i64>,
    /// How many tokens it may use in a month.
    pub tokens_per_month: Change<i64>,
}

/// The columns of a tenant.
macro_rules! columns {
    () => {
        "id, name, allowed_hosts, destination_hosts, executions_retention_days,
       messages_retention_days, call_bodies_retention_days, executions_per_month,
       tokens_per_month, over_quota, over_quota_until, created_at, updated_at"
    };
}

impl Tenant {
    fn from_row(row: &Row) -> Self {
        Self {
            id: TenantId(row.get("id")),
            name: row.get("name"),
            allowed_hosts: row.get("allowed_hosts"),
            destination_hosts: row.get("destination_hosts"),
            retention: Retention::from_row(row),
            quotas: Quotas {
                executions_per_month: row.get("executions_per_month"),
                tokens_per_month: row.get("tokens_per_month"),
            },
            over_quota: OverQuota::from_row(row),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

impl Retention {
    pub(crate) fn from_row(row: &Row) -> Self {
        Self {
            executions_days: row.get("executions_retention_days"),
            messages_days: row.get("messages_retention_days"),
            call_bodies_days: row.get("call_bodies_retention_days"),
        }
    }
}

const ENSURE: &str = "\
-- tenants.ensure
WITH tenant AS (
    INSERT INTO tenants (id, name, created_at, updated_at) VALUES ($1, $3, $4, $4)
    ON CONFLICT DO NOTHING)
INSERT INTO projects (id, tenant_id, name, created_at, updated_at)
VALUES ($2, $1, 'default', $4, $4)
ON CONFLICT DO NOTHING";

const EXISTS: &str = "\
-- tenants.exists
SELECT EXISTS (SELECT FROM tenants WHERE id = $1)";

const FIND: &str = concat!(
    "\
-- tenants.find
SELECT ",
    columns!(),
    " FROM tenants WHERE id = $1"
);

/// Its time never stands still: it is what versions are told apart by.
const UPDATE: &str = concat!(
    "\
-- tenants.update
UPDATE tenants
   SET name = coalesce($4, name),
       allowed_hosts = coalesce($5::text[], allowed_hosts),
       destination_hosts = coalesce($6::text[], destination_hosts),
       executions_retention_days =
           CASE WHEN $7 THEN $8::integer ELSE executions_retention_days END,
       messages_retention_days =
           CASE WHEN $9 THEN $10::integer ELSE messages_retention_days END,
       call_bodies_retention_days =
           CASE WHEN $11 THEN $12::integer ELSE call_bodies_retention_days END,
       executions_per_month = CASE WHEN $13 THEN $14::bigint ELSE executions_per_month END,
       tokens_per_month = CASE WHEN $15 THEN $16::bigint ELSE tokens_per_month END,
       updated_at = greatest($3, updated_at + interval '1 microsecond')
 WHERE id = $1 AND ($2::timestamptz IS NULL OR updated_at = $2)
RETURNING ",
    columns!()
);

const LIST: &str = concat!(
    "\
-- tenants.list
SELECT ",
    columns!(),
    " FROM tenants WHERE id < $1 ORDER BY id DESC LIMIT $2"
);

const DELETE: &str = "\
-- tenants.delete
WITH spans AS (DELETE FROM usage_spans WHERE tenant_id = $1),
     days AS (DELETE FROM usage_days WHERE tenant_id = $1),
     projects AS (DELETE FROM projects WHERE tenant_id = $1)
DELETE FROM tenants WHERE id = $1";

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

/// Makes a tenant with its project, with what an operator gives it, and with the first line of its
/// audit log: all of it, or nothing.
pub async fn create(
    store: &Store,
    tenant: &EnsureTenant<'_>,
    changes: &OperatorChanges,
    entry: &audit::Entry,
    now: DateTime<Utc>,
) -> Result<Option<Tenant>, StoreError> {
    let failed = StoreError::query("tenants.create");
    let mut client = store.client("tenants.create").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let statement = transaction.prepare_cached(ENSURE).await.map_err(&failed)?;
    let EnsureTenant { id, project_id, name } = tenant;
    transaction.execute(&statement, &[&id.0, &project_id.0, name, &now]).await.map_err(&failed)?;
    audit::begin_with(&transaction, entry).await?;
    let made = update_with(&transaction, *id, None, changes, now).await?;
    transaction.commit().await.map_err(&failed)?;
    Ok(made)
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

/// Changes what is given of a tenant; `None` if there is no such tenant, or it is not any more as
/// it was at `version` (its `updated_at`).
pub async fn update(
    store: &Store,
    tenant: TenantId,
    version: Option<DateTime<Utc>>,
    changes: &TenantChanges,
    now: DateTime<Utc>,
) -> Result<Option<Tenant>, StoreError> {
    let changes = OperatorChanges { own: changes.clone(), ..OperatorChanges::default() };
    update_by_operator(store, tenant, version, &changes, now).await
}

/// As [`update`], with what only operators may change.
pub async fn update_by_operator(
    store: &Store,
    tenant: TenantId,
    version: Option<DateTime<Utc>>,
    changes: &OperatorChanges,
    now: DateTime<Utc>,
) -> Result<Option<Tenant>, StoreError> {
    let client = store.client("tenants.update").await?;
    update_with(&client, tenant, version, changes, now).await
}

async fn update_with(
    client: &impl GenericClient,
    tenant: TenantId,
    version: Option<DateTime<Utc>>,
    changes: &OperatorChanges,
    now: DateTime<Utc>,
) -> Result<Option<Tenant>, StoreError> {
    let failed = StoreError::query("tenants.update");
    let statement = client.prepare_cached(UPDATE).await.map_err(&failed)?;
    let OperatorChanges { own, executions_per_month, tokens_per_month } = changes;
    let executions_days = own.executions_retention_days.parts();
    let messages_days = own.messages_retention_days.parts();
    let call_bodies_days = own.call_bodies_retention_days.parts();
    let (executions, tokens) = (executions_per_month.parts(), tokens_per_month.parts());
    let parameters: [&(dyn ToSql + Sync); 16] = [
        &tenant.0,
        &version,
        &now,
        &own.name,
        &own.allowed_hosts,
        &own.destination_hosts,
        &executions_days.0,
        &executions_days.1,
        &messages_days.0,
        &messages_days.1,
        &call_bodies_days.0,
        &call_bodies_days.1,
        &executions.0,
        &executions.1,
        &tokens.0,
        &tokens.1,
    ];
    let row = client.query_opt(&statement, &parameters).await.map_err(&failed)?;
    Ok(row.as_ref().map(Tenant::from_row))
}

/// The tenants older than `before`, newest first; only what the store's role may see of them.
pub async fn list(
    store: &Store,
    before: Option<TenantId>,
    limit: i64,
) -> Result<Vec<Tenant>, StoreError> {
    let failed = StoreError::query("tenants.list");
    let client = store.client("tenants.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let before = before.map_or(Uuid::max(), |id| id.0);
    let rows = client.query(&statement, &[&before, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(Tenant::from_row).collect())
}

/// Deletes a tenant that has nothing but projects; `false` if it has more, or is not there.
pub async fn delete(store: &Store, tenant: TenantId) -> Result<bool, StoreError> {
    let client = store.client("tenants.delete").await?;
    let failed = StoreError::query("tenants.delete");
    let statement = client.prepare_cached(DELETE).await.map_err(&failed)?;
    match client.execute(&statement, &[&tenant.0]).await {
        Ok(n_deleted) => Ok(n_deleted == 1),
        // Something refers to it.
        Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Ok(false),
        Err(error) => Err(failed(error)),
    }
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
