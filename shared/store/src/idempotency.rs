//! First answers to requests with an `Idempotency-Key`, so that a retry is not done twice.
//!
//! A key belongs to its tenant for a day. Who uses it first claims it, for as long as a request
//! may take; if they die over it, nobody knows whether it was done, and nobody does it again.

use chrono::{DateTime, Utc};
use recado_types::TenantId;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use crate::seal::Sealed;
use crate::{Store, StoreError};

/// What was answered the first time.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers that say something about the answer.
    pub headers: Vec<(String, String)>,
    /// The body; it is sealed, because it may hold what is shown only once.
    pub body: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours, until then, which also tells our claim from later ones.
    Ours(DateTime<Utc>),
    /// Somebody is at the same request at this moment.
    Busy,
    /// It was answered.
    Answered(Answer),
    /// Whoever was at it is gone, and did not say whether it was done.
    Unknown,
    /// The key was used for another request.
    OtherRequest,
}

const CLAIM: &str = "\
-- idempotency.claim
INSERT INTO idempotent_requests AS first (tenant_id, key, fingerprint, created_at, busy_until)
VALUES ($1, $2, $3, now(), now() + interval '2 minutes')
ON CONFLICT (tenant_id, key) DO UPDATE
   SET fingerprint = excluded.fingerprint, created_at = excluded.created_at, status = NULL,
       busy_until = excluded.busy_until, headers = NULL, body_key_id = NULL, body_sealed = NULL
 WHERE first.created_at < now() - interval '1 day'
RETURNING busy_until";

const FIND: &str = "\
-- idempotency.find
SELECT fingerprint, status, headers, body_key_id, body_sealed, busy_until < now() AS is_given_up
  FROM idempotent_requests
 WHERE tenant_id = $1 AND key = $2";

const ANSWER: &str = "\
-- idempotency.answer
UPDATE idempotent_requests SET status = $4, headers = $5, body_key_id = $6, body_sealed = $7
 WHERE tenant_id = $1 AND key = $2 AND busy_until = $3 AND status IS NULL";

const RELEASE: &str = "\
-- idempotency.release
DELETE FROM idempotent_requests
 WHERE tenant_id = $1 AND key = $2 AND busy_until = $3 AND status IS NULL";

/// Claims `key` for the request that `fingerprint` stands for.
pub async fn claim(
    store: &Store,
    tenant: TenantId,
    key: &str,
    fingerprint: &[u8; 32],
) -> Result<Claim, StoreError> {
    let failed = StoreError::query("idempotency.claim");
    let client = store.client("idempotency.claim").await?;
    let statement = client.prepare_cached(CLAIM).await.map_err(&failed)?;
    let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&tenant.0, &key, &fingerprint.as_slice()];
    if let Some(row) = client.query_opt(&statement, parameters).await.map_err(&failed)? {
        return Ok(Claim::Ours(row.get("busy_until")));
    }
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &key]).await.map_err(&failed)?;
    // Gone in between: whoever had it was refused. The client asks again.
    let Some(row) = row else { return Ok(Claim::Busy) };
    if row.get::<_, &[u8]>("fingerprint") != fingerprint.as_slice() {
        return Ok(Claim::OtherRequest);
    }
    let answer = answer_of(store, tenant, key, &row)?;
    let unanswered = if row.get("is_given_up") { Claim::Unknown } else { Claim::Busy };
    Ok(answer.map_or(unanswered, Claim::Answered))
}

fn answer_of(
    store: &Store,
    tenant: TenantId,
    key: &str,
    row: &Row,
) -> Result<Option<Answer>, StoreError> {
    let Some(status) = row.get::<_, Option<i32>>("status") else { return Ok(None) };
    let Json(headers) = row.get("headers");
    let sealed = Sealed { key_id: row.get("body_key_id"), bytes: row.get("body_sealed") };
    let body = store.open("idempotency.claim", &sealed, &owner(tenant, key))?;
    Ok(Some(Answer { status: u16::try_from(status).unwrap_or(500), headers, body }))
}

/// Keeps what was answered, if the claim is still ours.
pub async fn answer(
    store: &Store,
    tenant: TenantId,
    key: &str,
    claimed: DateTime<Utc>,
    answer: &Answer,
) -> Result<(), StoreError> {
    let failed = StoreError::query("idempotency.answer");
    let sealed = store.seal("idempotency.answer", &answer.body, &owner(tenant, key))?;
    let client = store.client("idempotency.answer").await?;
    let statement = client.prepare_cached(ANSWER).await.map_err(&failed)?;
    let status = i32::from(answer.status);
    let headers = Json(&answer.headers);
    client
        .execute(
            &statement,
            &[&tenant.0, &key, &claimed, &status, &headers, &sealed.key_id, &sealed.bytes],
        )
        .await
        .map_err(&failed)?;
    Ok(())
}

/// Gives the key back, because nothing was done.
pub async fn release(
    store: &Store,
    tenant: TenantId,
    key: &str,
    claimed: DateTime<Utc>,
) -> Result<(), StoreError> {
    let failed = StoreError::query("idempotency.release");
    let client = store.client("idempotency.release").await?;
    let statement = client.prepare_cached(RELEASE).await.map_err(&failed)?;
    client.execute(&statement, &[&tenant.0, &key, &claimed]).await.map_err(&failed)?;
    Ok(())
}

/// What the body is sealed for.
fn owner(tenant: TenantId, key: &str) -> String {
    format!("idempotency/{tenant}/{key}")
}
