//! Secrets that come and go with a trigger: values that its maker wrote into the configuration
//! (seed 001), kept as everybody's secrets are.

use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{SecretId, TenantId, TriggerId};

use crate::secrets::{USES, secret_owner};
use crate::{Store, StoreError};

const KEEP: &str = "\
-- triggers.keep_own_secret
INSERT INTO secrets (id, tenant_id, name, key_id, sealed, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (tenant_id, name) DO UPDATE
   SET key_id = excluded.key_id, sealed = excluded.sealed,
       updated_at = greatest(excluded.updated_at, secrets.updated_at + interval '1 microsecond')";

const LOCK: &str = "\
-- triggers.lock_own_secrets
SELECT name FROM secrets WHERE tenant_id = $1 AND starts_with(name, $2) ORDER BY name FOR UPDATE";

const FORGET: &str = "\
-- triggers.forget_own_secret
DELETE FROM secrets WHERE tenant_id = $1 AND name = $2";

/// A secret that came with a trigger.
#[derive(Clone)]
pub struct OwnSecret {
    /// Its id, if there is none of this name.
    pub id: SecretId,
    /// Its name: [`own_secret`].
    pub name: String,
    /// What it holds.
    pub value: String,
}

impl fmt::Debug for OwnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The name of a secret that belongs to a trigger: it goes with the last mention of it.
pub fn own_secret(trigger: TriggerId, what: &str) -> String {
    format!("trigger-{trigger}-{what}")
}

/// Saves secrets that come with a trigger, in place of those that it had under the same names.
pub(super) async fn keep(
    store: &Store,
    transaction: &Transaction<'_>,
    tenant: TenantId,
    secrets: &[OwnSecret],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    const OPERATION: &str = "triggers.keep_own_secret";
    let failed = StoreError::query(OPERATION);
    for secret in secrets {
        let sealed = store.seal(OPERATION, &secret.value, &secret_owner(tenant, &secret.name))?;
        let statement = transaction.prepare_cached(KEEP).await.map_err(&failed)?;
        transaction
            .execute(
                &statement,
                &[&secret.id.0, &tenant.0, &secret.name, &sealed.key_id, &sealed.bytes, &now],
            )
            .await
            .map_err(&failed)?;
    }
    Ok(())
}

/// Forgets the secrets of a trigger that nothing mentions any more, itself included.
pub(super) async fn let_go(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    trigger: TriggerId,
) -> Result<(), StoreError> {
    let failed = StoreError::query("triggers.forget_own_secret");
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    let prefix = own_secret(trigger, "");
    let locked = transaction.query(&lock, &[&tenant.0, &prefix]).await.map_err(&failed)?;
    for row in locked {
        let name: &str = row.get("name");
        // A statement of its own: it has to see what the lock waited for.
        let uses = transaction.prepare_cached(USES).await.map_err(&failed)?;
        let found = transaction.query(&uses, &[&tenant.0, &name, &1_i64]).await.map_err(&failed)?;
        if found.is_empty() {
            let forget = transaction.prepare_cached(FORGET).await.map_err(&failed)?;
            transaction.execute(&forget, &[&tenant.0, &name]).await.map_err(&failed)?;
        }
    }
    Ok(())
}
