//! Members: the team, whom `sender_access` may let in.
//!
//! What identifies somebody is kept twice where it can be written in several ways: as it was given,
//! and as it is compared. The latter (see [`recado_types::identity`]) is unique in the tenant and is
//! what a sender is looked up by.

mod import;

use chrono::{DateTime, Utc};
use recado_types::trigger::MatchColumn;
use recado_types::{MemberId, TenantId};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use crate::{Store, StoreError};

pub use import::{Import, Imported, import};

/// A member, as the way in needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub id: MemberId,
    /// What people call them.
    pub name: String,
    /// Their telephone number, as it was given.
    pub phone: Option<String>,
    /// Their address, as it was given.
    pub email: Option<String>,
    /// What another system calls them.
    pub external_id: Option<String>,
}

impl Member {
    fn from_row(row: &Row) -> Self {
        Self {
            id: MemberId(row.get("id")),
            name: row.get("name"),
            phone: row.get("phone"),
            email: row.get("email"),
            external_id: row.get("external_id"),
        }
    }
}

/// A member, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Who it is.
    pub member: Member,
    /// Whether they may write.
    pub active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl MemberRecord {
    fn from_row(row: &Row) -> Self {
        Self {
            member: Member::from_row(row),
            active: row.get("active"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// Something that can be written in several ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// As it was given.
    pub shown: String,
    /// As it is compared.
    pub key: String,
}

/// What a member is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDraft {
    /// What people call them.
    pub name: String,
    /// Their telephone number.
    pub phone: Option<Identifier>,
    /// Their address.
    pub email: Option<Identifier>,
    /// What another system calls them: compared as it is kept.
    pub external_id: Option<String>,
    /// Whether they may write.
    pub active: bool,
}

impl MemberDraft {
    fn phone_key(&self) -> Option<&str> {
        self.phone.as_ref().map(|phone| phone.key.as_str())
    }

    fn email_key(&self) -> Option<&str> {
        self.email.as_ref().map(|email| email.key.as_str())
    }
}

/// What saving a member came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is saved.
    Saved(MemberRecord),
    /// Other members have these already.
    Taken(Vec<MatchColumn>),
    /// It was deleted, or changed by somebody else since it was read; or whoever was in the way is
    /// gone by now.
    Stale,
}

const CREATE: &str = "\
-- members.create
INSERT INTO members (id, tenant_id, name, phone, phone_key, email, email_key, external_id, active,
                     created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
RETURNING id, name, phone, email, external_id, active, created_at, updated_at";

const LOOK_UP: &str = "\
-- members.look_up
SELECT id, name, phone, email, external_id, active, created_at, updated_at
  FROM members WHERE tenant_id = $1 AND id = $2";

const LIST: &str = "\
-- members.list
SELECT id, name, phone, email, external_id, active, created_at, updated_at
  FROM members WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

const REPLACE: &str = "\
-- members.replace
UPDATE members
   SET name = $4, phone = $5, phone_key = $6, email = $7, email_key = $8, external_id = $9,
       active = $10,
       updated_at = greatest($11::timestamptz, updated_at + interval '1 microsecond')
 WHERE tenant_id = $1 AND id = $2 AND updated_at = $3
RETURNING id, name, phone, email, external_id, active, created_at, updated_at";

const TAKEN: &str = "\
-- members.taken
SELECT EXISTS (SELECT FROM members WHERE tenant_id = $1 AND id <> $2 AND phone_key = $3),
       EXISTS (SELECT FROM members WHERE tenant_id = $1 AND id <> $2 AND email_key = $4),
       EXISTS (SELECT FROM members WHERE tenant_id = $1 AND id <> $2 AND external_id = $5)";

const DELETE: &str = "\
-- members.delete
DELETE FROM members WHERE tenant_id = $1 AND id = $2
   AND ($3::timestamptz IS NULL OR updated_at = $3)";

const FIND_BY_PHONE: &str = "\
-- members.find
SELECT id, name, phone, email, external_id
  FROM members WHERE tenant_id = $1 AND phone_key = $2 AND active";

const FIND_BY_EMAIL: &str = "\
-- members.find
SELECT id, name, phone, email, external_id
  FROM members WHERE tenant_id = $1 AND email_key = $2 AND active";

const FIND_BY_EXTERNAL_ID: &str = "\
-- members.find
SELECT id, name, phone, email, external_id
  FROM members WHERE tenant_id = $1 AND external_id = $2 AND active";

/// The active member whom a sender's `key` names, which has to be in the form in which `column` is
/// compared.
pub async fn find(
    store: &Store,
    tenant: TenantId,
    column: MatchColumn,
    key: &str,
) -> Result<Option<Member>, StoreError> {
    let failed = StoreError::query("members.find");
    let statement = match column {
        MatchColumn::Phone => FIND_BY_PHONE,
        MatchColumn::Email => FIND_BY_EMAIL,
        MatchColumn::ExternalId => FIND_BY_EXTERNAL_ID,
    };
    let client = store.client("members.find").await?;
    let statement = client.prepare_cached(statement).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &key]).await.map_err(&failed)?;
    Ok(row.as_ref().map(Member::from_row))
}

