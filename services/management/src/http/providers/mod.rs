//! `/api/providers`: where models are reached.

mod check;
mod draft;

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::providers::{self, Provider, Saved};
use recado_types::ProviderId;
use recado_types::scope::Scope;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use self::draft::{patched, read_new};
use super::{DONE, Done, Found};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged, Version};
use crate::failure::{deleted, store_failed, taken};
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::optimistic::until_saved;
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/providers",
        "Providers",
        &[
            Operation::get("List providers", Access::Key(Scope::ReadAgents), || {
                web::get().to(list)
            })
            .details("By name.")
            .query(&[LIMIT, CURSOR])
            .answers::<Listing<Shown>>(200),
            Operation::post("Make a provider", Access::Role(Role::Editor), || {
                web::post().to(create)
            })
            .body(RequestBody::json(draft::new_schema, draft::new_example))
            .answers_data::<Shown>(201)
            .problems(&[Problem::AlreadyExists])
            .with_etag(),
        ],
    ),
    Resource::new(
        "/api/providers/{id}",
        "Providers",
        &[
            Operation::get("Show a provider", Access::Key(Scope::ReadAgents), || {
                web::get().to(show)
            })
            .answers_data::<Shown>(200)
            .problems(&[Problem::ProviderNotFound])
            .with_etag(),
            Operation::patch("Change a provider", Access::Role(Role::Editor), || {
                web::patch().to(update)
            })
            .details(
                "Replaces the fields that are given; `\"secret_ref\": null` takes the key away. \
                 Name and kind stay: models are named after their provider.",
            )
            .body(RequestBody::json(draft::patch_schema, draft::patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::ProviderNotFound, Problem::Conflict])
            .with_etag(),
            Operation::delete("Delete a provider", Access::Role(Role::Editor), || {
                web::delete().to(delete)
            })
            .details(
                "409 `conflict` names the agents that think with its models, in `details.used_by`.",
            )
            .answers::<Done>(200)
            .problems(&[Problem::ProviderNotFound, Problem::Conflict])
            .with_etag(),
        ],
    ),
    Resource::new("/api/providers/{id}/check", "Providers", check::OPERATIONS),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Provider")]
struct Shown {
    id: ProviderId,
    /// What its models begin with.
    name: String,
    #[schemars(extend("enum" = draft::kinds()))]
    kind: String,
    /// What its paths are appended to.
    base_url: String,
    /// The name of the secret with its key.
    secret_ref: Option<String>,
    #[schemars(schema_with = "prices")]
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

fn prices(_: &mut SchemaGenerator) -> Schema {
    draft::prices_schema().try_into().expect("it is an object")
}

fn version(provider: &Provider) -> Version {
    Version::time(provider.updated_at)
}

fn one(provider: Provider) -> Tagged<Found<Shown>> {
    let version = version(&provider);
    Tagged::new(Found::new(provider.into()), version)
}

/// POST: makes a provider.
async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let id = ProviderId(api.clock.fresh_id());
    let provider = read_new(&body.json().await?, id, api.clock.now())?;
    let saved = providers::create(&caller.store, caller.tenant, &provider).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(provider) => Ok(one(provider).made_at(format!("/api/providers/{id}"))),
        Saved::NameTaken => Err(taken("provider", &["name"])),
        Saved::UnknownSecret => Err(unknown_secret()),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}

/// GET: the providers, by name.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("providers/{}", caller.tenant);
    let page: Page<String> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = providers::list(&caller.store, caller.tenant, after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |provider: &Provider| provider.name.clone();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one provider.
async fn show(caller: Caller, id: Path<String>) -> Result<Tagged<Found<Shown>>, ApiError> {
    Ok(one(find(&caller, parse_id(&id)?).await?))
}

/// PATCH: replaces the fields that are given; `"secret_ref": null` takes the key away.
async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let provider = until_saved(async || {
        let current = find(&caller, id).await?;
        if_match.check(&version(&current))?;
        let read_at = current.updated_at;
        let provider = patched(current, &body, api.clock.now())?;
        let saved = providers::replace(&caller.store, caller.tenant, &provider, read_at).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(provider) => Ok(Some(provider)),
            Saved::UnknownSecret => Err(unknown_secret()),
            Saved::NameTaken | Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(one(provider))
}

/// DELETE: a provider that no agent thinks with.
async fn delete(
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    until_saved(async || {
        let seen = if_match.confirmed(find(&caller, id), version).await?;
        let read_at = seen.map(|provider| provider.updated_at);
        let deletion = providers::delete(&caller.store, caller.tenant, id, read_at).await;
        deleted(deletion.map_err(store_failed)?, "provider", Problem::ProviderNotFound)
    })
    .await?;
    Ok(Json(DONE))
}

async fn find(caller: &Caller, id: ProviderId) -> Result<Provider, ApiError> {
    let found = providers::find(&caller.store, caller.tenant, id).await;
    found.map_err(store_failed)?.ok_or_else(|| Problem::ProviderNotFound.into())
}

fn parse_id(id: &str) -> Result<ProviderId, ApiError> {
    id.parse().map_err(|_no_id| Problem::ProviderNotFound.into())
}

fn unknown_secret() -> ApiError {
    ApiError::invalid_field("secret_ref", "is no secret of this tenant")
}
