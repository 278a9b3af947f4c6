//! `/api/agents/{id}/versions`: what an agent was made of, each time it was changed.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::agents::{self, AgentVersion};
use recado_types::AgentId;
use serde::Serialize;
use serde_json::Value;

use super::super::Found;
use super::parse_id;
use crate::Api;
use crate::access::{Caller, Read};
use crate::failure::store_failed;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

#[derive(Serialize)]
pub(in crate::http) struct Shown {
    agent_id: AgentId,
    version: i32,
    name: String,
    #[serde(flatten)]
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
pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let id = parse_id(&id)?;
    let mut query = QueryReader::of(&request)?;
    let scope = format!("agents/{}/{id}/versions", caller.tenant);
    let page: Page<i32> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = agents::versions(&api.store, caller.tenant, id, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    if found.is_empty() {
        return Err(Problem::AgentNotFound.into());
    }
    let position = |found: &AgentVersion| found.version.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, |found| Shown::of(id, found))))
}

/// GET: one version of an agent; of a deleted one, too.
pub(in crate::http) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    path: Path<(String, String)>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let (id, version) = path.into_inner();
    let id = parse_id(&id)?;
    let unknown =
        || ApiError::new(Problem::AgentNotFound, "there is no such version of this agent");
    let version = version.parse().map_err(|_no_number| unknown())?;
    let found = agents::version(&api.store, caller.tenant, id, version).await;
    let found = found.map_err(store_failed)?.ok_or_else(unknown)?;
    Ok(Json(Found::new(Shown::of(id, found))))
}
