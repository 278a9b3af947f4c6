//! `/api/providers`: where models are reached.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::providers::{self, Provider, Saved};
use recado_store::references::Deletion;
use recado_types::ProviderId;
use recado_types::agent::ModelName;
use recado_types::shape::{ObjectReader, Problems};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::{DONE, Done, Found};
use crate::Api;
use crate::access::{Caller, Read, Write};
use crate::body::Body;
use crate::failure::{in_use, invalid, store_failed};
use crate::optimistic::until_saved;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

/// What providers' APIs are like, as the database calls it.
const KINDS: [(&str, &str); 2] =
    [("openai_compatible", "openai_compatible"), ("anthropic", "anthropic")];
const MAX_NAME: usize = 64;
const MAX_URL: usize = 2_048;
const MAX_SECRET_NAME: usize = 128;
const MAX_PRICED_MODELS: usize = 200;
const MAX_MODEL_NAME: usize = 200;
/// No model costs more for a million tokens, in US dollars.
const MAX_PRICE: f64 = 1_000_000.0;

#[derive(Serialize)]
pub(super) struct Shown {
    id: ProviderId,
    name: String,
    kind: String,
    base_url: String,
    secret_ref: Option<String>,
    prices: Value,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Provider> for Shown {
    fn from(provider: Provider) -> Self {
        let Provider { id, name, kind, base_url, secret_ref, prices, created_at, updated_at } =
            provider;
        Self { id, name, kind, base_url, secret_ref, prices, created_at, updated_at }
    }
}

/// POST: makes a provider.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<Write>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let id = ProviderId(api.clock.fresh_id());
    let provider = read_new(&body.json().await?, id, api.clock.now())?;
    let saved = providers::create(&api.store, caller.tenant, &provider).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(provider) => Ok(HttpResponse::Created()
            .insert_header((LOCATION, format!("/api/providers/{id}")))
            .json(Found::new(Shown::from(provider)))),
        Saved::NameTaken => Err(Problem::AlreadyExists.into()),
        Saved::UnknownSecret => Err(unknown_secret()),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}

/// GET: the providers, by name.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("providers/{}", caller.tenant);
    let page: Page<String> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = providers::list(&api.store, caller.tenant, after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |provider: &Provider| provider.name.clone();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one provider.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let found = providers::find(&api.store, caller.tenant, parse_id(&id)?).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::ProviderNotFound)?;
    Ok(Json(Found::new(found.into())))
}

