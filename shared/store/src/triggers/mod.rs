//! Triggers: configured ways in.

mod webhook_secret;

pub use webhook_secret::{Rotated, generate_webhook_secret, rotate_secret};
pub(crate) use webhook_secret::{open_webhook_secret, seal_webhook_secret};

use chrono::{DateTime, Utc};
use recado_types::{AgentId, AppId, ProjectId, TenantId, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError, agents, apps, secrets};

/// A trigger, as it may be told. Its webhook secret is not part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Which.
    pub id: TriggerId,
    /// Where it belongs: where its agent belonged when it was saved.
    pub project_id: ProjectId,
    /// Whom its messages are for.
    pub agent_id: AgentId,
    /// The app whose webhook channel it is, if it is one.
    pub app_id: Option<AppId>,
    /// What people call it.
    pub name: String,
    /// `webhook`.
    pub trigger_type: String,
    /// Its configuration, as it was saved.
    pub trigger_config: Value,
    /// Whether it takes messages.
    pub enabled: bool,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Trigger {
    fn from_row(row: &Row) -> Self {
        Self {
            id: TriggerId(row.get("id")),
            project_id: ProjectId(row.get("project_id")),
            agent_id: AgentId(row.get("agent_id")),
            app_id: row.get::<_, Option<Uuid>>("app_id").map(AppId),
            name: row.get("name"),
            trigger_type: row.get("trigger_type"),
            trigger_config: row.get("trigger_config"),
            enabled: row.get("enabled"),
            version: row.get("version"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// What a trigger is made of.
#[derive(Clone, Debug)]
pub struct TriggerDraft {
    /// Whom its messages are for.
    pub agent_id: AgentId,
    /// The app whose webhook channel it is, if it is one.
    pub app_id: Option<AppId>,
    /// What people call it.
    pub name: String,
    /// Its configuration, already validated.
    pub trigger_config: Value,
    /// The secrets that the configuration names.
    pub secret_refs: Vec<String>,
    /// Whether it takes messages.
    pub enabled: bool,
}

/// What saving a trigger came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// It is saved.
    Saved(Trigger),
    /// Something it refers to is not there.
    Missing(Missing),
    /// It was deleted, or changed by somebody else since it was read.
    Stale,
}

/// What a trigger refers to in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// The tenant has no such agent.
    pub agent: bool,
    /// The tenant has no such app.
    pub app: bool,
    /// The tenant has no such secrets.
    pub secrets: Vec<String>,
}

impl Missing {
    /// Whether all is there.
    pub fn is_empty(&self) -> bool {
        !self.agent && !self.app && self.secrets.is_empty()
    }
}

const CREATE: &str = "\
-- triggers.create
INSERT INTO triggers (id, tenant_id, project_id, agent_id, app_id, name, trigger_type,
                      trigger_config, webhook_secret_key_id, webhook_secret_sealed, enabled,
                      created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, 'webhook', $7, $8, $9, $10, $11, $11)
ON CONFLICT (id) DO NOTHING
RETURNING id, project_id, agent_id, app_id, name, trigger_type, trigger_config, enabled,
          version, created_at, updated_at";

const FIND: &str = "\
-- triggers.find
SELECT id, project_id, agent_id, app_id, name, trigger_type, trigger_config, enabled, version,
       created_at, updated_at
  FROM triggers WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";

const LIST: &str = "\
-- triggers.list
SELECT id, project_id, agent_id, app_id, name, trigger_type, trigger_config, enabled, version,
       created_at, updated_at
  FROM triggers
 WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 ORDER BY id DESC LIMIT $3";

const REPLACE: &str = "\
-- triggers.replace
UPDATE triggers
   SET project_id = $4, agent_id = $5, app_id = $6, name = $7, trigger_config = $8, enabled = $9,
       updated_at = $10, version = version + 1
 WHERE tenant_id = $1 AND id = $2 AND version = $3 AND deleted_at IS NULL
RETURNING id, project_id, agent_id, app_id, name, trigger_type, trigger_config, enabled,
          version, created_at, updated_at";

const SET_ENABLED: &str = "\
-- triggers.set_enabled
UPDATE triggers
   SET enabled = $3,
       updated_at = CASE WHEN enabled = $3 THEN updated_at ELSE $4 END,
       version = CASE WHEN enabled = $3 THEN version ELSE version + 1 END
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
RETURNING id, project_id, agent_id, app_id, name, trigger_type, trigger_config, enabled,
          version, created_at, updated_at";

const DELETE: &str = "\
-- triggers.delete
UPDATE triggers SET deleted_at = $3, enabled = false, app_id = NULL, version = version + 1
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";

/// Keeps a new trigger. An id that is taken answers [`Saved::Stale`] and changes nothing.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
    draft: &TriggerDraft,
    webhook_secret: &str,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("triggers.create");
    let sealed = seal_webhook_secret(store, "triggers.create", id, webhook_secret)?;
    let mut client = store.client("triggers.create").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let project = match hold(&transaction, tenant, draft).await? {
        Ok(project) => project,
        Err(missing) => return Ok(Saved::Missing(missing)),
    };
    let statement = transaction.prepare_cached(CREATE).await.map_err(&failed)?;
    let row = transaction
        .query_opt(
            &statement,
            &[
                &id.0,
                &tenant.0,
                &project.0,
                &draft.agent_id.0,
                &draft.app_id.map(|app| app.0),
                &draft.name,
                &draft.trigger_config,
                &sealed.key_id,
                &sealed.bytes,
                &draft.enabled,
                &now,
            ],
        )
        .await
        .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(row.as_ref().map_or(Saved::Stale, |row| Saved::Saved(Trigger::from_row(row))))
}

/// One of a tenant's triggers.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
) -> Result<Option<Trigger>, StoreError> {
    let failed = StoreError::query("triggers.find");
    let client = store.client("triggers.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Trigger::from_row))
}

/// The triggers of a tenant older than `before`, newest first.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    before: Option<TriggerId>,
    limit: i64,
) -> Result<Vec<Trigger>, StoreError> {
    let failed = StoreError::query("triggers.list");
    let client = store.client("triggers.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let before = before.map_or(Uuid::max(), |id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &before, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(Trigger::from_row).collect())
}

/// Replaces a trigger that is still of this `version`.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
    version: i32,
    draft: &TriggerDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("triggers.replace");
    let mut client = store.client("triggers.replace").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let project = match hold(&transaction, tenant, draft).await? {
        Ok(project) => project,
        Err(missing) => return Ok(Saved::Missing(missing)),
    };
    let statement = transaction.prepare_cached(REPLACE).await.map_err(&failed)?;
    let row = transaction
        .query_opt(
            &statement,
            &[
                &tenant.0,
                &id.0,
                &version,
                &project.0,
                &draft.agent_id.0,
                &draft.app_id.map(|app| app.0),
                &draft.name,
                &draft.trigger_config,
                &draft.enabled,
                &now,
            ],
        )
        .await
        .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    Ok(row.as_ref().map_or(Saved::Stale, |row| Saved::Saved(Trigger::from_row(row))))
}

