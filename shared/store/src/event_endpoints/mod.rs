//! Event endpoints: where an agent's events are sent to.
//!
//! Here is what people do with them; what the worker does, which sends to them, is in
//! `event_deliveries`. A change leaves alone what it does not name, so that whoever renames an
//! endpoint does not enable it again that the worker has just disabled.

mod resend;
mod secret;

pub use resend::{
    MAX_RECOVERED, Recovery, Resend, SentTest, TEST_EVENT_TYPE, recover, send_again, send_test,
};
pub(crate) use secret::open_secret;
pub use secret::{generate_secret, rotate_secret};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use recado_types::{AgentId, EventEndpointId, TenantId};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::{Store, StoreError, agents};

/// The most endpoints of one tenant: every event is compared with all of them.
pub const MAX_ENDPOINTS: i64 = 100;

/// An event endpoint, as it may be told. Its secret is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventEndpoint {
    /// Which.
    pub id: EventEndpointId,
    /// Whose events; `None` for those of every agent of the tenant.
    pub agent_id: Option<AgentId>,
    /// What people call it.
    pub name: String,
    /// Where to.
    pub url: String,
    /// Which events; none for all.
    pub event_types: Vec<String>,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// Why Recado disabled it; `None` if a person did, or nobody.
    pub disabled_code: Option<String>,
    /// The same for people.
    pub disabled_message: Option<String>,
    /// Since when it is disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Since when every attempt has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when the secret before the present one signs too, if there is one.
    pub previous_secret_expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed: what tells its versions apart. It moves with every change by a
    /// person, and when Recado disables the endpoint. It does not move with `failing_since`: that
    /// comes and goes with what receivers answer, and is nothing that anybody could have set.
    pub updated_at: DateTime<Utc>,
}

