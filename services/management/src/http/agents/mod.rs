//! `/api/agents`: who answers, with what, and within which limits.

mod draft;
mod schema;
mod versions;

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::agents::{self, Agent, AgentDraft, Labels, Saved};
use recado_types::scope::Scope;
use recado_types::{AgentId, ProjectId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use self::draft::Reading;
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
        "/api/agents",
        "Agents",
        &[
            Operation::get("List agents", Access::Key(Scope::ReadAgents), || web::get().to(list))
                .details("The newest first.")
                .query(&[LIMIT, CURSOR])
                .answers::<Listing<Shown>>(200),
            Operation::post("Make an agent", Access::Role(Role::Editor), || web::post().to(create))
                .body(RequestBody::json(schema::new_agent, schema::new_agent_example))
                .answers_data::<Shown>(201)
                .problems(&[Problem::AlreadyExists])
                .with_etag(),
        ],
    ),
    Resource::new(
        "/api/agents/{id}",
        "Agents",
        &[
            Operation::get("Show an agent", Access::Key(Scope::ReadAgents), || web::get().to(show))
                .answers_data::<Shown>(200)
                .problems(&[Problem::AgentNotFound])
                .with_etag(),
            Operation::patch("Change an agent", Access::Role(Role::Editor), || {
                web::patch().to(update)
            })
            .details(
                "A JSON merge patch (RFC 7396). It makes a new version, if it changes anything; \
                 runs that are on their way go on with the version that they began with.",
            )
            .body(RequestBody::json(schema::agent_patch, schema::agent_patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::AgentNotFound, Problem::AlreadyExists, Problem::Conflict])
            .with_etag(),
            Operation::delete("Delete an agent", Access::Role(Role::Editor), || {
                web::delete().to(delete)
            })
            .details(
                "Its versions stay for its executions. 409 `conflict` names the triggers, tools \
                 and event endpoints that need it, in `details.used_by`.",
            )
            .answers::<Done>(200)
            .problems(&[Problem::AgentNotFound, Problem::Conflict])
            .with_etag(),
        ],
    ),
    Resource::new("/api/agents/{id}/versions", "Agents", versions::ALL),
    Resource::new("/api/agents/{id}/versions/{version}", "Agents", versions::ONE),
    Resource::new("/api/agents/{id}/versions/{version}/restore", "Agents", versions::RESTORE),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Agent")]
struct Shown {
    id: AgentId,
    project_id: ProjectId,
    name: String,
    /// What another system calls it.
    external_id: Option<String>,
    labels: Labels,
    #[serde(flatten)]
    #[schemars(with = "schema::SpecShown")]
    spec: Value,
    /// Counts its changes, from 1; its `ETag` too.
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

fn version(agent: &Agent) -> Version {
    Version::number(agent.version)
}

fn one(agent: Agent) -> Tagged<Found<Shown>> {
    let version = version(&agent);
    Tagged::new(Found::new(agent.into()), version)
}

/// POST: makes an agent, in the tenant's oldest project unless another one is named.
async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let reading = Reading::of_new(&body.json().await?)?;
    let draft = reading.draft(&caller.store, caller.tenant).await?;
    let id = AgentId(api.clock.fresh_id());
    let saved = agents::create(&caller.store, caller.tenant, id, &draft, api.clock.now()).await;
    let agent = judged(saved.map_err(store_failed)?, &draft)?.ok_or(Problem::Conflict)?;
    Ok(one(agent).made_at(format!("/api/agents/{id}")))
}

/// GET: the agents, newest first.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("agents/{}", caller.tenant);
    let page: Page<AgentId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = agents::list(&caller.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |agent: &Agent| agent.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one agent.
async fn show(caller: Caller, id: Path<String>) -> Result<Tagged<Found<Shown>>, ApiError> {
    Ok(one(find(&caller, parse_id(&id)?).await?))
}

/// PATCH: a merge patch (RFC 7396). It makes a new version if it changes anything.
async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    change(&api, &caller, id, &if_match, async |current| {
        Reading::of_patch(current, &body)?.draft(&caller.store, caller.tenant).await
    })
    .await
}

/// Gives an agent its next version: what `redraft` makes of the one it has.
async fn change(
    api: &Api,
    caller: &Caller,
    id: AgentId,
    if_match: &IfMatch,
    redraft: impl AsyncFn(&Agent) -> Result<AgentDraft, ApiError>,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let agent = until_saved(async || {
        let current = find(caller, id).await?;
        if_match.check(&version(&current))?;
        let draft = redraft(&current).await?;
        if current.is_made_of(&draft) {
            return Ok(Some(current));
        }
        let (version, now) = (current.version, api.clock.now());
        let saved = agents::replace(&caller.store, caller.tenant, id, version, &draft, now).await;
        judged(saved.map_err(store_failed)?, &draft)
    })
    .await?;
    Ok(one(agent))
}

/// The agent that was saved; `None` if somebody else was faster.
fn judged(saved: Saved, draft: &AgentDraft) -> Result<Option<Agent>, ApiError> {
    match saved {
        Saved::Saved(agent) => Ok(Some(agent)),
        Saved::Missing(missing) => Err(draft::refused(&draft.spec, &missing)),
        Saved::ExternalIdTaken => Err(taken("agent", &["external_id"])),
        Saved::Stale => Ok(None),
    }
}

/// DELETE: an agent that no trigger hands its messages to and no tool asks.
async fn delete(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    until_saved(async || {
        let seen = if_match.confirmed(find(&caller, id), version).await?;
        let (seen, now) = (seen.map(|agent| agent.version), api.clock.now());
        let deletion = agents::delete(&caller.store, caller.tenant, id, seen, now).await;
        deleted(deletion.map_err(store_failed)?, "agent", Problem::AgentNotFound)
    })
    .await?;
    Ok(Json(DONE))
}

async fn find(caller: &Caller, id: AgentId) -> Result<Agent, ApiError> {
    let found = agents::find(&caller.store, caller.tenant, id).await;
    found.map_err(store_failed)?.ok_or_else(|| Problem::AgentNotFound.into())
}

fn parse_id(id: &str) -> Result<AgentId, ApiError> {
    id.parse().map_err(|_no_id| Problem::AgentNotFound.into())
}
