//! Looking at triggers.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use recado_types::{AgentId, TenantId, TriggerId};
use uuid::Uuid;

use super::Trigger;
use crate::{Store, StoreError};

const FIND: &str = concat!(
    "\
-- triggers.find
SELECT ",
    columns!(),
    "
  FROM triggers WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL"
);

const LIST: &str = concat!(
    "\
-- triggers.list
SELECT ",
    columns!(),
    "
  FROM triggers
 WHERE tenant_id = $1 AND deleted_at IS NULL AND (created_at, id) < ($2, $3)
 ORDER BY created_at DESC, id DESC LIMIT $4"
);

const LIST_BY_ENABLED: &str = concat!(
    "\
-- triggers.list_by_enabled
SELECT ",
    columns!(),
    "
  FROM triggers
 WHERE tenant_id = $1 AND deleted_at IS NULL AND (created_at, id) < ($2, $3) AND enabled = $5
 ORDER BY created_at DESC, id DESC LIMIT $4"
);

const LIST_BY_AGENT: &str = concat!(
    "\
-- triggers.list_by_agent
SELECT ",
    columns!(),
    "
  FROM triggers
 WHERE tenant_id = $1 AND deleted_at IS NULL AND (created_at, id) < ($2, $3)
   AND agent_id = $5 AND ($6::boolean IS NULL OR enabled = $6) AND ($7::text IS NULL OR name = $7)
 ORDER BY created_at DESC, id DESC LIMIT $4"
);

const LIST_BY_NAME: &str = concat!(
    "\
-- triggers.list_by_name
SELECT ",
    columns!(),
    "
  FROM triggers
 WHERE tenant_id = $1 AND deleted_at IS NULL AND (created_at, id) < ($2, $3)
   AND name = $5 AND ($6::boolean IS NULL OR enabled = $6)
 ORDER BY created_at DESC, id DESC LIMIT $4"
);

const COUNT_OF_AGENT: &str = "\
-- triggers.count_of_agent
SELECT count(*) FROM triggers
 WHERE tenant_id = $1 AND agent_id = $2 AND trigger_type = 'webhook' AND deleted_at IS NULL";

const PAGE_OF_AGENT: &str = concat!(
    "\
-- triggers.list_page
SELECT ",
    columns!(),
    "
  FROM triggers
 WHERE tenant_id = $1 AND agent_id = $2 AND trigger_type = 'webhook' AND deleted_at IS NULL
 ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4"
);

const OF_AGENT: &str = concat!(
    "\
-- triggers.of_agent
SELECT ",
    columns!(),
    "
  FROM triggers
 WHERE tenant_id = $1 AND id = $2 AND agent_id = $3 AND trigger_type = 'webhook'
   AND deleted_at IS NULL"
);

/// Which triggers to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct TriggerFilter<'f> {
    /// Those of one agent only.
    pub agent_id: Option<AgentId>,
    /// Those that take messages, or those that do not.
    pub enabled: Option<bool>,
    /// Those that people call so.
    pub name: Option<&'f str>,
}

/// A place in the list: `<microseconds>.<id>` as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerPosition {
    /// When the trigger was made.
    pub created_at: DateTime<Utc>,
    /// Which of those that were made then.
    pub id: TriggerId,
}

/// A text that is no [`TriggerPosition`].
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// One of the two parts is missing.
    #[error("the position has no id")]
    NoId,
    /// The time is no number.
    #[error("the position's time is no number")]
    Time(#[source] ParseIntError),
    /// The number is no time.
    #[error("the position's time is out of range")]
    Range,
    /// The id is none.
    #[error("the position's id is none")]
    Id(#[source] recado_types::ids::IdError),
}

impl fmt::Display for TriggerPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.timestamp_micros(), self.id)
    }
}

