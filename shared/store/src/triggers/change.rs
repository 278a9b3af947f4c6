//! Changing a trigger that is there.

use chrono::{DateTime, Utc};
use recado_types::{TenantId, TriggerId};

use super::hold::hold;
use super::own_secrets::let_go;
use super::{Saved, Trigger, TriggerDraft};
use crate::{Store, StoreError};

const REPLACE: &str = concat!(
    "\
-- triggers.replace
UPDATE triggers
   SET project_id = $4, agent_id = $5, app_id = $6, name = $7, description = $8,
       trigger_config = $9, enabled = $10, updated_at = $11, version = version + 1
 WHERE tenant_id = $1 AND id = $2 AND version = $3 AND deleted_at IS NULL
RETURNING ",
    columns!()
);

const SET_ENABLED: &str = concat!(
    "\
-- triggers.set_enabled
UPDATE triggers
   SET enabled = $3,
       updated_at = CASE WHEN enabled = $3 THEN updated_at ELSE $4 END,
       version = CASE WHEN enabled = $3 THEN version ELSE version + 1 END
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND ($5::integer IS NULL OR version = $5)
RETURNING ",
    columns!()
);

const DELETE: &str = "\
-- triggers.delete
UPDATE triggers SET deleted_at = $3, enabled = false, app_id = NULL, version = version + 1
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
   AND ($4::integer IS NULL OR version = $4)";

/// Replaces a trigger that is still of this `version`; what its maker called it stays.
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
    let project = match hold(store, &transaction, tenant, draft, now).await? {
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
                &draft.description,
                &draft.trigger_config,
                &draft.enabled,
                &now,
            ],
        )
        .await
        .map_err(&failed)?;
    let Some(row) = row else { return Ok(Saved::Stale) };
    let_go(&transaction, tenant, id).await?;
    transaction.commit().await.map_err(&failed)?;
    Ok(Saved::Saved(Trigger::from_row(&row)))
}

/// Opens or closes a trigger, if it is of this `version` where one is named. It is a new version
/// only if that changes something; `None` if there is no such trigger.
pub async fn set_enabled(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
    version: Option<i32>,
    enabled: bool,
    now: DateTime<Utc>,
) -> Result<Option<Trigger>, StoreError> {
    let failed = StoreError::query("triggers.set_enabled");
    let client = store.client("triggers.set_enabled").await?;
    let statement = client.prepare_cached(SET_ENABLED).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0, &enabled, &now, &version]).await;
    Ok(row.map_err(&failed)?.as_ref().map(Trigger::from_row))
}

/// Deletes a trigger, if it is of this `version` where one is named; `false` if there is no such
/// trigger. What it has accepted is still done. Its row stays for that, but lets go of its app,
/// which may then be deleted, and of its own secrets.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
    version: Option<i32>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("triggers.delete");
    let mut client = store.client("triggers.delete").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let statement = transaction.prepare_cached(DELETE).await.map_err(&failed)?;
    let n_deleted = transaction.execute(&statement, &[&tenant.0, &id.0, &now, &version]).await;
    if n_deleted.map_err(&failed)? == 0 {
        return Ok(false);
    }
    let_go(&transaction, tenant, id).await?;
    transaction.commit().await.map_err(&failed)?;
    Ok(true)
}
