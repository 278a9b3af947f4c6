//! `/api/apps`: what is published under one name, with triggers as its webhook channels.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::apps::{self, App, AppPatch, AppStatus};
use recado_types::AppId;
use recado_types::scope::Scope;
use recado_types::shape::{ObjectReader, Problems};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::schema::{about, choice, name, object, or, patch};
use super::{DONE, Done, Found};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged, Version};
use crate::failure::{deleted, invalid, store_failed};
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::optimistic::{unless_stale, until_saved};
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/apps",
        "Apps",
        &[
            Operation::get("List apps", Access::Key(Scope::ReadDirectory), || web::get().to(list))
                .details("Newest first.")
                .query(&[LIMIT, CURSOR])
                .answers::<Listing<Shown>>(200),
            Operation::post("Make an app", Access::Role(Role::Editor), || web::post().to(create))
                .details(
                    "Triggers become its webhook channels by naming it (`app_id`). They take \
                     messages while it is `published`.",
                )
                .body(RequestBody::json(new_app, new_app_example))
                .answers_data::<Shown>(201)
                .with_etag(),
        ],
    ),
    Resource::new(
        "/api/apps/{id}",
        "Apps",
        &[
            Operation::get("Show an app", Access::Key(Scope::ReadDirectory), || {
                web::get().to(show)
            })
            .answers_data::<Shown>(200)
            .problems(&[Problem::AppNotFound])
            .with_etag(),
            Operation::patch("Change an app", Access::Role(Role::Editor), || {
                web::patch().to(update)
            })
            .details("Publishing and archiving an app are changes of its `status`.")
            .body(RequestBody::json(app_patch, app_patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::AppNotFound, Problem::Conflict])
            .with_etag(),
            Operation::delete("Delete an app", Access::Role(Role::Editor), || {
                web::delete().to(delete)
            })
            .details(
                "409 `conflict` names the triggers that are its channels, in `details.used_by`.",
            )
            .answers::<Done>(200)
            .problems(&[Problem::AppNotFound, Problem::Conflict])
            .with_etag(),
        ],
    ),
];

const MAX_NAME: usize = 255;

/// What a new app may be: it is archived once it was something else.
const FIRST_STATUSES: [AppStatus; 2] = [AppStatus::Draft, AppStatus::Published];

/// What an app is besides what can be changed.
const READ_ONLY: [&str; 3] = ["id", "created_at", "updated_at"];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "App")]
struct Shown {
    id: AppId,
    name: String,
    /// The webhook channels of an app take messages while it is `published`.
    #[schemars(extend("enum" = AppStatus::ALL.map(AppStatus::as_str)))]
    status: &'static str,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<App> for Shown {
    fn from(app: App) -> Self {
        let App { id, name, status, created_at, updated_at } = app;
        Self { id, name, status: status.as_str(), created_at, updated_at }
    }
}

fn version(app: &App) -> Version {
    Version::time(app.updated_at)
}

fn one(app: App) -> Tagged<Found<Shown>> {
    let version = version(&app);
    Tagged::new(Found::new(app.into()), version)
}

/// POST: makes an app, a draft unless it says something else.
async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let new = read_new(&body.json().await?)?;
    let name = new.name.expect("is required");
    let status = new.status.unwrap_or(AppStatus::Draft);
    let id = AppId(api.clock.fresh_id());
    let created =
        apps::create(&caller.store, caller.tenant, id, &name, status, api.clock.now()).await;
    Ok(one(created.map_err(store_failed)?).made_at(format!("/api/apps/{id}")))
}

/// GET: the apps, newest first.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("apps/{}", caller.tenant);
    let page: Page<AppId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = apps::list(&caller.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |app: &App| app.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one app.
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
    let (id, patch) = (parse_id(&id)?, read_patch(&body.json().await?)?);
    let app = until_saved(async || {
        let read_at = seen_at(&caller, id, &if_match).await?;
        let now = api.clock.now();
        let changed = apps::change(&caller.store, caller.tenant, id, read_at, &patch, now).await;
        match changed.map_err(store_failed)? {
            Some(app) => Ok(Some(app)),
            None => unless_stale(read_at, Problem::AppNotFound),
        }
    })
    .await?;
    Ok(one(app))
}

