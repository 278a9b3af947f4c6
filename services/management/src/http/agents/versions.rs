//! `/api/agents/{id}/versions`: what an agent was made of, each time it was changed.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::agents::{self, AgentDraft, AgentVersion};
use recado_types::AgentId;
use recado_types::agent::AgentSpec;
use recado_types::scope::Scope;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::super::Found;
use super::{change, parse_id, schema};
use crate::Api;
use crate::access::Caller;
use crate::etag::{IfMatch, Tagged};
use crate::failure::{invalid, store_failed};
use crate::http::operation::{Access, Operation};
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;

pub(super) const ALL: &[Operation] =
    &[Operation::get("List an agent's versions", Access::Key(Scope::ReadAgents), || {
        web::get().to(list)
    })
    .details("The newest first; of a deleted agent, too.")
    .query(&[LIMIT, CURSOR])
    .answers::<Listing<Shown>>(200)
    .problems(&[Problem::AgentNotFound])];

pub(super) const ONE: &[Operation] =
    &[Operation::get("Show a version of an agent", Access::Key(Scope::ReadAgents), || {
        web::get().to(show)
    })
    .details("Of a deleted agent, too.")
    .answers_data::<Shown>(200)
    .problems(&[Problem::AgentNotFound])];

pub(super) const RESTORE: &[Operation] =
    &[Operation::post("Restore a version of an agent", Access::Role(Role::Editor), || {
        web::post().to(restore)
    })
    .details(
        "Makes a new version with the content of that one: its name, and all that a version \
         shows. Project, `external_id` and `labels`, which versions do not have, stay. What it \
         refers to has to exist, as on any change.",
    )
    .answers_data::<super::Shown>(200)
    .problems(&[Problem::AgentNotFound, Problem::Conflict])
    .with_etag()];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AgentVersion")]
struct Shown {
    agent_id: AgentId,
    version: i32,
    name: String,
    #[serde(flatten)]
    #[schemars(with = "schema::SpecShown")]
    spec: Value,
    created_at: DateTime<Utc>,
}

impl Shown {
    fn of(agent_id: AgentId, found: AgentVersion) -> Self {
        let AgentVersion { version, name, spec, created_at } = found;
        Self { agent_id, version, name, spec, created_at }
    }
}

/// GET: the versions of an agent, newest first; of a deleted one, too.
async fn list(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let id = parse_id(&id)?;
    let mut query = QueryReader::of(&request);
    let scope = format!("agents/{}/{id}/versions", caller.tenant);
    let page: Page<i32> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = agents::versions(&caller.store, caller.tenant, id, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    if found.is_empty() {
        return Err(Problem::AgentNotFound.into());
    }
    let position = |found: &AgentVersion| found.version.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, |found| Shown::of(id, found))))
}

/// GET: one version of an agent; of a deleted one, too.
async fn show(
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let (id, version) = path.into_inner();
    let id = parse_id(&id)?;
    let found = find_version(&caller, id, &version).await?;
    Ok(Json(Found::new(Shown::of(id, found))))
}

/// POST: makes an agent what it was.
async fn restore(
    api: Data<Api>,
    caller: Caller,
    path: Path<(String, String)>,
    if_match: IfMatch,
) -> Result<Tagged<Found<super::Shown>>, ApiError> {
    let (id, version) = path.into_inner();
    let id = parse_id(&id)?;
    let version = find_version(&caller, id, &version).await?;
    let spec = AgentSpec::from_saved(&version.spec).map_err(invalid)?;
    change(&api, &caller, id, &if_match, async |current| {
        Ok(AgentDraft {
            project_id: current.project_id,
            name: version.name.clone(),
            external_id: current.external_id.clone(),
            labels: current.labels.clone(),
            spec: spec.clone(),
        })
    })
    .await
}

async fn find_version(
    caller: &Caller,
    id: AgentId,
    version: &str,
) -> Result<AgentVersion, ApiError> {
    let unknown =
        || ApiError::new(Problem::AgentNotFound, "there is no such version of this agent");
    let version = version.parse().map_err(|_no_number| unknown())?;
    let found = agents::version(&caller.store, caller.tenant, id, version).await;
    found.map_err(store_failed)?.ok_or_else(unknown)
}
