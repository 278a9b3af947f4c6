//! What the events of an endpoint are signed with: kept sealed, replaced by rotation.
//!
//! After a rotation the secret before it signs too for a while, so that the receiver can take over
//! the new one in its own time; no older one does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use recado_types::{EventEndpointId, TenantId};

use super::{EventEndpoint, columns};
use crate::seal::Sealed;
use crate::{Store, StoreError};

/// One statement, so that of several rotations at the same time each replaces what the one before
/// it made.
const ROTATE: &str = concat!(
    "\
-- event_endpoints.rotate_secret
UPDATE event_endpoints
   SET secret_key_id = $3, secret_sealed = $4,
       previous_secret_key_id = CASE WHEN $5::timestamptz IS NOT NULL THEN secret_key_id END,
       previous_secret_sealed = CASE WHEN $5 IS NOT NULL THEN secret_sealed END,
       previous_secret_expires_at = $5,
       updated_at = greatest($6::timestamptz, updated_at + interval '1 microsecond')
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
   AND ($7::timestamptz IS NULL OR updated_at = $7)
RETURNING ",
    columns!()
);

/// A fresh secret as Standard Webhooks has them: `whsec_` and 32 random bytes in base64.
pub fn generate_secret() -> String {
    format!("whsec_{}", BASE64.encode(rand::random::<[u8; 32]>()))
}

/// Replaces an endpoint's secret. The one that is replaced signs too until `previous_expires_at`,
/// if that is given; the one before it, if it still did, ends at once. `None` if there is no such
/// endpoint, or, if `read_at` is given, none that is as it was then.
pub async fn rotate_secret(
    store: &Store,
    tenant: TenantId,
    id: EventEndpointId,
    read_at: Option<DateTime<Utc>>,
    secret: &str,
    previous_expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<EventEndpoint>, StoreError> {
    let operation = "event_endpoints.rotate_secret";
    let failed = StoreError::query(operation);
    let sealed = seal_secret(store, operation, id, secret)?;
    let client = store.client(operation).await?;
    let statement = client.prepare_cached(ROTATE).await.map_err(&failed)?;
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
                &read_at,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(row.as_ref().map(EventEndpoint::from_row))
}

/// Seals a secret for this endpoint and no other.
pub(super) fn seal_secret(
    store: &Store,
    operation: &'static str,
    endpoint: EventEndpointId,
    secret: &str,
) -> Result<Sealed, StoreError> {
    store.seal(operation, secret, &owner(endpoint))
}

/// Opens what was sealed for this endpoint, now or before a rotation.
pub(crate) fn open_secret(
    store: &Store,
    operation: &'static str,
    endpoint: EventEndpointId,
    sealed: &Sealed,
) -> Result<String, StoreError> {
    store.open(operation, sealed, &owner(endpoint))
}

/// What the ciphertext is bound to.
fn owner(endpoint: EventEndpointId) -> String {
    format!("event endpoint {endpoint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_256_random_bits_in_base64() {
        let (one, other) = (generate_secret(), generate_secret());
        assert_ne!(one, other);
        let key = BASE64.decode(one.strip_prefix("whsec_").unwrap()).unwrap();
        assert_eq!(key.len(), 32);
    }
}