/// PATCH: replaces the fields that are given; `"secret_ref": null` takes the key away.
pub(super) async fn update(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let provider = until_saved(async || {
        let current = providers::find(&api.store, caller.tenant, id).await;
        let current = current.map_err(store_failed)?.ok_or(Problem::ProviderNotFound)?;
        let read_at = current.updated_at;
        let provider = patched(current, &body, api.clock.now())?;
        let saved = providers::replace(&api.store, caller.tenant, &provider, read_at).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(provider) => Ok(Some(provider)),
            Saved::UnknownSecret => Err(unknown_secret()),
            Saved::NameTaken | Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(Json(Found::new(provider.into())))
}

/// DELETE: a provider that no agent thinks with.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<Done>, ApiError> {
    let deletion = providers::delete(&api.store, caller.tenant, parse_id(&id)?).await;
    match deletion.map_err(store_failed)? {
        Deletion::Deleted => Ok(Json(DONE)),
        Deletion::NotFound => Err(Problem::ProviderNotFound.into()),
        Deletion::InUse(users) => Err(in_use("provider", &users)),
    }
}

fn parse_id(id: &str) -> Result<ProviderId, ApiError> {
    id.parse().map_err(|_no_id| Problem::ProviderNotFound.into())
}

fn unknown_secret() -> ApiError {
    ApiError::invalid_field("secret_ref", "is no secret of this tenant")
}

fn read_new(body: &Value, id: ProviderId, now: DateTime<Utc>) -> Result<Provider, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let name = fields.required_string("name", 1..=MAX_NAME);
        if name.is_some_and(|name| !is_name(name)) {
            let expected = "may have small letters, digits, `_` and `-`, and is not `builtin`";
            fields.refuse("name", expected);
        }
        fields.required("kind");
        let kind = fields.choice("kind", &KINDS);
        fields.required("base_url");
        let base_url = read_base_url(&mut fields);
        let secret_ref = fields.string("secret_ref", 1..=MAX_SECRET_NAME).map(str::to_owned);
        let prices = read_prices(&mut fields).unwrap_or_else(|| json!({}));
        fields.read_only(&["id", "created_at", "updated_at"]);
        fields.done();
        Some(Provider {
            id,
            name: name?.to_owned(),
            kind: kind?.to_owned(),
            base_url: base_url?,
            secret_ref,
            prices,
            created_at: now,
            updated_at: now,
        })
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

fn patched(current: Provider, body: &Value, now: DateTime<Utc>) -> Result<Provider, ApiError> {
    let problems = Problems::default();
    let patched = ObjectReader::new(body, "", &problems).map(|mut fields| {
        for kept in ["base_url", "prices"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
        let base_url = read_base_url(&mut fields).unwrap_or(current.base_url);
        let removed = fields.is_null("secret_ref");
        let secret_ref = fields.string("secret_ref", 1..=MAX_SECRET_NAME).map(str::to_owned);
        let secret_ref = if removed { None } else { secret_ref.or(current.secret_ref) };
        let prices = read_prices(&mut fields).unwrap_or(current.prices);
        // Models are named after their provider: another name would cut the agents off.
        fields.read_only(&["id", "name", "kind", "created_at", "updated_at"]);
        fields.done();
        Provider { base_url, secret_ref, prices, updated_at: now, ..current }
    });
    problems.finish(()).map_err(invalid)?;
    Ok(patched.expect("anything but an object is a problem"))
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    name.chars().all(plain) && name != ModelName::BUILTIN
}

/// Without its last slash, so that a path can be appended.
fn read_base_url(fields: &mut ObjectReader<'_>) -> Option<String> {
    let text = fields.string("base_url", 1..=MAX_URL)?;
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"));
    let url = fields.accept("base_url", url)?;
    if !matches!(url.scheme(), "http" | "https") {
        fields.refuse("base_url", "must begin with https:// or http://");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        fields.refuse("base_url", "must not hold a user name or password; use `secret_ref`");
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        fields.refuse("base_url", "must have no query and no fragment");
        return None;
    }
    Some(url.as_str().trim_end_matches('/').to_owned())
}

fn read_prices(fields: &mut ObjectReader<'_>) -> Option<Value> {
    let prices = fields.any("prices")?;
    for (model, price) in fields.entries("prices", MAX_PRICED_MODELS) {
        let shown: String = model.chars().take(64).collect();
        let path = fields.path_of(&format!("prices.{shown}"));
        if model.is_empty() || model.len() > MAX_MODEL_NAME {
            fields.problems().add(&path, "is no model's name");
        }
        let Some(mut price) = ObjectReader::new(price, &path, fields.problems()) else { continue };
        price.required("input_per_million_usd");
        price.required("output_per_million_usd");
        for amount in
            ["input_per_million_usd", "output_per_million_usd", "cached_input_per_million_usd"]
        {
            let is_price =
                |value: &Value| value.as_f64().is_some_and(|usd| (0.0..=MAX_PRICE).contains(&usd));
            if price.any(amount).is_some_and(|value| !is_price(value)) {
                price.refuse(amount, format!("must be a number from 0 to {MAX_PRICE}"));
            }
        }
        price.done();
    }
    Some(prices.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(body: &Value) -> Result<Provider, ApiError> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        read_new(body, "00000000-0000-0000-0000-000000000001".parse().unwrap(), now)
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({
            "name": "openai", "kind": "openai_compatible", "base_url": "https://api.example.com/v1/",
        });
        body[field] = value;
        body
    }

    #[test]
    fn a_base_url_is_kept_without_its_last_slash() {
        assert_eq!(
            new(&with("secret_ref", json!("KEY"))).unwrap().base_url,
            "https://api.example.com/v1"
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (field, value) in [
            ("name", json!("builtin")),
            ("name", json!("Open AI")),
            ("kind", json!("other")),
            ("base_url", json!("ftp://api.example.com")),
            ("base_url", json!("https://key@api.example.com")),
            ("base_url", json!("https://api.example.com?key=1")),
            ("base_url", json!("nowhere")),
            ("prices", json!({"m": {"input_per_million_usd": 1}})),
            ("prices", json!({"m": {"input_per_million_usd": -1, "output_per_million_usd": 1}})),
            ("prices", json!({"m": {"input_per_million_usd": 1, "output_per_million_usd": "1"}})),
            ("prices", json!([])),
            ("unknown", json!(1)),
        ] {
            assert!(new(&with(field, value.clone())).is_err(), "{field}: {value}");
        }
        let price = json!({"input_per_million_usd": 2.5, "output_per_million_usd": 10,
                           "cached_input_per_million_usd": 0.5});
        assert!(new(&with("prices", json!({"gpt-4.1": price}))).is_ok());
        assert_eq!(new(&with("kind", json!("anthropic"))).unwrap().kind, "anthropic");
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let current = new(&with("secret_ref", json!("KEY"))).unwrap();
        let now = current.updated_at;
        let same = patched(current.clone(), &json!({}), now).unwrap();
        assert_eq!(same, current);
        let keyless = patched(current.clone(), &json!({"secret_ref": null}), now).unwrap();
        assert_eq!(keyless.secret_ref, None);
        assert!(patched(current.clone(), &json!({"name": "other"}), now).is_err());
        assert!(patched(current, &json!({"base_url": null}), now).is_err());
    }
}
