//! `/api/members`: the team, whom a trigger's `sender_access` may let in.

mod draft;
mod import;

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::members::{self, Member, MemberRecord, Saved};
use recado_types::MemberId;
use recado_types::scope::Scope;
use recado_types::trigger::MatchColumn;
use schemars::JsonSchema;
use serde::Serialize;

use self::draft::{read_new, read_patch};
use super::{DONE, Done, Found};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged, Version};
use crate::failure::{store_failed, taken};
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::optimistic::{unless_stale, until_saved};
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/members",
        "Members",
        &[
            Operation::get("List members", Access::Key(Scope::ReadDirectory), || {
                web::get().to(list)
            })
            .details("Newest first.")
            .query(&[LIMIT, CURSOR])
            .answers::<Listing<Shown>>(200),
            Operation::post("Add a member", Access::Role(Role::Editor), || web::post().to(create))
                .details(
                    "With a `phone`, an `email` or an `external_id`, none of which another member \
                     has.",
                )
                .body(RequestBody::json(draft::new_member, draft::new_member_example))
                .answers_data::<Shown>(201)
                .problems(&[Problem::AlreadyExists])
                .with_etag(),
        ],
    ),
    // Before the address that takes any name for an id.
    import::RESOURCE,
    Resource::new(
        "/api/members/{id}",
        "Members",
        &[
            Operation::get("Show a member", Access::Key(Scope::ReadDirectory), || {
                web::get().to(show)
            })
            .answers_data::<Shown>(200)
            .problems(&[Problem::MemberNotFound])
            .with_etag(),
            Operation::patch("Change a member", Access::Role(Role::Editor), || {
                web::patch().to(update)
            })
            .details("Replaces the fields that are given; `null` takes an identifier away.")
            .body(RequestBody::json(draft::member_patch, draft::member_patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::MemberNotFound, Problem::AlreadyExists, Problem::Conflict])
            .with_etag(),
            Operation::delete("Remove a member", Access::Role(Role::Editor), || {
                web::delete().to(delete)
            })
            .details("What they have sent stays.")
            .answers::<Done>(200)
            .problems(&[Problem::MemberNotFound])
            .with_etag(),
        ],
    ),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Member")]
struct Shown {
    id: MemberId,
    name: String,
    phone: Option<String>,
    email: Option<String>,
    external_id: Option<String>,
    active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<MemberRecord> for Shown {
    fn from(record: MemberRecord) -> Self {
        let MemberRecord { member, active, created_at, updated_at } = record;
        let Member { id, name, phone, email, external_id } = member;
        Self { id, name, phone, email, external_id, active, created_at, updated_at }
    }
}

fn version(record: &MemberRecord) -> Version {
    Version::time(record.updated_at)
}

fn one(record: MemberRecord) -> Tagged<Found<Shown>> {
    let version = version(&record);
    Tagged::new(Found::new(record.into()), version)
}

/// POST: makes a member.
async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let draft = read_new(&body.json().await?)?;
    let id = MemberId(api.clock.fresh_id());
    let saved = members::create(&caller.store, caller.tenant, id, &draft, api.clock.now()).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(member) => Ok(one(member).made_at(format!("/api/members/{id}"))),
        Saved::Taken(columns) => Err(in_use(&columns)),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}

/// GET: the members, newest first.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("members/{}", caller.tenant);
    let page: Page<MemberId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = members::list(&caller.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |record: &MemberRecord| record.member.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one member.
async fn show(caller: Caller, id: Path<String>) -> Result<Tagged<Found<Shown>>, ApiError> {
    Ok(one(find(&caller, parse_id(&id)?).await?))
}

/// PATCH: replaces the fields that are given; `null` takes an identifier away.
async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let member = until_saved(async || {
        let current = find(&caller, id).await?;
        if_match.check(&version(&current))?;
        let draft = read_patch(&current, &body)?;
        let (read_at, now) = (current.updated_at, api.clock.now());
        let saved = members::replace(&caller.store, caller.tenant, id, read_at, &draft, now).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(member) => Ok(Some(member)),
            Saved::Taken(columns) => Err(in_use(&columns)),
            Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(one(member))
}

/// DELETE: a member. Messages that they sent stay.
async fn delete(
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    until_saved(async || {
        let seen = if_match.confirmed(find(&caller, id), version).await?;
        let read_at = seen.map(|member| member.updated_at);
        let is_deleted = members::delete(&caller.store, caller.tenant, id, read_at).await;
        if is_deleted.map_err(store_failed)? {
            return Ok(Some(()));
        }
        unless_stale(read_at, Problem::MemberNotFound)
    })
    .await?;
    Ok(Json(DONE))
}

async fn find(caller: &Caller, id: MemberId) -> Result<MemberRecord, ApiError> {
    let found = members::look_up(&caller.store, caller.tenant, id).await;
    found.map_err(store_failed)?.ok_or_else(|| Problem::MemberNotFound.into())
}

fn parse_id(id: &str) -> Result<MemberId, ApiError> {
    id.parse().map_err(|_no_id| Problem::MemberNotFound.into())
}

/// 409, naming everything that another member has.
fn in_use(columns: &[MatchColumn]) -> ApiError {
    let fields: Vec<&str> = columns.iter().map(|column| field_of(*column)).collect();
    taken("member", &fields)
}

const fn field_of(column: MatchColumn) -> &'static str {
    match column {
        MatchColumn::Phone => "phone",
        MatchColumn::Email => "email",
        MatchColumn::ExternalId => "external_id",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_all_that_is_taken() {
        let error = in_use(&[MatchColumn::Phone, MatchColumn::ExternalId]);
        assert_eq!(error.message(), "another member has this phone and this external_id");
    }
}
