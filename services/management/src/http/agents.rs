//! `/api/agents`: who answers.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::problem::FieldReason;
use recado_http::{ApiError, Problem};
use recado_store::agents::{self, Agent, AgentDraft, Saved};
use recado_store::references::Deletion;
use recado_store::tenants;
use recado_types::agent::ModelName;
use recado_types::shape::{ObjectReader, Problems};
use recado_types::{AgentId, ProjectId};
use serde::Serialize;
use serde_json::Value;

use super::{DONE, Done, Found};
use crate::Api;
use crate::access::{Caller, Read, Write};
use crate::body::Body;
use crate::failure::{in_use, invalid, store_failed};
use crate::optimistic::until_saved;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

const MAX_NAME: usize = 255;
const MAX_PROMPT: usize = 100_000;

/// What an agent is besides what can be changed.
const READ_ONLY: [&str; 4] = ["id", "version", "created_at", "updated_at"];

#[derive(Serialize)]
pub(super) struct Shown {
    id: AgentId,
    project_id: ProjectId,
    name: String,
    model: String,
    system_prompt: String,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Agent> for Shown {
    fn from(agent: Agent) -> Self {
        let Agent { id, project_id, name, model, system_prompt, version, created_at, updated_at } =
            agent;
        Self { id, project_id, name, model, system_prompt, version, created_at, updated_at }
    }
}

/// What a body says about an agent; what is absent is `None`.
#[derive(Debug, Default)]
struct Fields {
    project_id: Option<ProjectId>,
    name: Option<String>,
    model: Option<ModelName>,
    system_prompt: Option<String>,
}

/// POST: makes an agent, in the tenant's oldest project unless another one is named.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<Write>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let fields = read_new(&body.json().await?)?;
    let project_id = match fields.project_id {
        Some(project) => project,
        None => tenants::default_project(&api.store, caller.tenant)
            .await
            .map_err(store_failed)?
            .ok_or_else(|| ApiError::invalid_field("project_id", "is required"))?,
    };
    let draft = AgentDraft {
        project_id,
        name: fields.name.expect("is required"),
        model: fields.model.expect("is required"),
        system_prompt: fields.system_prompt.expect("is required"),
    };
    let id = AgentId(api.clock.fresh_id());
    let saved = agents::create(&api.store, caller.tenant, id, &draft, api.clock.now()).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(agent) => Ok(HttpResponse::Created()
            .insert_header((LOCATION, format!("/api/agents/{id}")))
            .json(Found::new(Shown::from(agent)))),
        Saved::Missing { project, provider } => Err(missing(project, provider)),
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

/// PATCH: replaces the fields that are given.
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
        let draft = patched(&current, read_patch(&body)?)?;
        let (version, now) = (current.version, api.clock.now());
        let saved = agents::replace(&api.store, caller.tenant, id, version, &draft, now).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(agent) => Ok(Some(agent)),
            Saved::Missing { project, provider } => Err(missing(project, provider)),
            Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(Json(Found::new(agent.into())))
}

/// DELETE: an agent that no trigger hands its messages to.
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

fn missing(project: bool, provider: bool) -> ApiError {
    let reason =
        |path: &str, reason: &str| FieldReason { path: path.to_owned(), reason: reason.to_owned() };
    let project = project.then(|| reason("project_id", "is no project of this tenant"));
    let provider = provider.then(|| reason("model", "begins with no provider of this tenant"));
    ApiError::invalid_fields(project.into_iter().chain(provider))
}

fn patched(current: &Agent, fields: Fields) -> Result<AgentDraft, ApiError> {
    let model = match fields.model {
        Some(model) => model,
        None => current.model.parse().map_err(ApiError::internal)?,
    };
    Ok(AgentDraft {
        project_id: fields.project_id.unwrap_or(current.project_id),
        name: fields.name.unwrap_or_else(|| current.name.clone()),
        model,
        system_prompt: fields.system_prompt.unwrap_or_else(|| current.system_prompt.clone()),
    })
}

fn read_new(body: &Value) -> Result<Fields, ApiError> {
    read(body, |fields| {
        for required in ["name", "model", "system_prompt"] {
            fields.required(required);
        }
    })
}

fn read_patch(body: &Value) -> Result<Fields, ApiError> {
    read(body, |fields| {
        for kept in ["project_id", "name", "model", "system_prompt"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
    })
}

fn read(body: &Value, judge: fn(&mut ObjectReader<'_>)) -> Result<Fields, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        judge(&mut fields);
        let read = Fields {
            project_id: fields.parsed("project_id"),
            name: fields.string("name", 1..=MAX_NAME).map(str::to_owned),
            model: fields.parsed("model"),
            system_prompt: fields.string("system_prompt", 0..=MAX_PROMPT).map(str::to_owned),
        };
        fields.read_only(&READ_ONLY);
        fields.done();
        read
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("anything but an object is a problem"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_new_agent_needs_name_model_and_prompt() {
        let error = read_new(&json!({"model": "gpt", "version": 3, "temperature": 1})).unwrap_err();
        assert_eq!(error.message(), "5 fields are missing or invalid");
        let fine = json!({"name": "a", "model": "builtin.echo", "system_prompt": ""});
        assert!(read_new(&fine).is_ok());
    }

    #[test]
    fn a_patch_may_be_empty_but_takes_nothing_away() {
        assert!(read_patch(&json!({})).is_ok());
        assert!(read_patch(&json!({"name": null})).is_err());
        assert!(read_patch(&json!({"id": "x"})).is_err());
    }
}
