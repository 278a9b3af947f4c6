//! `/api/secrets`: values go in, names come out.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::secrets::{self, SecretInfo};
use recado_types::SecretId;
use recado_types::shape::{ObjectReader, Problems};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{DONE, Done, Found};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged, Version};
use crate::failure::{User, deleted, invalid, store_failed, taken_as};
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::http::schema::{about, object, text};
use crate::optimistic::until_saved;
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/secrets",
        "Secrets",
        &[
            Operation::get("List secrets", Access::Role(Role::Admin), || web::get().to(list))
                .details("Their names; values never come out.")
                .query(&[LIMIT, CURSOR])
                .answers::<Listing<Shown>>(200),
            Operation::post("Keep a secret", Access::Role(Role::Admin), || web::post().to(create))
                .details("It is sealed at once, and never shown again.")
                .body(RequestBody::json(new_secret_schema, new_secret_example))
                .answers_data::<Shown>(201)
                .problems(&[Problem::AlreadyExists])
                .with_etag(),
        ],
    ),
    Resource::new(
        "/api/secrets/{name}",
        "Secrets",
        &[
            Operation::get("Show where a secret is used", Access::Role(Role::Admin), || {
                web::get().to(show)
            })
            .details("By triggers, tools and providers; at most 100 are named.")
            .answers_data::<ShownWithUses>(200)
            .problems(&[Problem::SecretNotFound])
            .with_etag(),
            Operation::put("Replace a secret", Access::Role(Role::Admin), || {
                web::put().to(replace)
            })
            .details("Rotates it: whoever uses it uses the new value from now on.")
            .body(RequestBody::json(replacement_schema, replacement_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::SecretNotFound, Problem::Conflict])
            .with_etag(),
            Operation::patch("Replace a secret (as PATCH)", Access::Role(Role::Admin), || {
                web::patch().to(replace)
            })
            .details("The same as PUT.")
            .body(RequestBody::json(replacement_schema, replacement_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::SecretNotFound, Problem::Conflict])
            .with_etag(),
            Operation::delete("Delete a secret", Access::Role(Role::Admin), || {
                web::delete().to(delete)
            })
            .details("409 `conflict` names what uses it, in `details.used_by`.")
            .answers::<Done>(200)
            .problems(&[Problem::SecretNotFound, Problem::Conflict])
            .with_etag(),
        ],
    ),
];

const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 8_192;
/// How many users of a secret are shown.
const MAX_USERS: i64 = 100;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Secret")]
struct Shown {
    name: String,
    created_at: DateTime<Utc>,
    /// When its value last changed.
    updated_at: DateTime<Utc>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SecretWithUses")]
struct ShownWithUses {
    name: String,
    created_at: DateTime<Utc>,
    /// When its value last changed.
    updated_at: DateTime<Utc>,
    /// What stops working without it.
    used_by: Vec<User>,
}

impl From<SecretInfo> for Shown {
    fn from(secret: SecretInfo) -> Self {
        let SecretInfo { name, created_at, updated_at } = secret;
        Self { name, created_at, updated_at }
    }
}

fn version(secret: &SecretInfo) -> Version {
    Version::time(secret.updated_at)
}

fn one(secret: SecretInfo) -> Tagged<Found<Shown>> {
    let version = version(&secret);
    Tagged::new(Found::new(secret.into()), version)
}

fn new_secret_schema() -> Value {
    let mut name = text(1, MAX_NAME);
    name["pattern"] = "^[a-zA-Z0-9_.-]*$".into();
    name["not"] = json!({ "enum": [".", ".."] });
    object(&["name", "value"], [("name", name), ("value", value_schema())])
}

fn new_secret_example() -> Value {
    json!({ "name": "CRM_KEY", "value": "the key, the token, or user:password" })
}

fn replacement_schema() -> Value {
    object(&["value"], [("value", value_schema())])
}

fn replacement_example() -> Value {
    json!({ "value": "the next one" })
}

fn value_schema() -> Value {
    let mut value = about(text(1, MAX_VALUE), "Never shown again.");
    value["writeOnly"] = true.into();
    value
}

/// POST: keeps a new secret.
async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let (name, value) = read_new(&body.json().await?)?;
    let id = SecretId(api.clock.fresh_id());
    let now = api.clock.now();
    let created = secrets::create(&caller.store, caller.tenant, id, &name, &value, now).await;
    let created = created.map_err(store_failed)?.ok_or_else(|| {
        let message = format!("there is a secret `{name}` already; PUT replaces its value");
        taken_as(message, "secret", &["name"])
    })?;
    Ok(one(created).made_at(format!("/api/secrets/{name}")))
}

