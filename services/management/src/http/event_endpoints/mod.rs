//! `/api/event-endpoints`: where events are sent to.

mod draft;
mod recover;
mod rotate;
mod send_test;

pub(super) use recover::recover;
pub(super) use rotate::rotate_secret;
pub(super) use send_test::send_test;

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::event_endpoints::{self, EventEndpoint, MAX_ENDPOINTS, Saved};
use recado_types::{AgentId, EventEndpointId};
use serde::Serialize;
use serde_json::json;

use super::{DONE, Done, Found};
use crate::Api;
use crate::access::{Caller, Read, Write};
use crate::body::Body;
use crate::failure::store_failed;
use crate::optimistic::until_saved;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

/// An event endpoint as it is told. There is no place in it for its secret.
#[derive(Serialize)]
pub(super) struct Shown {
    id: EventEndpointId,
    name: String,
    url: String,
    agent_id: Option<AgentId>,
    event_types: Vec<String>,
    enabled: bool,
    disabled_code: Option<String>,
    disabled_message: Option<String>,
    disabled_at: Option<DateTime<Utc>>,
    failing_since: Option<DateTime<Utc>>,
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
#[derive(Serialize)]
pub(super) struct WithSecret {
    #[serde(flatten)]
    endpoint: Shown,
    secret: String,
}

/// POST: makes an event endpoint, with a secret of the caller's or a fresh one, which is in this
/// answer and in no other.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<Write>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let (draft, given) = draft::read_new(&body.json().await?)?;
    let secret = given.unwrap_or_else(event_endpoints::generate_secret);
    let id = EventEndpointId(api.clock.fresh_id());
    let now = api.clock.now();
    let saved = event_endpoints::create(&api.store, caller.tenant, id, &draft, &secret, now).await;
    let saved = saved.map_err(store_failed)?;
    // The id is fresh, so nobody can have been faster.
    let endpoint = accepted(saved)?.ok_or(Problem::Conflict)?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/api/event-endpoints/{id}")))
        .json(Found::new(WithSecret { endpoint: endpoint.into(), secret })))
}

/// GET: the event endpoints, by name.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("event-endpoints/{}", caller.tenant);
    let page: Page<String> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = event_endpoints::list(&api.store, caller.tenant, after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |endpoint: &EventEndpoint| endpoint.name.clone();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one event endpoint.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let found = event_endpoints::find(&api.store, caller.tenant, parse_id(&id)?).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::EventEndpointNotFound)?;
    Ok(Json(Found::new(Shown::from(found))))
}

/// PATCH: replaces the fields that are given. `"enabled": true` forgets why it was disabled.
pub(super) async fn update(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let endpoint = until_saved(async || {
        let current = event_endpoints::find(&api.store, caller.tenant, id).await;
        let current = current.map_err(store_failed)?.ok_or(Problem::EventEndpointNotFound)?;
        let read_at = current.updated_at;
        let draft = draft::patched(current, &body)?;
        let now = api.clock.now();
        let saved =
            event_endpoints::replace(&api.store, caller.tenant, id, read_at, &draft, now).await;
        accepted(saved.map_err(store_failed)?)
    })
    .await?;
    Ok(Json(Found::new(Shown::from(endpoint))))
}

/// DELETE: nothing more is sent there, and what was on its way fails.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<Done>, ApiError> {
    let (id, now) = (parse_id(&id)?, api.clock.now());
    let deleted = event_endpoints::delete(&api.store, caller.tenant, id, now).await;
    if deleted.map_err(store_failed)? {
        Ok(Json(DONE))
    } else {
        Err(Problem::EventEndpointNotFound.into())
    }
}

/// What was saved; `None` if somebody else was faster.
fn accepted(saved: Saved) -> Result<Option<EventEndpoint>, ApiError> {
    match saved {
        Saved::Saved(endpoint) => Ok(Some(*endpoint)),
        Saved::Stale => Ok(None),
        Saved::NameTaken => Err(name_taken()),
        Saved::NoAgent => Err(ApiError::invalid_field("agent_id", "is no agent of this tenant")),
        Saved::TooMany => {
            let message = format!("a tenant has at most {MAX_ENDPOINTS} event endpoints");
            Err(ApiError::new(Problem::LimitReached, message))
        }
    }
}

/// 409, naming the field like the 400 of a field does.
fn name_taken() -> ApiError {
    let field = json!({"path": "name", "reason": "another event endpoint has it"});
    ApiError::new(Problem::AlreadyExists, "another event endpoint has this name")
        .with_details(json!({ "fields": [field] }))
}

fn parse_id(id: &str) -> Result<EventEndpointId, ApiError> {
    id.parse().map_err(|_no_id| Problem::EventEndpointNotFound.into())
}
