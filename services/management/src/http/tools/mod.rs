//! `/api/tools`: what agents can do besides talking.

mod draft;
mod schema;
mod try_out;

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::tools::{self, Saved, Tool};
use recado_types::ToolId;
use recado_types::scope::Scope;
use schemars::JsonSchema;
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
        "/api/tools",
        "Tools",
        &[
            Operation::get("List tools", Access::Key(Scope::ReadAgents), || web::get().to(list))
                .details("By name.")
                .query(&[LIMIT, CURSOR])
                .answers::<Listing<Shown>>(200),
            Operation::post("Make a tool", Access::Role(Role::Editor), || web::post().to(create))
                .details(
                    "Of one of three kinds: a request (`http`), an MCP server with all its tools \
                     (`mcp`), or another agent (`agent`). Secrets are named in `config`, never \
                     written there.",
                )
                .body(RequestBody::json(schema::new_tool, schema::new_tool_example))
                .answers_data::<Shown>(201)
                .problems(&[Problem::AlreadyExists])
                .with_etag(),
        ],
    ),
    Resource::new(
        "/api/tools/{id}",
        "Tools",
        &[
            Operation::get("Show a tool", Access::Key(Scope::ReadAgents), || web::get().to(show))
                .answers_data::<Shown>(200)
                .problems(&[Problem::ToolNotFound])
                .with_etag(),
            Operation::patch("Change a tool", Access::Role(Role::Editor), || {
                web::patch().to(update)
            })
            .details(
                "Replaces the fields that are given, `config` as a whole. The kind stays. Runs \
                 that are on their way go on with what they began with; a call that waits for an \
                 approval is refused if its tool has changed.",
            )
            .body(RequestBody::json(schema::tool_patch, schema::tool_patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::ToolNotFound, Problem::AlreadyExists, Problem::Conflict])
            .with_etag(),
            Operation::delete("Delete a tool", Access::Role(Role::Editor), || {
                web::delete().to(delete)
            })
            .details("409 `conflict` names the agents that have it, in `details.used_by`.")
            .answers::<Done>(200)
            .problems(&[Problem::ToolNotFound, Problem::Conflict])
            .with_etag(),
        ],
    ),
    Resource::new("/api/tools/{id}/try", "Tools", try_out::OPERATIONS),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tool")]
struct Shown {
    id: ToolId,
    /// What models call it.
    name: String,
    /// What models are told of it.
    description: String,
    #[schemars(extend("enum" = schema::kinds()))]
    kind: &'static str,
    /// As it was saved; secrets are named there, not shown.
    #[schemars(schema_with = "schema::any_object")]
    config: Value,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Tool> for Shown {
    fn from(tool: Tool) -> Self {
        let Tool { id, name, description, kind, config, created_at, updated_at } = tool;
        Self { id, name, description, kind: kind.as_str(), config, created_at, updated_at }
    }
}

fn version(tool: &Tool) -> Version {
    Version::time(tool.updated_at)
}

fn one(tool: Tool) -> Tagged<Found<Shown>> {
    let version = version(&tool);
    Tagged::new(Found::new(tool.into()), version)
}

/// POST: makes a tool.
async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let reading = read_new(&body.json().await?)?;
    let id = ToolId(api.clock.fresh_id());
    let now = api.clock.now();
    let saved = tools::create(&caller.store, caller.tenant, id, &reading.draft, now).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(tool) => Ok(one(tool).made_at(format!("/api/tools/{id}"))),
        Saved::NameTaken => Err(taken("tool", &["name"])),
        Saved::Missing(missing) => Err(reading.refused(&missing)),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}

/// GET: the tools, by name.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("tools/{}", caller.tenant);
    let page: Page<String> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = tools::list(&caller.store, caller.tenant, after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |tool: &Tool| tool.name.clone();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one tool.
async fn show(caller: Caller, id: Path<String>) -> Result<Tagged<Found<Shown>>, ApiError> {
    Ok(one(find(&caller, parse_id(&id)?).await?))
}

/// PATCH: replaces the fields that are given, `config` as a whole.
async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let tool = until_saved(async || {
        let current = find(&caller, id).await?;
        if_match.check(&version(&current))?;
        let read_at = current.updated_at;
        let reading = patched(current, &body)?;
        let (draft, now) = (&reading.draft, api.clock.now());
        let saved = tools::replace(&caller.store, caller.tenant, id, read_at, draft, now).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(tool) => Ok(Some(tool)),
            Saved::NameTaken => Err(taken("tool", &["name"])),
            Saved::Missing(missing) => Err(reading.refused(&missing)),
            Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(one(tool))
}

/// DELETE: a tool that no agent has.
async fn delete(
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    until_saved(async || {
        let seen = if_match.confirmed(find(&caller, id), version).await?;
        let read_at = seen.map(|tool| tool.updated_at);
        let deletion = tools::delete(&caller.store, caller.tenant, id, read_at).await;
        deleted(deletion.map_err(store_failed)?, "tool", Problem::ToolNotFound)
    })
    .await?;
    Ok(Json(DONE))
}

async fn find(caller: &Caller, id: ToolId) -> Result<Tool, ApiError> {
    let found = tools::find(&caller.store, caller.tenant, id).await;
    found.map_err(store_failed)?.ok_or_else(|| Problem::ToolNotFound.into())
}

fn parse_id(id: &str) -> Result<ToolId, ApiError> {
    id.parse().map_err(|_no_id| Problem::ToolNotFound.into())
}