/// GET: the names of all secrets.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("secrets/{}", caller.tenant);
    let page: Page<String> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = secrets::list(&caller.store, caller.tenant, after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |secret: &SecretInfo| secret.name.clone();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one secret, and what uses it.
async fn show(
    caller: Caller,
    name: Path<String>,
) -> Result<Tagged<Found<ShownWithUses>>, ApiError> {
    let secret = find(&caller, parse_name(&name)?).await?;
    let uses = secrets::uses(&caller.store, caller.tenant, &secret.name, MAX_USERS).await;
    let used_by = uses.map_err(store_failed)?.into_iter().map(User::from).collect();
    let version = version(&secret);
    let SecretInfo { name, created_at, updated_at } = secret;
    let shown = ShownWithUses { name, created_at, updated_at, used_by };
    Ok(Tagged::new(Found::new(shown), version))
}

/// PUT and PATCH: gives a secret another value.
async fn replace(
    api: Data<Api>,
    caller: Caller,
    name: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let name = parse_name(&name)?;
    let value = read_replacement(&body.json().await?)?;
    let secret = until_saved(async || {
        let current = find(&caller, name).await?;
        if_match.check(&version(&current))?;
        let (read_at, now) = (Some(current.updated_at), api.clock.now());
        let saved = secrets::replace(&caller.store, caller.tenant, name, &value, read_at, now);
        saved.await.map_err(store_failed)
    })
    .await?;
    Ok(one(secret))
}

/// DELETE: forgets a secret that nothing refers to.
async fn delete(
    caller: Caller,
    name: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let name = parse_name(&name)?;
    until_saved(async || {
        let seen = if_match.confirmed(find(&caller, name), version).await?;
        let read_at = seen.map(|secret| secret.updated_at);
        let deletion = secrets::delete(&caller.store, caller.tenant, name, read_at).await;
        deleted(deletion.map_err(store_failed)?, "secret", Problem::SecretNotFound)
    })
    .await?;
    Ok(Json(DONE))
}

async fn find(caller: &Caller, name: &str) -> Result<SecretInfo, ApiError> {
    let found = secrets::find(&caller.store, caller.tenant, name).await;
    found.map_err(store_failed)?.ok_or_else(|| Problem::SecretNotFound.into())
}

fn read_new(body: &Value) -> Result<(String, String), ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let name = fields.required_string("name", 1..=MAX_NAME);
        if name.is_some_and(|name| !is_name(name)) {
            fields.refuse("name", "may have letters, digits, `_`, `.` and `-`");
        }
        let value = fields.required_string("value", 1..=MAX_VALUE);
        fields.read_only(&["created_at", "updated_at"]);
        fields.done();
        Some((name?.to_owned(), value?.to_owned()))
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

fn read_replacement(body: &Value) -> Result<String, ApiError> {
    let problems = Problems::default();
    let value = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let value = fields.required_string("value", 1..=MAX_VALUE).map(str::to_owned);
        fields.read_only(&["name", "created_at", "updated_at"]);
        fields.done();
        value
    });
    problems.finish(()).map_err(invalid)?;
    Ok(value.expect("what is missing is a problem"))
}

/// What cannot be a name is not looked up: it may hold what the database cannot even compare.
fn parse_name(name: &str) -> Result<&str, ApiError> {
    if is_name(name) { Ok(name) } else { Err(Problem::SecretNotFound.into()) }
}

/// A name is part of a path, where `.` and `..` mean something else.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.chars().all(plain) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_values_are_bounded() {
        assert!(read_new(&json!({"name": "TWILIO.auth-1_x", "value": "v"})).is_ok());
        for bad in [
            json!({"name": "a b", "value": "v"}),
            json!({"name": "..", "value": "v"}),
            json!({"name": "é", "value": "v"}),
            json!({"name": "a".repeat(129), "value": "v"}),
            json!({"name": "a", "value": ""}),
            json!({"name": "a", "value": "v".repeat(8_193)}),
            json!({"name": "a", "value": "v", "extra": 1}),
            json!({"name": "a"}),
            json!([]),
        ] {
            let error = read_new(&bad).unwrap_err();
            assert_eq!(error.problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
