//! The end of a delivery that nothing more is sent of.

use chrono::{DateTime, Utc};
use recado_types::DeliveryId;

use crate::lanes::{Held, Lease};
use crate::{Store, StoreError};

const FAIL: &str = "\
-- deliveries.fail
WITH lane AS (
    UPDATE lanes
       SET queued = queued - 1, lease_token = NULL,
           next_run_at = CASE WHEN queued > 1 THEN now() END
     WHERE kind = 'delivery' AND session_id = $1 AND lease_token = $2
    RETURNING session_id
), skipped AS (
    UPDATE chunks SET status = 'skipped'
      FROM lane WHERE chunks.delivery_id = $3 AND chunks.status = 'pending'
)
UPDATE deliveries
   SET status = 'failed', finished_at = $4, error_code = $5, error_message = $6
  FROM lane
 WHERE deliveries.id = $3";

/// Ends a delivery that cannot be sent at all: its template, its secret or its destination is
/// wrong, or it has waited too long.
pub async fn fail(
    store: &Store,
    lease: &Lease,
    delivery: DeliveryId,
    now: DateTime<Utc>,
    code: &str,
    message: &str,
) -> Result<Held, StoreError> {
    let failed = StoreError::query("deliveries.fail");
    let client = store.client("deliveries.fail").await?;
    let statement = client.prepare_cached(FAIL).await.map_err(&failed)?;
    let session = lease.session_id.0;
    let n_updated = client
        .execute(&statement, &[&session, &lease.token, &delivery.0, &now, &code, &message])
        .await
        .map_err(&failed)?;
    Ok(if n_updated == 0 { Held::No } else { Held::Yes })
}
