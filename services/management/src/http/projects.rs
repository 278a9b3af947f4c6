//! `/api/projects`: what agents and triggers are grouped by.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::projects::{self, Project, ProjectDraft, Saved};
use recado_types::ProjectId;
use recado_types::ids::ChosenId;
use recado_types::scope::Scope;
use recado_types::shape::{ObjectReader, Problems};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::schema::{about, name, object, patch, text};
use super::{DONE, Done, Found};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged, Version};
use crate::failure::{deleted, invalid, store_failed, taken};
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::optimistic::until_saved;
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;

/// As many characters as any name may have.
const MAX_NAME: usize = 255;

/// What a project is besides what can be given.
const READ_ONLY: [&str; 3] = ["id", "created_at", "updated_at"];

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/projects",
        "Projects",
        &[
            Operation::get("List projects", Access::Key(Scope::ReadDirectory), || {
                web::get().to(list)
            })
            .details("Newest first.")
            .query(&[LIMIT, CURSOR])
            .answers::<Listing<Shown>>(200),
            Operation::post("Make a project", Access::Role(Role::Editor), || {
                web::post().to(create)
            })
            .details(
                "A tenant has one project from the beginning, to which goes what names none. With \
                 an `external_id`, addresses of the interfaces below `/manage` and `/run` may call \
                 it by that.",
            )
            .body(RequestBody::json(new_project, new_project_example))
            .answers_data::<Shown>(201)
            .problems(&[Problem::AlreadyExists])
            .with_etag(),
        ],
    ),
    Resource::new(
        "/api/projects/{id}",
        "Projects",
        &[
            Operation::get("Show a project", Access::Key(Scope::ReadDirectory), || {
                web::get().to(show)
            })
            .answers_data::<Shown>(200)
            .problems(&[Problem::ProjectNotFound])
            .with_etag(),
            Operation::patch("Change a project", Access::Role(Role::Editor), || {
                web::patch().to(update)
            })
            .body(RequestBody::json(project_patch, project_patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::ProjectNotFound, Problem::AlreadyExists, Problem::Conflict])
            .with_etag(),
            Operation::delete("Delete a project", Access::Role(Role::Editor), || {
                web::delete().to(delete)
            })
            .details(
                "Only one in which there never was an agent or a trigger: 409 `conflict` names \
                 some of them in `details.used_by`.",
            )
            .answers::<Done>(200)
            .problems(&[Problem::ProjectNotFound, Problem::Conflict])
            .with_etag(),
        ],
    ),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Project")]
struct Shown {
    id: ProjectId,
    name: String,
    /// What addresses may call it.
    external_id: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Project> for Shown {
    fn from(project: Project) -> Self {
        let Project { id, name, external_id, created_at, updated_at } = project;
        Self { id, name, external_id, created_at, updated_at }
    }
}

fn version(project: &Project) -> Version {
    Version::time(project.updated_at)
}

fn one(project: Project) -> Tagged<Found<Shown>> {
    let version = version(&project);
    Tagged::new(Found::new(project.into()), version)
}

/// POST: makes a project.
async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let draft = read(&body.json().await?, None)?;
    let id = ProjectId(api.clock.fresh_id());
    let saved = projects::create(&caller.store, caller.tenant, id, &draft, api.clock.now()).await;
    let project = accepted(saved.map_err(store_failed)?)?.ok_or(Problem::Conflict)?;
    Ok(one(project).made_at(format!("/api/projects/{id}")))
}

/// GET: the projects, newest first.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("projects/{}", caller.tenant);
    let page: Page<ProjectId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = projects::list(&caller.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |project: &Project| project.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one project.
async fn show(caller: Caller, id: Path<String>) -> Result<Tagged<Found<Shown>>, ApiError> {
    Ok(one(find(&caller, parse_id(&id)?).await?))
}

/// PATCH: replaces the fields that are given.
async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let project = until_saved(async || {
        let current = find(&caller, id).await?;
        if_match.check(&version(&current))?;
        let (read_at, now) = (current.updated_at, api.clock.now());
        let draft = read(&body, Some(&current))?;
        let saved = projects::replace(&caller.store, caller.tenant, id, read_at, &draft, now).await;
        accepted(saved.map_err(store_failed)?)
    })
    .await?;
    Ok(one(project))
}

/// DELETE: a project that nothing is in.
async fn delete(
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    until_saved(async || {
        let seen = if_match.confirmed(find(&caller, id), version).await?;
        let read_at = seen.map(|project| project.updated_at);
        let deletion = projects::delete(&caller.store, caller.tenant, id, read_at).await;
        deleted(deletion.map_err(store_failed)?, "project", Problem::ProjectNotFound)
    })
    .await?;
    Ok(Json(DONE))
}

async fn find(caller: &Caller, id: ProjectId) -> Result<Project, ApiError> {
    let found = projects::find(&caller.store, caller.tenant, id).await;
    found.map_err(store_failed)?.ok_or_else(|| Problem::ProjectNotFound.into())
}

fn accepted(saved: Saved) -> Result<Option<Project>, ApiError> {
    match saved {
        Saved::Saved(project) => Ok(Some(project)),
        Saved::ExternalIdTaken => Err(taken("project", &["external_id"])),
        Saved::Stale => Ok(None),
    }
}

fn parse_id(id: &str) -> Result<ProjectId, ApiError> {
    id.parse().map_err(|_no_id| Problem::ProjectNotFound.into())
}

/// A new project, or what becomes of one that is there.
fn read(body: &Value, current: Option<&Project>) -> Result<ProjectDraft, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let name = match current {
            None => fields.required_name("name", MAX_NAME),
            Some(_) if fields.is_null("name") => {
                fields.refuse("name", "cannot be taken away");
                None
            }
            Some(current) => Some(fields.name("name", MAX_NAME).unwrap_or(&current.name)),
        };
        let is_reset = fields.is_null("external_id");
        let external_id: Option<ChosenId> = fields.parsed("external_id");
        fields.read_only(&READ_ONLY);
        fields.done();
        let kept = current.and_then(|current| current.external_id.clone());
        let kept = if is_reset { None } else { kept };
        let external_id = external_id.map(|chosen| chosen.as_str().to_owned()).or(kept);
        Some(ProjectDraft { name: name?.to_owned(), external_id })
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

fn new_project() -> Value {
    let mut external_id = text(1, ChosenId::MAX_LENGTH);
    external_id["pattern"] = ChosenId::PATTERN.into();
    object(
        &["name"],
        [
            ("name", name(MAX_NAME)),
            (
                "external_id",
                about(external_id, "What addresses may call it; neither a UUID nor `new`."),
            ),
        ],
    )
}

fn new_project_example() -> Value {
    json!({ "name": "Clinics", "external_id": "clinics" })
}

fn project_patch() -> Value {
    patch(&new_project(), &["name"], &["name", "external_id"])
}

fn project_patch_example() -> Value {
    json!({ "name": "Clinics of the north" })
}
