//! `/api/members`: the team, whom a trigger's `sender_access` may let in.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::members::{self, Identifier, Member, MemberDraft, MemberRecord, Saved};
use recado_types::shape::{ObjectReader, Problems};
use recado_types::trigger::MatchColumn;
use recado_types::{MemberId, identity};
use serde::Serialize;
use serde_json::{Value, json};

use super::{DONE, Done, Found};
use crate::Api;
use crate::access::{Caller, Read, Write};
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::optimistic::until_saved;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

const MAX_NAME: usize = 255;
/// A number of 15 digits (E.164), a prefix such as `whatsapp:` and whatever people write between.
const MAX_PHONE: usize = 64;
/// RFC 5321, 4.5.3.1: a path of 256 octets, less its brackets.
const MAX_EMAIL: usize = 254;
const MAX_EXTERNAL_ID: usize = 255;

/// What a member is besides what can be changed.
const READ_ONLY: [&str; 3] = ["id", "created_at", "updated_at"];

#[derive(Serialize)]
pub(super) struct Shown {
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

/// POST: makes a member.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<Write>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let draft = read_new(&body.json().await?)?;
    let id = MemberId(api.clock.fresh_id());
    let saved = members::create(&api.store, caller.tenant, id, &draft, api.clock.now()).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(member) => Ok(HttpResponse::Created()
            .insert_header((LOCATION, format!("/api/members/{id}")))
            .json(Found::new(Shown::from(member)))),
        Saved::Taken(columns) => Err(taken(&columns)),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}

/// GET: the members, newest first.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("members/{}", caller.tenant);
    let page: Page<MemberId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = members::list(&api.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |record: &MemberRecord| record.member.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one member.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let found = members::look_up(&api.store, caller.tenant, parse_id(&id)?).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::MemberNotFound)?;
    Ok(Json(Found::new(found.into())))
}

/// PATCH: replaces the fields that are given; `null` takes an identifier away.
pub(super) async fn update(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let member = until_saved(async || {
        let current = members::look_up(&api.store, caller.tenant, id).await;
        let current = current.map_err(store_failed)?.ok_or(Problem::MemberNotFound)?;
        let draft = read_patch(&current, &body)?;
        let (read_at, now) = (current.updated_at, api.clock.now());
        let saved = members::replace(&api.store, caller.tenant, id, read_at, &draft, now).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(member) => Ok(Some(member)),
            Saved::Taken(columns) => Err(taken(&columns)),
            Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(Json(Found::new(member.into())))
}

/// DELETE: a member. Messages that they sent stay.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<Done>, ApiError> {
    if members::delete(&api.store, caller.tenant, parse_id(&id)?).await.map_err(store_failed)? {
        return Ok(Json(DONE));
    }
    Err(Problem::MemberNotFound.into())
}

fn parse_id(id: &str) -> Result<MemberId, ApiError> {
    id.parse().map_err(|_no_id| Problem::MemberNotFound.into())
}

/// 409, naming everything that another member has.
fn taken(columns: &[MatchColumn]) -> ApiError {
    let names: Vec<&str> = columns.iter().map(|column| field_of(*column)).collect();
    let field = |path: &&str| json!({"path": path, "reason": "another member has it"});
    let fields: Vec<Value> = names.iter().map(field).collect();
    let message = format!("another member has this {}", names.join(" and this "));
    ApiError::new(Problem::AlreadyExists, message).with_details(json!({ "fields": fields }))
}

const fn field_of(column: MatchColumn) -> &'static str {
    match column {
        MatchColumn::Phone => "phone",
        MatchColumn::Email => "email",
        MatchColumn::ExternalId => "external_id",
    }
}

/// What a member was made of before a change; nothing, before it is made.
#[derive(Clone, Copy, Debug, Default)]
struct Before<'a> {
    name: Option<&'a str>,
    phone: Option<&'a str>,
    email: Option<&'a str>,
    external_id: Option<&'a str>,
    active: Option<bool>,
}

fn read_new(body: &Value) -> Result<MemberDraft, ApiError> {
    read(body, Before::default(), |fields| {
        fields.required("name");
    })
}

fn read_patch(current: &MemberRecord, body: &Value) -> Result<MemberDraft, ApiError> {
    let Member { name, phone, email, external_id, .. } = &current.member;
    let before = Before {
        name: Some(name),
        phone: phone.as_deref(),
        email: email.as_deref(),
        external_id: external_id.as_deref(),
        active: Some(current.active),
    };
    read(body, before, |fields| {
        for kept in ["name", "active"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
    })
}

/// What a body makes of what was there before. The result is judged, not the change: a member who
/// has lost all that they could be recognised by is a mistake.
fn read<'a>(
    body: &'a Value,
    before: Before<'a>,
    judge: fn(&mut ObjectReader<'a>),
) -> Result<MemberDraft, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        judge(&mut fields);
        require_identifier(&mut fields, &before);
        let name = fields.name("name", MAX_NAME).or(before.name);
        let phone = text(&mut fields, "phone", MAX_PHONE, before.phone);
        let email = text(&mut fields, "email", MAX_EMAIL, before.email);
        let external_id = text(&mut fields, "external_id", MAX_EXTERNAL_ID, before.external_id);
        let draft = MemberDraft {
            name: name.unwrap_or_default().to_owned(),
            phone: phone.and_then(|shown| {
                let key = identity::phone_key(shown).ok_or(NO_PHONE);
                Some(Identifier { shown: shown.to_owned(), key: fields.accept("phone", key)? })
            }),
            email: email.and_then(|shown| {
                let key = identity::email_key(shown).ok_or(NO_EMAIL);
                Some(Identifier { shown: shown.to_owned(), key: fields.accept("email", key)? })
            }),
            external_id: external_id.and_then(|shown| {
                fields.accept("external_id", identity::text_key(shown).ok_or(NO_TEXT))
            }),
            active: fields.boolean("active").or(before.active).unwrap_or(true),
        };
        fields.read_only(&READ_ONLY);
        fields.done();
        draft
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("anything but an object is a problem"))
}

