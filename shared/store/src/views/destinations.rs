//! Destinations: whether the receivers of callbacks answer. A destination is a trigger's callback.

use chrono::{DateTime, Utc};
use recado_types::{TenantId, TriggerId};
use tokio_postgres::Row;

use crate::{Store, StoreError};

/// How many of a destination's lanes are looked at to tell what waits there.
const MAX_LANES: i64 = 10_000;

/// A lane that is leased while the destination is open is the one that tries it; or one that was
/// on its way when it opened, for a moment.
macro_rules! columns {
    () => {
        "t.id AS trigger_id, t.name AS trigger_name, d.failure_count, d.probe_count, d.error_code,
       d.error_message, d.opened_at, d.probe_at, d.probe_at <= now() AS may_be_tried,
       EXISTS (SELECT FROM lanes
                WHERE kind = 'delivery' AND tenant_id = t.tenant_id AND trigger_id = t.id
                  AND next_run_at > now() AND lease_token IS NOT NULL) AS is_being_tried,
       (SELECT coalesce(sum(due.queued), 0)
          FROM (SELECT queued FROM lanes
                 WHERE kind = 'delivery' AND tenant_id = t.tenant_id AND trigger_id = t.id
                   AND next_run_at <= now()
                 LIMIT $3) due) AS n_waiting"
    };
}

/// In the order of `destinations_by_tenant`.
const LIST: &str = concat!(
    "\
-- views.destinations
SELECT ",
    columns!(),
    "
  FROM destinations d
  JOIN triggers t ON t.id = d.trigger_id
 WHERE d.tenant_id = $1 AND ($2::uuid IS NULL OR d.trigger_id > $2)
 ORDER BY d.trigger_id LIMIT $4"
);

/// Deleted triggers count: what they have accepted is still sent.
const ONE: &str = concat!(
    "\
-- views.destination
SELECT ",
    columns!(),
    "
  FROM triggers t
  LEFT JOIN destinations d ON d.trigger_id = t.id
 WHERE t.tenant_id = $1 AND t.id = $2"
);

/// Whether a destination answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationState {
    /// It answers, or nothing else is known.
    Closed,
    /// It does not, and is left alone until it may be tried.
    Open,
    /// It may be tried now, or is being tried.
    HalfOpen,
}

impl DestinationState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// As shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationView {
    /// The trigger whose callback it is.
    pub trigger_id: TriggerId,
    /// What people call that.
    pub trigger_name: String,
    /// Whether it answers.
    pub state: DestinationState,
    /// Why it is taken not to; `None` while it is closed.
    pub trouble: Option<Trouble>,
    /// How many deliveries wait for it: those of at most 10,000 sessions.
    pub n_waiting: i64,
}

/// What is known of a destination that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How many requests in a row were not answered, or with a sign of overload.
    pub failure_count: i32,
    /// How often it was tried since without an answer.
    pub probe_count: i32,
    /// What came of the last request.
    pub error_code: String,
    /// The same for people.
    pub error_message: String,
    /// Since when nothing else is sent there.
    pub opened_at: DateTime<Utc>,
    /// When it may be tried next.
    pub probe_at: DateTime<Utc>,
}

/// The destinations that do not answer, in the order of their triggers' ids.
pub async fn destinations(
    store: &Store,
    tenant: TenantId,
    after: Option<TriggerId>,
    limit: i64,
) -> Result<Vec<DestinationView>, StoreError> {
    let failed = StoreError::query("views.destinations");
    let client = store.client("views.destinations").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let after = after.map(|id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &after, &MAX_LANES, &limit]).await;
    Ok(rows.map_err(&failed)?.iter().map(from_row).collect())
}

/// A trigger's destination, whether it answers or not; `None` if the tenant has, and had, no such
/// trigger.
pub async fn destination(
    store: &Store,
    tenant: TenantId,
    trigger: TriggerId,
) -> Result<Option<DestinationView>, StoreError> {
    let failed = StoreError::query("views.destination");
    let client = store.client("views.destination").await?;
    let statement = client.prepare_cached(ONE).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &trigger.0, &MAX_LANES]).await;
    Ok(row.map_err(&failed)?.as_ref().map(from_row))
}

fn from_row(row: &Row) -> DestinationView {
    let trouble = row.get::<_, Option<DateTime<Utc>>>("opened_at").map(|opened_at| Trouble {
        failure_count: row.get("failure_count"),
        probe_count: row.get("probe_count"),
        error_code: row.get("error_code"),
        error_message: row.get("error_message"),
        opened_at,
        probe_at: row.get("probe_at"),
    });
    let may_be_tried = row.get::<_, Option<bool>>("may_be_tried").unwrap_or_default();
    let state = match trouble {
        None => DestinationState::Closed,
        Some(_) if may_be_tried || row.get("is_being_tried") => DestinationState::HalfOpen,
        Some(_) => DestinationState::Open,
    };
    DestinationView {
        trigger_id: TriggerId(row.get("trigger_id")),
        trigger_name: row.get("trigger_name"),
        state,
        trouble,
        n_waiting: row.get("n_waiting"),
    }
}
