//! What a trigger refers to: it is there when the trigger is saved, and stays.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{AgentId, AppId, ProjectId, TenantId};

use super::{Trigger, TriggerDraft, own_secrets};
use crate::{Store, StoreError, agents, apps, secrets};

/// What saving a trigger came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// It is saved.
    Saved(Trigger),
    /// Something it refers to is not there.
    Missing(Missing),
    /// Its id is another's already.
    Taken,
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

/// The project of the draft's agent. Agent, app and secrets stay until `transaction` ends; the
/// secrets that come with the draft are saved first.
pub(super) async fn hold(
    store: &Store,
    transaction: &Transaction<'_>,
    tenant: TenantId,
    draft: &TriggerDraft,
    now: DateTime<Utc>,
) -> Result<Result<ProjectId, Missing>, StoreError> {
    let project = agents::hold(transaction, tenant, draft.agent_id).await?;
    let app = is_missing(transaction, tenant, draft.app_id).await?;
    own_secrets::keep(store, transaction, tenant, &draft.own_secrets, now).await?;
    let names: Vec<&str> = draft.secret_refs.iter().map(String::as_str).collect();
    let secrets = secrets::hold(transaction, tenant, &names).await?;
    let missing = Missing { agent: project.is_none(), app, secrets };
    Ok(project.filter(|_| missing.is_empty()).ok_or(missing))
}

/// Whether an app is named that the tenant does not have. One that it has is held.
async fn is_missing(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    app: Option<AppId>,
) -> Result<bool, StoreError> {
    match app {
        Some(app) => Ok(!apps::hold(transaction, tenant, app).await?),
        None => Ok(false),
    }
}
