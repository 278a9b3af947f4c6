//! The chunks of a delivery, stored before the first one is sent.

use recado_types::DeliveryId;

use crate::lanes::{Held, Lease};
use crate::{Store, StoreError};

const PLAN: &str = "\
-- deliveries.plan
WITH lane AS (
    SELECT session_id FROM lanes
     WHERE kind = 'delivery' AND session_id = $1 AND lease_token = $2 FOR UPDATE
), planned AS (
    UPDATE deliveries SET chunk_count = cardinality($4::text[]), truncated = $5
      FROM lane WHERE deliveries.id = $3
    RETURNING deliveries.id
), cut AS (
    INSERT INTO chunks (delivery_id, chunk_index, body, status)
    SELECT planned.id, place - 1, body, 'pending'
      FROM planned, unnest($4::text[]) WITH ORDINALITY AS chunk (body, place)
    ON CONFLICT (delivery_id, chunk_index) DO NOTHING
)
SELECT count(*) FROM lane";

/// Stores the chunks before the first is sent, so that a successor sends the same ones. A single
/// chunk need not be planned: its body goes with its attempt.
pub async fn plan(
    store: &Store,
    lease: &Lease,
    delivery: DeliveryId,
    chunks: &[String],
    truncated: bool,
) -> Result<Held, StoreError> {
    let failed = StoreError::query("deliveries.plan");
    let client = store.client("deliveries.plan").await?;
    let statement = client.prepare_cached(PLAN).await.map_err(&failed)?;
    let session = lease.session_id.0;
    let row = client
        .query_one(&statement, &[&session, &lease.token, &delivery.0, &chunks, &truncated])
        .await
        .map_err(&failed)?;
    Ok(Held::from_count(row.get(0)))
}