const NO_PHONE: &str = "must be a telephone number with its country code, such as +5511999990000";
const NO_EMAIL: &str = "must be an e-mail address";
const NO_TEXT: &str = "must have at most 256 bytes and no control characters";

/// The text that a field ends up with: the one that is given, or the one before unless that is
/// taken away.
fn text<'a>(
    fields: &mut ObjectReader<'a>,
    key: &'static str,
    max_length: usize,
    before: Option<&'a str>,
) -> Option<&'a str> {
    if fields.is_null(key) { None } else { fields.string(key, 1..=max_length).or(before) }
}

fn require_identifier(fields: &mut ObjectReader<'_>, before: &Before<'_>) {
    let identifiers =
        [("phone", before.phone), ("email", before.email), ("external_id", before.external_id)];
    let has = |fields: &mut ObjectReader<'_>, key, before: Option<&str>| {
        fields.any(key).is_some() || (before.is_some() && !fields.is_null(key))
    };
    if !identifiers.into_iter().any(|(key, before)| has(fields, key, before)) {
        fields.refuse("phone", "is required, or else `email` or `external_id`");
    }
}

#[cfg(test)]
mod tests {
    use recado_http::problem::FieldReason;

    use super::*;

    fn current() -> MemberRecord {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let member = Member {
            id: MemberId(uuid::Uuid::from_u128(7)),
            name: "Ana".into(),
            phone: Some("+55 11 99999-0000".into()),
            email: None,
            external_id: Some("E-7".into()),
        };
        MemberRecord { member, active: true, created_at: now, updated_at: now }
    }

    fn refused(body: &Value) -> String {
        read_new(body).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_new_member_has_a_name_and_something_to_be_recognised_by() {
        for one in [("phone", "+5511999990000"), ("email", "a@example.com"), ("external_id", "7")] {
            let draft = read_new(&json!({"name": "Ana", one.0: one.1})).unwrap();
            assert!(draft.active);
            let identifiers = [draft.phone.is_some(), draft.email.is_some()];
            let n_identifiers = identifiers.iter().filter(|is_there| **is_there).count();
            assert_eq!(n_identifiers + usize::from(draft.external_id.is_some()), 1, "{one:?}");
        }
        assert!(refused(&json!({"name": "Ana"})).starts_with("phone: is required"));
        assert!(refused(&json!({"name": "Ana", "phone": null})).starts_with("phone: is required"));
        assert_eq!(refused(&json!({"external_id": "7"})), "name: is required");
        // What is there and wrong is not also missing.
        assert!(refused(&json!({"name": "Ana", "phone": "nobody"})).starts_with("phone: "));
        assert!(refused(&json!({"name": "Ana", "email": 7})).starts_with("email: "));
        let several = json!({"id": 1, "phone": "x", "email": "y", "external_id": "", "role": "x"});
        assert_eq!(refused(&several), "6 fields are missing or invalid");
        assert_eq!(refused(&json!([])), "the body must be an object");
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let draft = read_patch(&current(), &json!({"name": "Bia", "active": false})).unwrap();
        assert_eq!((draft.name.as_str(), draft.active), ("Bia", false));
        assert_eq!(draft.phone.unwrap().shown, "+55 11 99999-0000");
        assert_eq!(draft.external_id.as_deref(), Some("E-7"));

        let draft = read_patch(&current(), &json!({"phone": null})).unwrap();
        assert_eq!(draft.phone, None);
        assert!(read_patch(&current(), &json!({})).is_ok());
    }

    #[test]
    fn a_patch_is_judged_by_its_result() {
        let nobody = json!({"phone": null, "external_id": null});
        let error = read_patch(&current(), &nobody).unwrap_err();
        assert_eq!(error.problem(), Problem::InvalidInput);
        let moved = json!({"phone": null, "external_id": null, "email": "a@example.com"});
        assert!(read_patch(&current(), &moved).is_ok());
        for kept in ["name", "active"] {
            let error = read_patch(&current(), &json!({kept: null})).unwrap_err();
            let reason = FieldReason { path: kept.into(), reason: "cannot be taken away".into() };
            assert_eq!(error.message(), ApiError::invalid_fields([reason]).message());
        }
    }

    #[test]
    fn a_conflict_names_all_that_is_taken() {
        let error = taken(&[MatchColumn::Phone, MatchColumn::ExternalId]);
        assert_eq!(error.message(), "another member has this phone and this external_id");
    }
}
