//! `/api/event-endpoints`: where events are sent to.

mod draft;
mod recover;
mod rotate;
mod schema;
mod send_test;

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::event_deliveries::{FAILING_FOR_5_DAYS, GONE};
use recado_store::event_endpoints::{self, EventEndpoint, MAX_ENDPOINTS, Saved};
use recado_types::scope::Scope;
use recado_types::{AgentId, EventEndpointId};
use schemars::JsonSchema;
use serde::Serialize;

use self::recover::{Recovered, recover};
use self::rotate::rotate_secret;
use self::send_test::send_test;
use super::{DONE, Done, Found, event_deliveries};
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
        "/api/event-endpoints",
        "Event endpoints",
        &[
            Operation::get("List event endpoints", Access::Key(Scope::ReadEvents), || {
                web::get().to(list)
            })
            .details("By name.")
            .query(&[LIMIT, CURSOR])
            .answers::<Listing<Shown>>(200),
            Operation::post("Make an event endpoint", Access::Role(Role::Editor), || {
                web::post().to(create)
            })
            .details(
                "Its `secret`, given or made, is in this answer and in no other. A tenant has at \
                 most 100 event endpoints.",
            )
            .body(RequestBody::json(schema::new_endpoint, schema::new_endpoint_example))
            .answers_data::<WithSecret>(201)
            .problems(&[Problem::AlreadyExists, Problem::LimitReached])
            .with_etag(),
        ],
    ),
    Resource::new(
        "/api/event-endpoints/{id}",
        "Event endpoints",
        &[
            Operation::get("Show an event endpoint", Access::Key(Scope::ReadEvents), || {
                web::get().to(show)
            })
            .details("Its `ETag` does not tell `failing_since`, which nobody sets.")
            .answers_data::<Shown>(200)
            .problems(&[Problem::EventEndpointNotFound])
            .with_etag(),
            Operation::patch("Change an event endpoint", Access::Role(Role::Editor), || {
                web::patch().to(update)
            })
            .details(
                "Replaces the fields that are given; `null` takes `agent_id` or `event_types` \
                 away. `\"enabled\": true` forgets why it was disabled.",
            )
            .body(RequestBody::json(schema::endpoint_patch, schema::endpoint_patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::EventEndpointNotFound, Problem::AlreadyExists, Problem::Conflict])
            .with_etag(),
            Operation::delete("Delete an event endpoint", Access::Role(Role::Editor), || {
                web::delete().to(delete)
            })
            .details("What is on its way there fails with `endpoint_deleted`.")
            .answers::<Done>(200)
            .problems(&[Problem::EventEndpointNotFound, Problem::Conflict])
            .with_etag(),
        ],
    ),
    Resource::new(
        "/api/event-endpoints/{id}/rotate-secret",
        "Event endpoints",
        &[Operation::post(
            "Give an event endpoint another secret",
            Access::Role(Role::Editor),
            || web::post().to(rotate_secret),
        )
        .details(
            "The new one is in this answer and in no other. Until the old one expires, every event \
             is signed with both.",
        )
        .body(RequestBody::optional_json(schema::rotation, schema::rotation_example))
        .answers_data::<WithSecret>(200)
        .problems(&[Problem::EventEndpointNotFound, Problem::Conflict])
        .with_etag()],
    ),
    Resource::new(
        "/api/event-endpoints/{id}/recover",
        "Event endpoints",
        &[Operation::post("Send again what failed", Access::Role(Role::Editor), || {
            web::post().to(recover)
        })
        .details(
            "What was recorded since then and failed is due again, the oldest first: at most \
             100,000 deliveries at a time.",
        )
        .body(RequestBody::json(schema::recovery, schema::recovery_example))
        .answers_data::<Recovered>(200)
        .problems(&[Problem::EventEndpointNotFound, Problem::EndpointDisabled])],
    ),
    Resource::new(
        "/api/event-endpoints/{id}/test",
        "Event endpoints",
        &[Operation::post("Send an example event", Access::Role(Role::Editor), || {
            web::post().to(send_test)
        })
        .details("Whatever types of events it wants.")
        .answers_data::<event_deliveries::Detail>(202)
        .problems(&[Problem::EventEndpointNotFound, Problem::EndpointDisabled])],
    ),
];