impl FromStr for TriggerPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (micros, id) = text.split_once('.').ok_or(PositionError::NoId)?;
        let micros = micros.parse().map_err(PositionError::Time)?;
        let created_at = DateTime::from_timestamp_micros(micros).ok_or(PositionError::Range)?;
        Ok(Self { created_at, id: id.parse().map_err(PositionError::Id)? })
    }
}

impl Trigger {
    /// Its place in the list.
    pub fn position(&self) -> TriggerPosition {
        TriggerPosition { created_at: self.created_at, id: self.id }
    }
}

/// A numbered page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: i64,
}

/// One of a tenant's triggers.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    id: TriggerId,
) -> Result<Option<Trigger>, StoreError> {
    let failed = StoreError::query("triggers.find");
    let client = store.client("triggers.find").await?;
    let statement = client.prepare_cached(FIND).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Trigger::from_row))
}

/// One of an agent's triggers.
pub async fn of_agent(
    store: &Store,
    tenant: TenantId,
    agent: AgentId,
    id: TriggerId,
) -> Result<Option<Trigger>, StoreError> {
    let failed = StoreError::query("triggers.of_agent");
    let client = store.client("triggers.of_agent").await?;
    let statement = client.prepare_cached(OF_AGENT).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0, &agent.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Trigger::from_row))
}

/// The triggers of a tenant after `after`, newest first. What narrows the list most is what it is
/// looked up by.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    filter: &TriggerFilter<'_>,
    after: Option<TriggerPosition>,
    limit: i64,
) -> Result<Vec<Trigger>, StoreError> {
    let failed = StoreError::query("triggers.list");
    let client = store.client("triggers.list").await?;
    let created_at = after.map_or(DateTime::<Utc>::MAX_UTC, |after| after.created_at);
    let id = after.map_or(Uuid::max(), |after| after.id.0);
    let TriggerFilter { agent_id, enabled, name } = *filter;
    let agent = agent_id.map(|agent| agent.0);
    let prepare = |sql| client.prepare_cached(sql);
    let rows = match (&agent, &name, &enabled) {
        (Some(agent), _, _) => {
            let statement = prepare(LIST_BY_AGENT).await.map_err(&failed)?;
            let parameters: super::Parameters<'_> =
                &[&tenant.0, &created_at, &id, &limit, agent, &enabled, &name];
            client.query(&statement, parameters).await
        }
        (None, Some(name), _) => {
            let statement = prepare(LIST_BY_NAME).await.map_err(&failed)?;
            let parameters: super::Parameters<'_> =
                &[&tenant.0, &created_at, &id, &limit, name, &enabled];
            client.query(&statement, parameters).await
        }
        (None, None, Some(enabled)) => {
            let statement = prepare(LIST_BY_ENABLED).await.map_err(&failed)?;
            client.query(&statement, &[&tenant.0, &created_at, &id, &limit, enabled]).await
        }
        (None, None, None) => {
            let statement = prepare(LIST).await.map_err(&failed)?;
            client.query(&statement, &[&tenant.0, &created_at, &id, &limit]).await
        }
    };
    Ok(rows.map_err(&failed)?.iter().map(Trigger::from_row).collect())
}

/// `limit` of an agent's triggers after the first `offset`, newest first.
pub async fn list_page(
    store: &Store,
    tenant: TenantId,
    agent: AgentId,
    offset: i64,
    limit: i64,
) -> Result<Page<Trigger>, StoreError> {
    let failed = StoreError::query("triggers.list_page");
    let client = store.client("triggers.list_page").await?;
    let count = client.prepare_cached(COUNT_OF_AGENT).await.map_err(&failed)?;
    let total = client.query_one(&count, &[&tenant.0, &agent.0]).await.map_err(&failed)?.get(0);
    if offset >= total {
        return Ok(Page { items: Vec::new(), total });
    }
    let statement = client.prepare_cached(PAGE_OF_AGENT).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0, &agent.0, &limit, &offset]).await;
    Ok(Page { items: rows.map_err(&failed)?.iter().map(Trigger::from_row).collect(), total })
}
