//! What a trigger's webhooks are signed with: made here, kept sealed, replaced by rotation.
//!
//! After a rotation the secret before it stays good for a while, and no older one does: at most two
//! are good at any time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use recado_types::{TenantId, TriggerId};

use super::Trigger;
use crate::seal::Sealed;
use crate::{Store, StoreError};

/// A trigger whose secret was replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotated {
    /// The trigger.
    pub trigger: Trigger,
    /// Until when the secret before it is good; `None` if it is not any more.
    pub previous_expires_at: Option<DateTime<Utc>>,
}

/// One statement, so that of several rotations at the same time each replaces what the one before
/// it made.
const ROTATE_SECRET: &str = concat!(
    "\
-- triggers.rotate_secret
UPDATE triggers
   SET webhook_secret_key_id = $3, webhook_secret_sealed = $4,
       previous_webhook_secret_key_id =
           CASE WHEN $5::timestamptz IS NOT NULL THEN webhook_secret_key_id END,
       previous_webhook_secret_sealed =
           CASE WHEN $5::timestamptz IS NOT NULL THEN webhook_secret_sealed END,
       previous_webhook_secret_expires_at = $5,
       updated_at = $6, version = version + 1
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL AND ($7::integer IS NULL OR version = $7)
RETURNING previous_webhook_secret_expires_at, ",
    columns!()
);

/// A fresh webhook secret: 256 bits, in letters that need no escaping anywhere.
pub fn generate_webhook_secret() -> String {
    format!("whs_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// What a webhook secret is replaced by.
#[derive(Clone, Copy)]
pub struct Replacement<'r> {
    /// The new secret.
    pub webhook_secret: &'r str,
    /// Until when the one that is replaced stays good, if at all.
    pub previous_expires_at: Option<DateTime<Utc>>,
}

/// Replaces a trigger's webhook secret, if the trigger is of this `version` where one is named. The
/// secret before the one that is replaced, if it still was good, ends at once. `None` if there is
/// no such trigger.
pub async fn rotate_secret(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
    version: Option<i32>,
    replacement: Replacement<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Rotated>, StoreError> {
    let failed = StoreError::query("triggers.rotate_secret");
    let Replacement { webhook_secret, previous_expires_at } = replacement;
    let sealed = seal_webhook_secret(store, "triggers.rotate_secret", id, webhook_secret)?;
    let client = store.client("triggers.rotate_secret").await?;
    let statement = client.prepare_cached(ROTATE_SECRET).await.map_err(&failed)?;
    let row = client
        .query_opt(
            &statement,
            &[
                &tenant.0,
                &id.0,
                &sealed.key_id,
                &sealed.bytes,
                &previous_expires_at,
                &now,
                &version,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(row.map(|row| Rotated {
        trigger: Trigger::from_row(&row),
        previous_expires_at: row.get("previous_webhook_secret_expires_at"),
    }))
}

/// Seals a secret for this trigger and no other.
pub(crate) fn seal_webhook_secret(
    store: &Store,
    operation: &'static str,
    trigger: TriggerId,
    webhook_secret: &str,
) -> Result<Sealed, StoreError> {
    store.seal(operation, webhook_secret, &owner(trigger))
}

/// Opens what was sealed for this trigger, now or before a rotation.
pub(crate) fn open_webhook_secret(
    store: &Store,
    operation: &'static str,
    trigger: TriggerId,
    sealed: &Sealed,
) -> Result<String, StoreError> {
    store.open(operation, sealed, &owner(trigger))
}

/// What the ciphertext is bound to.
fn owner(trigger: TriggerId) -> String {
    format!("webhook_secret/{trigger}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_secrets_are_256_random_bits_that_need_no_escaping() {
        let (one, other) = (generate_webhook_secret(), generate_webhook_secret());
        assert_ne!(one, other);
        assert!(one.starts_with("whs_") && one.len() == 47, "{}", one.len());
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(one.chars().all(plain));
    }
}