/// Keeps a new member.
pub async fn create(
    store: &Store,
    tenant: TenantId,
    id: MemberId,
    draft: &MemberDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("members.create");
    let client = store.client("members.create").await?;
    let statement = client.prepare_cached(CREATE).await.map_err(&failed)?;
    let values: [&(dyn ToSql + Sync); 10] = [
        &id.0,
        &tenant.0,
        &draft.name,
        &draft.phone.as_ref().map(|phone| &phone.shown),
        &draft.phone_key(),
        &draft.email.as_ref().map(|email| &email.shown),
        &draft.email_key(),
        &draft.external_id,
        &draft.active,
        &now,
    ];
    match save(&client, &statement, &values).await.map_err(&failed)? {
        Some(saved) => Ok(saved),
        None => taken(&client, tenant, id, draft).await,
    }
}

/// One of a tenant's members, active or not.
pub async fn look_up(
    store: &Store,
    tenant: TenantId,
    id: MemberId,
) -> Result<Option<MemberRecord>, StoreError> {
    let failed = StoreError::query("members.look_up");
    let client = store.client("members.look_up").await?;
    let statement = client.prepare_cached(LOOK_UP).await.map_err(&failed)?;
    let row = client.query_opt(&statement, &[&tenant.0, &id.0]).await.map_err(&failed)?;
    Ok(row.as_ref().map(MemberRecord::from_row))
}

/// The members of a tenant older than `before`, newest first.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    before: Option<MemberId>,
    limit: i64,
) -> Result<Vec<MemberRecord>, StoreError> {
    let failed = StoreError::query("members.list");
    let client = store.client("members.list").await?;
    let statement = client.prepare_cached(LIST).await.map_err(&failed)?;
    let before = before.map_or(Uuid::max(), |id| id.0);
    let rows = client.query(&statement, &[&tenant.0, &before, &limit]).await.map_err(&failed)?;
    Ok(rows.iter().map(MemberRecord::from_row).collect())
}

/// Replaces a member that has not changed since it was read, which `read_at` (its `updated_at`
/// then) tells: it moves with every change, even if the clock does not.
pub async fn replace(
    store: &Store,
    tenant: TenantId,
    id: MemberId,
    read_at: DateTime<Utc>,
    draft: &MemberDraft,
    now: DateTime<Utc>,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("members.replace");
    let client = store.client("members.replace").await?;
    let statement = client.prepare_cached(REPLACE).await.map_err(&failed)?;
    let values: [&(dyn ToSql + Sync); 11] = [
        &tenant.0,
        &id.0,
        &read_at,
        &draft.name,
        &draft.phone.as_ref().map(|phone| &phone.shown),
        &draft.phone_key(),
        &draft.email.as_ref().map(|email| &email.shown),
        &draft.email_key(),
        &draft.external_id,
        &draft.active,
        &now,
    ];
    match save(&client, &statement, &values).await.map_err(&failed)? {
        Some(saved) => Ok(saved),
        None => taken(&client, tenant, id, draft).await,
    }
}

/// Deletes a member; only as it was `read_at`, if that is given. `false` if there is none.
pub async fn delete(
    store: &Store,
    tenant: TenantId,
    id: MemberId,
    read_at: Option<DateTime<Utc>>,
) -> Result<bool, StoreError> {
    let failed = StoreError::query("members.delete");
    let client = store.client("members.delete").await?;
    let statement = client.prepare_cached(DELETE).await.map_err(&failed)?;
    let n_deleted = client.execute(&statement, &[&tenant.0, &id.0, &read_at]).await;
    Ok(n_deleted.map_err(&failed)? == 1)
}

/// What the statement came to; `None` if somebody else has one of the identifiers.
async fn save(
    client: &deadpool_postgres::Client,
    statement: &Statement,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Option<Saved>, tokio_postgres::Error> {
    match client.query_opt(statement, values).await {
        Ok(Some(row)) => Ok(Some(Saved::Saved(MemberRecord::from_row(&row)))),
        Ok(None) => Ok(Some(Saved::Stale)),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All that stands in the way of the draft: the violation itself names one constraint only.
async fn taken(
    client: &deadpool_postgres::Client,
    tenant: TenantId,
    id: MemberId,
    draft: &MemberDraft,
) -> Result<Saved, StoreError> {
    let failed = StoreError::query("members.taken");
    let statement = client.prepare_cached(TAKEN).await.map_err(&failed)?;
    let keys: [&(dyn ToSql + Sync); 5] =
        [&tenant.0, &id.0, &draft.phone_key(), &draft.email_key(), &draft.external_id];
    let row = client.query_one(&statement, &keys).await.map_err(&failed)?;
    let columns = [MatchColumn::Phone, MatchColumn::Email, MatchColumn::ExternalId];
    let taken = columns.into_iter().enumerate().filter(|(place, _)| row.get(*place));
    let taken: Vec<MatchColumn> = taken.map(|(_, column)| column).collect();
    Ok(if taken.is_empty() { Saved::Stale } else { Saved::Taken(taken) })
}
