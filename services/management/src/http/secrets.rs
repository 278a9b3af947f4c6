//! `/api/secrets`: values go in, names come out.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::references::Deletion;
use recado_store::secrets::{self, SecretInfo};
use recado_types::SecretId;
use recado_types::shape::{ObjectReader, Problems};
use serde::Serialize;
use serde_json::Value;

use super::{DONE, Done, Found};
use crate::Api;
use crate::access::{Caller, ReadSecrets, WriteSecrets};
use crate::body::Body;
use crate::failure::{in_use, invalid, store_failed};
use crate::page::{Listing, Page};
use crate::query::QueryReader;

const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 8_192;

#[derive(Serialize)]
pub(super) struct Shown {
    name: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<SecretInfo> for Shown {
    fn from(secret: SecretInfo) -> Self {
        let SecretInfo { name, created_at, updated_at } = secret;
        Self { name, created_at, updated_at }
    }
}

/// POST: keeps a new secret.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<WriteSecrets>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let (name, value) = read_new(&body.json().await?)?;
    let id = SecretId(api.clock.fresh_id());
    let now = api.clock.now();
    let created = secrets::create(&api.store, caller.tenant, id, &name, &value, now).await;
    let created = created.map_err(store_failed)?.ok_or_else(|| {
        let taken = format!("there is a secret `{name}` already; PUT replaces its value");
        ApiError::new(Problem::AlreadyExists, taken)
    })?;
    Ok(HttpResponse::Created().json(Found::new(Shown::from(created))))
}

/// GET: the names of all secrets.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<ReadSecrets>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("secrets/{}", caller.tenant);
    let page: Page<String> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = secrets::list(&api.store, caller.tenant, after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |secret: &SecretInfo| secret.name.clone();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// PUT and PATCH: gives a secret another value.
pub(super) async fn replace(
    api: Data<Api>,
    caller: Caller<WriteSecrets>,
    name: Path<String>,
    body: Body,
) -> Result<Json<Found<Shown>>, ApiError> {
    let name = parse_name(&name)?;
    let value = read_replacement(&body.json().await?)?;
    let now = api.clock.now();
    let replaced = secrets::replace(&api.store, caller.tenant, name, &value, now).await;
    let replaced = replaced.map_err(store_failed)?.ok_or(Problem::SecretNotFound)?;
    Ok(Json(Found::new(replaced.into())))
}

/// DELETE: forgets a secret that nothing refers to.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller<WriteSecrets>,
    name: Path<String>,
) -> Result<Json<Done>, ApiError> {
    let deletion = secrets::delete(&api.store, caller.tenant, parse_name(&name)?).await;
    match deletion.map_err(store_failed)? {
        Deletion::Deleted => Ok(Json(DONE)),
        Deletion::NotFound => Err(Problem::SecretNotFound.into()),
        Deletion::InUse(users) => Err(in_use("secret", &users)),
    }
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