/// Opens or closes a trigger. It is a new version only if that changes something; `None` if there
/// is no such trigger.
pub async fn set_enabled(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
    enabled: bool,
    now: DateTime<Utc>,
) -> Result<Option<Trigger>, StoreError> {
    let failed = StoreError::query("triggers.set_enabled");
    let client = store.client("triggers.set_enabled").await?;
    let statement = client.prepare_cached(SET_ENABLED).await.map_err(&failed)?;
    let row =
        client.query_opt(&statement, &[&tenant.0, &id.0, &enabled, &now]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Trigger::from_row))
}

/// Deletes a trigger; `false` if there is no such trigger. What it has accepted is still done. Its
/// row stays for that, but lets go of its app, which may then be deleted.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("triggers.delete");
    let client = store.client("triggers.delete").await?;
    let statement = client.prepare_cached(DELETE).await.map_err(&failed)?;
    let n_deleted = client.execute(&statement, &[&tenant.0, &id.0, &now]).await.map_err(&failed)?;
    Ok(n_deleted == 1)
}

/// What of these the tenant does not have: for naming every mistake of a draft that is not going
/// to be saved.
pub async fn missing(
    store: &Store,
    tenant: TenantId,
    agent: Option<AgentId>,
    app: Option<AppId>,
    secret_refs: &[String],
) -> Result<Missing, StoreError> {
    let failed = StoreError::query("triggers.missing");
    let mut client = store.client("triggers.missing").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let agent = match agent {
        Some(agent) => agents::hold(&transaction, tenant, agent).await?.is_none(),
        None => false,
    };
    let app = is_missing(&transaction, tenant, app).await?;
    let names: Vec<&str> = secret_refs.iter().map(String::as_str).collect();
    let secrets = secrets::hold(&transaction, tenant, &names).await?;
    Ok(Missing { agent, app, secrets })
}

/// The project of the draft's agent. Agent, app and secrets stay until `transaction` ends.
async fn hold(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: TenantId,
    draft: &TriggerDraft,
) -> Result<Result<ProjectId, Missing>, StoreError> {
    let project = agents::hold(transaction, tenant, draft.agent_id).await?;
    let app = is_missing(transaction, tenant, draft.app_id).await?;
    let names: Vec<&str> = draft.secret_refs.iter().map(String::as_str).collect();
    let secrets = secrets::hold(transaction, tenant, &names).await?;
    let missing = Missing { agent: project.is_none(), app, secrets };
    Ok(project.filter(|_| missing.is_empty()).ok_or(missing))
}

/// Whether an app is named that the tenant does not have. One that it has is held.
async fn is_missing(
    transaction: &deadpool_postgres::Transaction<'_>,
    tenant: TenantId,
    app: Option<AppId>,
) -> Result<bool, StoreError> {
    match app {
        Some(app) => Ok(!apps::hold(transaction, tenant, app).await?),
        None => Ok(false),
    }
}
