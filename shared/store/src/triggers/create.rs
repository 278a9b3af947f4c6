//! Making a trigger, or making it again.

use chrono::{DateTime, Utc};
use recado_types::trigger::TriggerType;
use recado_types::{ChosenId, TenantId, TriggerId};

use super::hold::hold;
use super::{Saved, Trigger, TriggerDraft, seal_webhook_secret};
use crate::{Store, StoreError};

/// A trigger that was deleted comes back if it is made again under the id that its maker chose:
/// the row is the same, so that what it led to before is still found through it.
const CREATE: &str = concat!(
    "\
-- triggers.create
INSERT INTO triggers (id, tenant_id, project_id, agent_id, app_id, external_id, name, description,
                      trigger_type, trigger_config, webhook_secret_key_id, webhook_secret_sealed,
                      enabled, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)
ON CONFLICT (id) DO UPDATE
   SET deleted_at = NULL, version = triggers.version + 1,
       project_id = excluded.project_id, app_id = excluded.app_id,
       name = excluded.name, description = excluded.description,
       trigger_type = excluded.trigger_type, trigger_config = excluded.trigger_config,
       enabled = excluded.enabled,
       webhook_secret_key_id = excluded.webhook_secret_key_id,
       webhook_secret_sealed = excluded.webhook_secret_sealed,
       previous_webhook_secret_key_id = NULL, previous_webhook_secret_sealed = NULL,
       previous_webhook_secret_expires_at = NULL,
       created_at = excluded.created_at, updated_at = excluded.updated_at
 WHERE triggers.deleted_at IS NOT NULL AND triggers.external_id IS NOT NULL
   AND triggers.tenant_id = excluded.tenant_id AND triggers.agent_id = excluded.agent_id
   AND triggers.external_id = excluded.external_id
RETURNING ",
    columns!()
);

/// Keeps a new trigger. An id that is taken answers [`Saved::Taken`] and changes nothing.
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
    let project = match hold(store, &transaction, tenant, draft, now).await? {
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
                &draft.external_id.as_ref().map(ChosenId::as_str),
                &draft.name,
                &draft.description,
                &TriggerType::of(&draft.trigger_config).as_str(),
                &draft.trigger_config,
                &sealed.key_id,
                &sealed.bytes,
                &draft.enabled,
                &now,
            ],
        )
        .await
        .map_err(&failed)?;
    let Some(row) = row else { return Ok(Saved::Taken) };
    transaction.commit().await.map_err(&failed)?;
    Ok(Saved::Saved(Trigger::from_row(&row)))
}
