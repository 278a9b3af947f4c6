//! Many members at once: all of them, or none.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use recado_types::{MemberId, TenantId};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::MemberDraft;
use crate::{Store, StoreError};

/// A member to be: somebody new, unless one of their identifiers is somebody's already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Their id, if they are new.
    pub id: MemberId,
    /// What they are made of. What is not given stays as it was.
    pub draft: MemberDraft,
    /// Whether they are let in, if that is said: it is not the draft that says it here.
    pub active: Option<bool>,
}

/// What importing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// All of it is saved.
    Saved {
        /// How many are new.
        n_created: usize,
        /// How many were there and are different now.
        n_updated: usize,
        /// How many were there as they are given.
        n_unchanged: usize,
    },
    /// Nothing is saved, because the identifiers of these (by their places) are of several people.
    Ambiguous(Vec<usize>),
    /// Nothing is saved, because these (by their places) are about somebody whom one before them is
    /// about.
    Repeated(Vec<usize>),
    /// Nothing is saved, because others made a member at the same moment.
    Stale,
}

const KNOWN: &str = "\
-- members.import_known
SELECT id, name, phone, phone_key, email, email_key, external_id, active FROM members
 WHERE tenant_id = $1
   AND (phone_key = ANY ($2) OR email_key = ANY ($3) OR external_id = ANY ($4))
 ORDER BY id FOR UPDATE";

const INSERT: &str = "\
-- members.import_create
INSERT INTO members (id, tenant_id, name, phone, phone_key, email, email_key, external_id, active,
                     created_at, updated_at)
SELECT id, $1, name, phone, phone_key, email, email_key, external_id, coalesce(active, true),
       $9, $9
  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
              $8::text[], $10::boolean[])
       AS new (id, name, phone, phone_key, email, email_key, external_id, active)";

const UPDATE: &str = "\
-- members.import_replace
UPDATE members m
   SET name = new.name,
       phone = coalesce(new.phone, m.phone), phone_key = coalesce(new.phone_key, m.phone_key),
       email = coalesce(new.email, m.email), email_key = coalesce(new.email_key, m.email_key),
       external_id = coalesce(new.external_id, m.external_id),
       active = coalesce(new.active, m.active),
       updated_at = greatest($9::timestamptz, m.updated_at + interval '1 microsecond')
  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
              $8::text[], $10::boolean[])
       AS new (id, name, phone, phone_key, email, email_key, external_id, active)
 WHERE m.tenant_id = $1 AND m.id = new.id";