impl EventEndpoint {
    fn from_row(row: &Row) -> Self {
        Self {
            id: EventEndpointId(row.get("id")),
            agent_id: row.get::<_, Option<Uuid>>("agent_id").map(AgentId),
            name: row.get("name"),
            url: row.get("url"),
            event_types: row.get("event_types"),
            enabled: row.get("enabled"),
            disabled_code: row.get("disabled_code"),
            disabled_message: row.get("disabled_message"),
            disabled_at: row.get("disabled_at"),
            failing_since: row.get("failing_since"),
            previous_secret_expires_at: row.get("previous_secret_expires_at"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// What an event endpoint is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventEndpointDraft {
    /// Whose events; `None` for those of every agent of the tenant.
    pub agent_id: Option<AgentId>,
    /// What people call it.
    pub name: String,
    /// Where to, already judged.
    pub url: String,
    /// Which events, already judged; none for all.
    pub event_types: Vec<String>,
    /// Whether anything is sent there; `None` leaves it as it is, and enables what is new.
    pub enabled: Option<bool>,
}

/// What saving an event endpoint came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is saved.
    Saved(Box<EventEndpoint>),
    /// There is one of that name already.
    NameTaken,
    /// The tenant has no such agent.
    NoAgent,
    /// The tenant has [`MAX_ENDPOINTS`] already.
    TooMany,
    /// It was deleted, or changed by somebody else since it was read.
    Stale,
}

macro_rules! columns {
    () => {
        "id, agent_id, name, url, event_types, enabled, disabled_code, disabled_message,
       disabled_at, failing_since, previous_secret_expires_at, created_at, updated_at"
    };
}
pub(crate) use columns;

/// Those who make endpoints at the same time count one after the other.
const LOCK_TENANT: &str = "\
-- event_endpoints.lock_tenant
SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE";

const COUNT: &str = "\
-- event_endpoints.count
SELECT count(*) FROM event_endpoints WHERE tenant_id = $1 AND deleted_at IS NULL";

const INSERT: &str = concat!(
    "\
-- event_endpoints.insert
INSERT INTO event_endpoints (id, tenant_id, agent_id, name, url, event_types, enabled,
                             secret_key_id, secret_sealed, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
RETURNING ",
    columns!()
);

const FIND: &str = concat!(
    "\
-- event_endpoints.find
SELECT ",
    columns!(),
    "
  FROM event_endpoints WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL"
);

const LIST: &str = concat!(
    "\
-- event_endpoints.list
SELECT ",
    columns!(),
    "
  FROM event_endpoints
 WHERE tenant_id = $1 AND deleted_at IS NULL AND name > $2 ORDER BY name LIMIT $3"
);

/// Who enables it says that its troubles are over; who disables it has no code, unless it was
/// disabled before.
const UPDATE: &str = concat!(
    "\
-- event_endpoints.update
UPDATE event_endpoints
   SET agent_id = $4, name = $5, url = $6, event_types = $7, enabled = coalesce($8, enabled),
       disabled_code = CASE WHEN $8::boolean THEN NULL ELSE disabled_code END,
       disabled_message = CASE WHEN $8 THEN NULL ELSE disabled_message END,
       disabled_at = CASE WHEN $8 THEN NULL
                          WHEN enabled AND NOT $8 THEN $9::timestamptz
                          ELSE disabled_at END,
       failing_since = CASE WHEN $8 THEN NULL ELSE failing_since END,
       updated_at = greatest($9, updated_at + interval '1 microsecond')
 WHERE tenant_id = $1 AND id = $2 AND updated_at = $3 AND deleted_at IS NULL
RETURNING ",
    columns!()
);

const DELETE: &str = "\
-- event_endpoints.delete
UPDATE event_endpoints SET deleted_at = $3, enabled = false
 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
   AND ($4::timestamptz IS NULL OR updated_at = $4)";

/// An attempt that is under way comes to its end, but changes nothing any more.
const END_PENDING: &str = "\
-- event_endpoints.end_pending
WITH batch AS MATERIALIZED (
    SELECT id FROM event_deliveries
     WHERE endpoint_id = $1 AND next_attempt_at IS NOT NULL
     LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE event_deliveries
   SET status = 'failed', error_code = $3, finished_at = $4, next_attempt_at = NULL,
       lease_token = NULL
  FROM batch
 WHERE event_deliveries.id = batch.id";

/// The `error_code` of what was on its way to an endpoint that was deleted.
pub const ENDPOINT_DELETED: &str = "endpoint_deleted";

/// How many deliveries one statement ends, and how many of such statements one deletion makes.
const END_BATCH: i64 = 1_000;
const MAX_END_BATCHES: usize = 100;

/// Keeps a new event endpoint.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: EventEndpointId,
    draft: &EventEndpointDraft,
    secret: &str,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let operation = "event_endpoints.insert";
    let failed = StoreError::query(operation);
    let sealed = secret::seal_secret(store, operation, id, secret)?;
    let mut client = store.client(operation).await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    if is_full(&transaction, tenant).await? {
        return Ok(Saved::TooMany);
    }
    if !has_agent(&transaction, tenant, draft).await? {
        return Ok(Saved::NoAgent);
    }
    let statement = transaction.prepare_cached(INSERT).await.map_err(&failed)?;
    let row = transaction
        .query_opt(
            &statement,
            &[
                &id.0,
                &tenant.0,
                &draft.agent_id.map(|agent| agent.0),
                &draft.name,
                &draft.url,
                &draft.event_types,
                &draft.enabled.unwrap_or(true),
                &sealed.key_id,
                &sealed.bytes,
                &now,
            ],
        )
        .await;
    saved(operation, transaction, row).await
}

/// One of a tenant's event endpoints.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    id: EventEndpointId,
) -> Result<Option<EventEndpoint>, StoreError> {
    let failed = StoreError::query("event_endpoints.find");
    let client = store.client("event_endpoints.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(EventEndpoint::from_row))
}

/// The event endpoints whose names come after `after`, in the order of their names.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    after: &str,
    limit: i64,
) -> Result<Vec<EventEndpoint>, StoreError> {
    let failed = StoreError::query("event_endpoints.list");
    let client = store.client("event_endpoints.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0, &after, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(EventEndpoint::from_row).collect())
}

/// Replaces an event endpoint that nobody has changed since it was read, which `read_at` (its
/// `updated_at` then) tells. Enabling it forgets why it was disabled, and since when it failed.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    id: EventEndpointId,
    read_at: DateTime<Utc>,
    draft: &EventEndpointDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let operation = "event_endpoints.update";
    let failed = StoreError::query(operation);
    let mut client = store.client(operation).await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    if !has_agent(&transaction, tenant, draft).await? {
        return Ok(Saved::NoAgent);
    }
    let statement = transaction.prepare_cached(UPDATE).await.map_err(&failed)?;
    let row = transaction
        .query_opt(
            &statement,
            &[
                &tenant.0,
                &id.0,
                &read_at,
                &draft.agent_id.map(|agent| agent.0),
                &draft.name,
                &draft.url,
                &draft.event_types,
                &draft.enabled,
                &now,
            ],
        )
        .await;
    saved(operation, transaction, row).await
}

/// Deletes an event endpoint; `false` if there is no such endpoint, or, if `read_at` is given, none
/// that is as it was then. Its row stays for the deliveries that refer to it; those that were on
/// their way fail, up to 100,000 of them. What is left is not sent either: whoever claims ends it
/// when it is due.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: EventEndpointId,
    read_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("event_endpoints.delete");
    let client = store.client("event_endpoints.delete").await?;
    let statement = client.prepare_cached(DELETE).await.map_err(&failed)?;
    let n_deleted = client.execute(&statement, &[&tenant.0, &id.0, &now, &read_at]).await;
    if n_deleted.map_err(&failed)? == 0 {
        return Ok(false);
    }
    let failed = StoreError::query("event_endpoints.end_pending");
    let statement = client.prepare_cached(END_PENDING).await.map_err(&failed)?;
    for _ in 0..MAX_END_BATCHES {
        let ended = client.execute(&statement, &[&id.0, &END_BATCH, &ENDPOINT_DELETED, &now]).await;
        if ended.map_err(&failed)? == 0 {
            break;
        }
    }
    Ok(true)
}

/// Whether the tenant has as many as it may have. Until the transaction ends, nobody else counts.
async fn is_full(transaction: &Transaction<'_>, tenant: TenantId) -> Result<bool, StoreError> {
    let failed = StoreError::query("event_endpoints.count");
    let lock = transaction.prepare_cached(LOCK_TENANT).await.map_err(&failed)?;
    transaction.query_opt(&lock, &[&tenant.0]).await.map_err(&failed)?;
    // A statement of its own, which sees what those before us have committed.
    let count = transaction.prepare_cached(COUNT).await.map_err(&failed)?;
    let row = transaction.query_one(&count, &[&tenant.0]).await.map_err(&failed)?;
    Ok(row.get::<_, i64>(0) >= MAX_ENDPOINTS)
}

/// Whether the draft's agent is there, which then stays until `transaction` ends.
async fn has_agent(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    draft: &EventEndpointDraft,
) -> Result<bool, StoreError> {
    match draft.agent_id {
        Some(agent) => Ok(agents::hold(transaction, tenant, agent).await?.is_some()),
        None => Ok(true),
    }
}

/// Commits what was written, if it was.
async fn saved(
    operation: &'static str,
    transaction: Transaction<'_>,
    written: Result<Option<Row>, tokio_postgres::Error>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query(operation);
    match written {
        Ok(Some(row)) => {
            transaction.commit().await.map_err(&failed)?;
            Ok(Saved::Saved(Box::new(EventEndpoint::from_row(&row))))
        }
        Ok(None) => Ok(Saved::Stale),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(Saved::NameTaken),
        Err(error) => Err(failed(error)),
    }
}