/// DELETE: an app that no trigger is a channel of.
async fn delete(
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    until_saved(async || {
        let read_at = seen_at(&caller, id, &if_match).await?;
        let deletion = apps::delete(&caller.store, caller.tenant, id, read_at).await;
        deleted(deletion.map_err(store_failed)?, "app", Problem::AppNotFound)
    })
    .await?;
    Ok(Json(DONE))
}

/// As of when the app is what the client believes, if it says what it believes.
async fn seen_at(
    caller: &Caller,
    id: AppId,
    if_match: &IfMatch,
) -> Result<Option<DateTime<Utc>>, ApiError> {
    let seen = if_match.confirmed(find(caller, id), version).await?;
    Ok(seen.map(|app| app.updated_at))
}

async fn find(caller: &Caller, id: AppId) -> Result<App, ApiError> {
    let found = apps::find(&caller.store, caller.tenant, id).await;
    found.map_err(store_failed)?.ok_or_else(|| Problem::AppNotFound.into())
}

fn parse_id(id: &str) -> Result<AppId, ApiError> {
    id.parse().map_err(|_no_id| Problem::AppNotFound.into())
}

fn read_new(body: &Value) -> Result<AppPatch, ApiError> {
    read(body, &FIRST_STATUSES, |fields| {
        fields.required("name");
    })
}

fn read_patch(body: &Value) -> Result<AppPatch, ApiError> {
    read(body, &AppStatus::ALL, |fields| {
        for kept in ["name", "status"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
    })
}

fn read(
    body: &Value,
    statuses: &[AppStatus],
    judge: fn(&mut ObjectReader<'_>),
) -> Result<AppPatch, ApiError> {
    let statuses: Vec<_> = statuses.iter().map(|status| (status.as_str(), *status)).collect();
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        judge(&mut fields);
        let read = AppPatch {
            name: fields.name("name", MAX_NAME).map(str::to_owned),
            status: fields.choice("status", &statuses),
        };
        fields.read_only(&READ_ONLY);
        fields.done();
        read
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("anything but an object is a problem"))
}

fn new_app() -> Value {
    let status = or(choice(FIRST_STATUSES.map(AppStatus::as_str)), AppStatus::Draft.as_str());
    object(
        &["name"],
        [
            ("name", about(name(MAX_NAME), "What people call it.")),
            ("status", about(status, "What it is at first.")),
        ],
    )
}

fn new_app_example() -> Value {
    json!({ "name": "Sales" })
}

fn app_patch() -> Value {
    let mut schema = patch(&new_app(), &["name"], &["name"]);
    schema["properties"]["status"] = choice(AppStatus::ALL.map(AppStatus::as_str));
    schema
}

fn app_patch_example() -> Value {
    json!({ "status": "published" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_app_is_a_draft_or_published() {
        let new = read_new(&json!({"name": "Sales"})).unwrap();
        assert_eq!(new, AppPatch { name: Some("Sales".into()), status: None });
        let new = read_new(&json!({"name": "Sales", "status": "published"})).unwrap();
        assert_eq!(new.status, Some(AppStatus::Published));
        for bad in [
            json!({}),
            json!({"name": ""}),
            json!({"name": "a", "status": "archived"}),
            json!({"name": "a", "id": "x"}),
            json!({"name": "a", "triggers": []}),
            json!([]),
        ] {
            assert_eq!(read_new(&bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }

    #[test]
    fn a_patch_may_be_empty_but_takes_nothing_away() {
        assert_eq!(read_patch(&json!({})).unwrap(), AppPatch::default());
        let archived = read_patch(&json!({"status": "archived"})).unwrap();
        assert_eq!(archived.status, Some(AppStatus::Archived));
        for bad in [json!({"name": null}), json!({"status": null}), json!({"status": "live"})] {
            assert_eq!(read_patch(&bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