/// Saves all of them, or none.
pub async fn import(
    store: &Store,
    tenant: TenantId,
    rows: &[Import],
    now: DateTime<Utc>,
) -> Result<Imported, StoreError> {
    let failed = StoreError::query("members.import");
    let mut client = store.client("members.import").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let all = Columns::of(rows.iter());
    let statement = transaction.prepare_cached(KNOWN).await.map_err(&failed)?;
    let keys: [&(dyn ToSql + Sync); 4] =
        [&tenant.0, &all.phone_keys, &all.email_keys, &all.external_ids];
    let known = transaction.query(&statement, &keys).await.map_err(&failed)?;
    let known: Vec<Known> = known.iter().map(Known::from_row).collect();

    let directory = Directory::of(&known);
    let (mut created, mut updated) = (Vec::new(), Vec::new());
    let (mut ambiguous, mut repeated, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (place, row) in rows.iter().enumerate() {
        match directory.meant_by(&row.draft) {
            Meant::Nobody => created.push(row.clone()),
            Meant::One(known) if !seen.insert(known.id) => repeated.push(place),
            Meant::One(known) if known.would_stay(row) => {}
            Meant::One(known) => updated.push(Import { id: known.id, ..row.clone() }),
            Meant::Several => ambiguous.push(place),
        }
    }
    if !ambiguous.is_empty() {
        return Ok(Imported::Ambiguous(ambiguous));
    }
    if !repeated.is_empty() {
        return Ok(Imported::Repeated(repeated));
    }
    for (sql, rows) in [(UPDATE, &updated), (INSERT, &created)] {
        let columns = Columns::of(rows.iter());
        let statement = transaction.prepare_cached(sql).await.map_err(&failed)?;
        match transaction.execute(&statement, &columns.parameters(&tenant.0, &now)).await {
            Ok(_) => {}
            Err(error) if is_of_others(&error) => return Ok(Imported::Stale),
            Err(error) => return Err(failed(error)),
        }
    }
    transaction.commit().await.map_err(&failed)?;
    let (n_created, n_updated) = (created.len(), updated.len());
    Ok(Imported::Saved { n_created, n_updated, n_unchanged: rows.len() - n_created - n_updated })
}

/// Whether others made the same people: first, or at the same moment in another order.
fn is_of_others(error: &tokio_postgres::Error) -> bool {
    let codes = [SqlState::UNIQUE_VIOLATION, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Somebody who is there.
struct Known {
    id: MemberId,
    name: String,
    phone: Option<String>,
    phone_key: Option<String>,
    email: Option<String>,
    email_key: Option<String>,
    external_id: Option<String>,
    active: bool,
}

impl Known {
    fn from_row(row: &Row) -> Self {
        Self {
            id: MemberId(row.get("id")),
            name: row.get("name"),
            phone: row.get("phone"),
            phone_key: row.get("phone_key"),
            email: row.get("email"),
            email_key: row.get("email_key"),
            external_id: row.get("external_id"),
            active: row.get("active"),
        }
    }

    /// Whether it says nothing new.
    fn would_stay(&self, Import { draft, active, .. }: &Import) -> bool {
        let is = |ours: Option<&str>, given: Option<&str>| given.is_none() || ours == given;
        let phone = draft.phone.as_ref().map(|phone| phone.shown.as_str());
        let email = draft.email.as_ref().map(|email| email.shown.as_str());
        self.name == draft.name
            && active.is_none_or(|active| self.active == active)
            && is(self.phone.as_deref(), phone)
            && is(self.email.as_deref(), email)
            && is(self.external_id.as_deref(), draft.external_id.as_deref())
    }
}

/// Those who are there, by what they are recognised by.
#[derive(Default)]
struct Directory<'k> {
    phones: HashMap<&'k str, &'k Known>,
    emails: HashMap<&'k str, &'k Known>,
    external_ids: HashMap<&'k str, &'k Known>,
}

/// Whom a line means.
enum Meant<'k> {
    Nobody,
    One(&'k Known),
    Several,
}

impl<'k> Directory<'k> {
    fn of(known: &'k [Known]) -> Self {
        let mut directory = Self::default();
        for known in known {
            directory.phones.extend(known.phone_key.as_deref().map(|key| (key, known)));
            directory.emails.extend(known.email_key.as_deref().map(|key| (key, known)));
            directory.external_ids.extend(known.external_id.as_deref().map(|key| (key, known)));
        }
        directory
    }

    fn meant_by(&self, draft: &MemberDraft) -> Meant<'k> {
        let by_phone = draft.phone_key().and_then(|key| self.phones.get(key));
        let by_email = draft.email_key().and_then(|key| self.emails.get(key));
        let external_id = draft.external_id.as_deref();
        let by_external_id = external_id.and_then(|key| self.external_ids.get(key));
        let mut found = [by_phone, by_email, by_external_id].into_iter().flatten().copied();
        match found.next() {
            None => Meant::Nobody,
            Some(first) if found.all(|other| other.id == first.id) => Meant::One(first),
            Some(_) => Meant::Several,
        }
    }
}

/// The same, column by column.
#[derive(Default)]
struct Columns<'r> {
    ids: Vec<Uuid>,
    names: Vec<&'r str>,
    phones: Vec<Option<&'r str>>,
    phone_keys: Vec<Option<&'r str>>,
    emails: Vec<Option<&'r str>>,
    email_keys: Vec<Option<&'r str>>,
    external_ids: Vec<Option<&'r str>>,
    actives: Vec<Option<bool>>,
}

impl<'r> Columns<'r> {
    fn of(rows: impl Iterator<Item = &'r Import>) -> Self {
        let mut columns = Self::default();
        for Import { id, draft, active } in rows {
            columns.ids.push(id.0);
            columns.names.push(&draft.name);
            columns.phones.push(draft.phone.as_ref().map(|phone| phone.shown.as_str()));
            columns.phone_keys.push(draft.phone_key());
            columns.emails.push(draft.email.as_ref().map(|email| email.shown.as_str()));
            columns.email_keys.push(draft.email_key());
            columns.external_ids.push(draft.external_id.as_deref());
            columns.actives.push(*active);
        }
        columns
    }

    fn parameters<'p>(
        &'p self,
        tenant: &'p Uuid,
        now: &'p DateTime<Utc>,
    ) -> [&'p (dyn ToSql + Sync); 10] {
        [
            tenant,
            &self.ids,
            &self.names,
            &self.phones,
            &self.phone_keys,
            &self.emails,
            &self.email_keys,
            &self.external_ids,
            now,
            &self.actives,
        ]
    }
}
