//! `/api/tools`: what agents can do besides talking.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::references::Deletion;
use recado_store::tools::{self, Missing, Saved, Tool, ToolDraft};
use recado_types::ToolId;
use recado_types::shape::{ObjectReader, Problems};
use recado_types::tool::{MAX_TOOL_NAME, ToolKind, ToolSpec, is_tool_name};
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

/// Every call of the model carries it.
const MAX_DESCRIPTION: usize = 4_000;

/// What a tool is besides what can be given.
const READ_ONLY: [&str; 3] = ["id", "created_at", "updated_at"];

#[derive(Serialize)]
pub(super) struct Shown {
    id: ToolId,
    name: String,
    description: String,
    kind: &'static str,
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

/// A tool that can be saved, and how its configuration is understood.
#[derive(Debug)]
struct Reading {
    draft: ToolDraft,
    spec: ToolSpec,
}

/// POST: makes a tool.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<Write>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let Reading { draft, spec } = read_new(&body.json().await?)?;
    let id = ToolId(api.clock.fresh_id());
    let saved = tools::create(&api.store, caller.tenant, id, &draft, api.clock.now()).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(tool) => Ok(HttpResponse::Created()
            .insert_header((LOCATION, format!("/api/tools/{id}")))
            .json(Found::new(Shown::from(tool)))),
        Saved::NameTaken => Err(Problem::AlreadyExists.into()),
        Saved::Missing(missing) => Err(refused(&spec, &missing)),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}

/// GET: the tools, by name.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("tools/{}", caller.tenant);
    let page: Page<String> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let after = page.after.as_deref().unwrap_or_default();
    let found = tools::list(&api.store, caller.tenant, after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |tool: &Tool| tool.name.clone();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one tool.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let found = tools::find(&api.store, caller.tenant, parse_id(&id)?).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::ToolNotFound)?;
    Ok(Json(Found::new(found.into())))
}

/// PATCH: replaces the fields that are given, `config` as a whole.
pub(super) async fn update(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let tool = until_saved(async || {
        let current = tools::find(&api.store, caller.tenant, id).await;
        let current = current.map_err(store_failed)?.ok_or(Problem::ToolNotFound)?;
        let read_at = current.updated_at;
        let Reading { draft, spec } = patched(current, &body)?;
        let now = api.clock.now();
        let saved = tools::replace(&api.store, caller.tenant, id, read_at, &draft, now).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(tool) => Ok(Some(tool)),
            Saved::NameTaken => Err(Problem::AlreadyExists.into()),
            Saved::Missing(missing) => Err(refused(&spec, &missing)),
            Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(Json(Found::new(tool.into())))
}

/// DELETE: a tool that no agent has.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<Done>, ApiError> {
    let deletion = tools::delete(&api.store, caller.tenant, parse_id(&id)?).await;
    match deletion.map_err(store_failed)? {
        Deletion::Deleted => Ok(Json(DONE)),
        Deletion::NotFound => Err(Problem::ToolNotFound.into()),
        Deletion::InUse(users) => Err(in_use("tool", &users)),
    }
}

fn parse_id(id: &str) -> Result<ToolId, ApiError> {
    id.parse().map_err(|_no_id| Problem::ToolNotFound.into())
}

/// 400, naming every reference in vain by its path.
fn refused(spec: &ToolSpec, missing: &Missing) -> ApiError {
    let problems = Problems::default();
    if missing.agent {
        problems.add("config.agent_id", "is no agent of this tenant");
    }
    for (path, name) in spec.secret_refs() {
        if missing.secrets.iter().any(|secret| secret == name) {
            problems.add(path, format!("there is no secret `{name}`"));
        }
    }
    invalid(problems.finish(()).err().unwrap_or_default())
}

fn read_new(body: &Value) -> Result<Reading, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        fields.required("name");
        let name = read_name(&mut fields);
        let description = fields.string("description", 0..=MAX_DESCRIPTION).unwrap_or_default();
        fields.required("kind");
        let kind = fields.choice("kind", &ToolKind::BY_NAME);
        let config = fields.required("config");
        fields.read_only(&READ_ONLY);
        fields.done();
        let (kind, config) = (kind?, config?);
        let spec = ToolSpec::read(kind, config, &problems)?;
        Some(reading(name?, description.to_owned(), config.clone(), spec))
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

fn patched(current: Tool, body: &Value) -> Result<Reading, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        for kept in ["name", "config"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
        let name = read_name(&mut fields).unwrap_or(current.name);
        let reset = fields.is_null("description");
        let description = fields.string("description", 0..=MAX_DESCRIPTION).map(str::to_owned);
        let description =
            if reset { String::new() } else { description.unwrap_or(current.description) };
        let config = fields.any("config").cloned().unwrap_or(current.config);
        // The configuration of one kind means nothing to another.
        fields.read_only(&["kind"]);
        fields.read_only(&READ_ONLY);
        fields.done();
        let spec = ToolSpec::read(current.kind, &config, &problems)?;
        Some(reading(name, description, config, spec))
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

fn reading(name: String, description: String, config: Value, spec: ToolSpec) -> Reading {
    let mut secret_refs: Vec<String> =
        spec.secret_refs().into_iter().map(|(_, name)| name.to_owned()).collect();
    secret_refs.sort();
    secret_refs.dedup();
    let (kind, agent_id) = (spec.kind(), spec.agent_id());
    Reading { draft: ToolDraft { name, description, kind, config, secret_refs, agent_id }, spec }
}

fn read_name(fields: &mut ObjectReader<'_>) -> Option<String> {
    let name = fields.string("name", 1..=MAX_TOOL_NAME)?;
    if !is_tool_name(name) {
        fields.refuse("name", "must have only letters without accents, digits, `_` and `-`");
        return None;
    }
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AGENT: &str = "00000000-0000-0000-0000-000000000001";

    fn new() -> Value {
        json!({"name": "ask", "kind": "agent", "config": {"agent_id": AGENT}})
    }

    fn tool() -> Tool {
        let draft = read_new(&new()).unwrap().draft;
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Tool {
            id: AGENT.parse().unwrap(),
            name: draft.name,
            description: "Knows.".into(),
            kind: draft.kind,
            config: draft.config,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn every_mistake_of_a_new_tool_is_named() {
        let read = read_new(&new()).unwrap();
        assert_eq!(read.draft.agent_id, Some(AGENT.parse().unwrap()));
        assert_eq!(read.draft.description, "");
        let wrong = json!({"name": "a b", "kind": "agent", "config": {"x": 1}, "id": 1, "y": 2});
        let error = read_new(&wrong).unwrap_err();
        // name, id, y, config.agent_id, config.x
        assert_eq!(error.message(), "5 fields are missing or invalid");
        assert_eq!(
            read_new(&json!({})).unwrap_err().message(),
            "3 fields are missing or invalid",
            "name, kind, config"
        );
        assert!(read_new(&json!([])).is_err());
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_name_and_the_kind_always() {
        let same = patched(tool(), &json!({})).unwrap().draft;
        assert_eq!((same.name.as_str(), same.description.as_str()), ("ask", "Knows."));
        let reset = patched(tool(), &json!({"description": null, "name": "b"})).unwrap().draft;
        assert_eq!((reset.name.as_str(), reset.description.as_str()), ("b", ""));
        for bad in [
            json!({"kind": "agent"}),
            json!({"name": null}),
            json!({"config": null}),
            json!({"config": {}}),
            json!({"updated_at": "now"}),
        ] {
            assert!(patched(tool(), &bad).is_err(), "{bad}");
        }
    }
}