/// An event endpoint as it is told. There is no place in it for its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventEndpoint")]
struct Shown {
    id: EventEndpointId,
    name: String,
    url: String,
    /// Whose events; `null` for those of every agent.
    agent_id: Option<AgentId>,
    /// Which events; none for all.
    #[schemars(schema_with = "schema::told_event_types")]
    event_types: Vec<String>,
    enabled: bool,
    /// Why Recado disabled it; `null` if a person did, or nobody.
    #[schemars(extend("enum" = [Some(GONE), Some(FAILING_FOR_5_DAYS), None::<&str>]))]
    disabled_code: Option<String>,
    disabled_message: Option<String>,
    disabled_at: Option<DateTime<Utc>>,
    /// Since when every attempt has failed.
    failing_since: Option<DateTime<Utc>>,
    /// Until when the secret before the present one signs too, if there is one.
    previous_secret_expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<EventEndpoint> for Shown {
    fn from(endpoint: EventEndpoint) -> Self {
        Self {
            id: endpoint.id,
            name: endpoint.name,
            url: endpoint.url,
            agent_id: endpoint.agent_id,
            event_types: endpoint.event_types,
            enabled: endpoint.enabled,
            disabled_code: endpoint.disabled_code,
            disabled_message: endpoint.disabled_message,
            disabled_at: endpoint.disabled_at,
            failing_since: endpoint.failing_since,
            previous_secret_expires_at: endpoint.previous_secret_expires_at,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// The answers of a creation and of a rotation, the only ones that hold a secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventEndpointWithSecret")]
struct WithSecret {
    #[serde(flatten)]
    endpoint: Shown,
    /// What events are signed with. It is told here and never again.
    secret: String,
}

/// What a worker writes is part of this only if it disables the endpoint: an endpoint that begins
/// or ceases to fail is still the one that somebody has seen and wants to change.
fn version(endpoint: &EventEndpoint) -> Version {
    Version::time(endpoint.updated_at)
}

fn one(endpoint: EventEndpoint) -> Tagged<Found<Shown>> {
    let version = version(&endpoint);
    Tagged::new(Found::new(endpoint.into()), version)
}

fn with_secret(endpoint: EventEndpoint, secret: String) -> Tagged<Found<WithSecret>> {
    let version = version(&endpoint);
    Tagged::new(Found::new(WithSecret { endpoint: endpoint.into(), secret }), version)
}

/// POST: makes an event endpoint, with a secret of the caller's or a fresh one, which is in this
/// answer and in no other.
async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<Found<WithSecret>>, ApiError> {
    let (draft, given) = draft::read_new(&body.json().await?)?;
    let secret = given.unwrap_or_else(event_endpoints::generate_secret);
    let id = EventEndpointId(api.clock.fresh_id());
    let now = api.clock.now();
    let saved =
        event_endpoints::create(&caller.store, caller.tenant, id, &draft, &secret, now).await;
    let saved = saved.map_err(store_failed)?;
    // The id is fresh, so nobody can have been faster.
    let endpoint = accepted(saved)?.ok_or(Problem::Conflict)?;
    Ok(with_secret(endpoint, secret).made_at(format!("/api/event-endpoints/{id}")))
}

/// GET: the event endpoints, by name.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("event-endpoints/{}", caller.tenant);
    let page: Page<String> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = event_endpoints::list(&caller.store, caller.tenant, after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |endpoint: &EventEndpoint| endpoint.name.clone();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one event endpoint.
async fn show(caller: Caller, id: Path<String>) -> Result<Tagged<Found<Shown>>, ApiError> {
    Ok(one(find(&caller, parse_id(&id)?).await?))
}

/// PATCH: replaces the fields that are given. `"enabled": true` forgets why it was disabled.
async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let endpoint = until_saved(async || {
        let current = find(&caller, id).await?;
        if_match.check(&version(&current))?;
        let read_at = current.updated_at;
        let draft = draft::patched(current, &body)?;
        let now = api.clock.now();
        let saved =
            event_endpoints::replace(&caller.store, caller.tenant, id, read_at, &draft, now).await;
        accepted(saved.map_err(store_failed)?)
    })
    .await?;
    Ok(one(endpoint))
}

/// DELETE: nothing more is sent there, and what was on its way fails.
async fn delete(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    until_saved(async || {
        let read_at = seen_at(&caller, id, &if_match).await?;
        let now = api.clock.now();
        let is_deleted =
            event_endpoints::delete(&caller.store, caller.tenant, id, read_at, now).await;
        if is_deleted.map_err(store_failed)? {
            return Ok(Some(()));
        }
        unless_stale(read_at, Problem::EventEndpointNotFound)
    })
    .await?;
    Ok(Json(DONE))
}

/// As of when the endpoint is what the client believes, if it says what it believes.
async fn seen_at(
    caller: &Caller,
    id: EventEndpointId,
    if_match: &IfMatch,
) -> Result<Option<DateTime<Utc>>, ApiError> {
    let seen = if_match.confirmed(find(caller, id), version).await?;
    Ok(seen.map(|endpoint| endpoint.updated_at))
}

async fn find(caller: &Caller, id: EventEndpointId) -> Result<EventEndpoint, ApiError> {
    let found = event_endpoints::find(&caller.store, caller.tenant, id).await;
    found.map_err(store_failed)?.ok_or_else(|| Problem::EventEndpointNotFound.into())
}

/// What was saved; `None` if somebody else was faster.
fn accepted(saved: Saved) -> Result<Option<EventEndpoint>, ApiError> {
    match saved {
        Saved::Saved(endpoint) => Ok(Some(*endpoint)),
        Saved::Stale => Ok(None),
        Saved::NameTaken => Err(taken("event endpoint", &["name"])),
        Saved::NoAgent => Err(ApiError::invalid_field("agent_id", "is no agent of this tenant")),
        Saved::TooMany => {
            let message = format!("a tenant has at most {MAX_ENDPOINTS} event endpoints");
            Err(ApiError::new(Problem::LimitReached, message))
        }
    }
}

fn parse_id(id: &str) -> Result<EventEndpointId, ApiError> {
    id.parse().map_err(|_no_id| Problem::EventEndpointNotFound.into())
}
