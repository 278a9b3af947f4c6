//! `/api/agents`: who answers, with what, and within which limits.

mod draft;
mod versions;

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::problem::FieldReason;
use recado_http::{ApiError, Problem};
use recado_store::agents::{self, Agent, Labels, Saved};
use recado_store::references::Deletion;
use recado_types::{AgentId, ProjectId};
use serde::Serialize;
use serde_json::{Value, json};

use self::draft::Reading;
use super::{DONE, Done, Found};
use crate::Api;
use crate::access::{Caller, Read, Write};
use crate::body::Body;
use crate::failure::{in_use, store_failed};
use crate::optimistic::until_saved;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

pub(super) use versions::{list as list_versions, show as show_version};

#[derive(Serialize)]
pub(super) struct Shown {
    id: AgentId,
    project_id: ProjectId,
    name: String,
    external_id: Option<String>,
    labels: Labels,
    #[serde(flatten)]
    spec: Value,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Agent> for Shown {
    fn from(agent: Agent) -> Self {
        Self {
            id: agent.id,
            project_id: agent.project_id,
            name: agent.name,
            external_id: agent.external_id,
            labels: agent.labels,
            spec: agent.spec,
            version: agent.version,
            created_at: agent.created_at,
            updated_at: agent.updated_at,
        }
    }
}

/// POST: makes an agent, in the tenant's oldest project unless another one is named.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<Write>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let reading = Reading::of_new(&body.json().await?)?;
    let draft = reading.draft(&api.store, caller.tenant).await?;
    let id = AgentId(api.clock.fresh_id());
    let saved = agents::create(&api.store, caller.tenant, id, &draft, api.clock.now()).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(agent) => Ok(HttpResponse::Created()
            .insert_header((LOCATION, format!("/api/agents/{id}")))
            .json(Found::new(Shown::from(agent)))),
        Saved::Missing(missing) => Err(draft::refused(&draft.spec, &missing)),
        Saved::ExternalIdTaken => Err(external_id_taken()),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}

/// GET: the agents, newest first.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("agents/{}", caller.tenant);
    let page: Page<AgentId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = agents::list(&api.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |agent: &Agent| agent.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one agent.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let found = agents::find(&api.store, caller.tenant, parse_id(&id)?).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::AgentNotFound)?;
    Ok(Json(Found::new(found.into())))
}

/// PATCH: a merge patch (RFC 7396). It makes a new version if it changes anything.
pub(super) async fn update(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let agent = until_saved(async || {
        let current = agents::find(&api.store, caller.tenant, id).await;
        let current = current.map_err(store_failed)?.ok_or(Problem::AgentNotFound)?;
        let reading = Reading::of_patch(&current, &body)?;
        let draft = reading.draft(&api.store, caller.tenant).await?;
        if current.is_made_of(&draft) {
            return Ok(Some(current));
        }
        let (version, now) = (current.version, api.clock.now());
        let saved = agents::replace(&api.store, caller.tenant, id, version, &draft, now).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(agent) => Ok(Some(agent)),
            Saved::Missing(missing) => Err(draft::refused(&draft.spec, &missing)),
            Saved::ExternalIdTaken => Err(external_id_taken()),
            Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(Json(Found::new(agent.into())))
}

/// DELETE: an agent that no trigger hands its messages to and no tool asks.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    let deletion = agents::delete(&api.store, caller.tenant, id, api.clock.now()).await;
    match deletion.map_err(store_failed)? {
        Deletion::Deleted => Ok(Json(DONE)),
        Deletion::NotFound => Err(Problem::AgentNotFound.into()),
        Deletion::InUse(users) => Err(in_use("agent", &users)),
    }
}

fn parse_id(id: &str) -> Result<AgentId, ApiError> {
    id.parse().map_err(|_no_id| Problem::AgentNotFound.into())
}

fn external_id_taken() -> ApiError {
    let (path, reason) = ("external_id".to_owned(), "is another agent's already".to_owned());
    ApiError::new(Problem::AlreadyExists, "another agent has this external_id")
        .with_details(json!({"fields": [FieldReason { path, reason }]}))
}
