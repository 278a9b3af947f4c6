//! `/api/apps`: what is published under one name, with triggers as its webhook channels.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::apps::{self, App, AppPatch, AppStatus};
use recado_store::references::Deletion;
use recado_types::AppId;
use recado_types::shape::{ObjectReader, Problems};
use serde::Serialize;
use serde_json::Value;

use super::{DONE, Done, Found};
use crate::Api;
use crate::access::{Caller, Read, Write};
use crate::body::Body;
use crate::failure::{in_use, invalid, store_failed};
use crate::page::{Listing, Page};
use crate::query::QueryReader;

const MAX_NAME: usize = 255;

/// What an app is besides what can be changed.
const READ_ONLY: [&str; 3] = ["id", "created_at", "updated_at"];

#[derive(Serialize)]
pub(super) struct Shown {
    id: AppId,
    name: String,
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

/// POST: makes an app, a draft unless it says something else.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<Write>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let new = read_new(&body.json().await?)?;
    let name = new.name.expect("is required");
    let status = new.status.unwrap_or(AppStatus::Draft);
    let id = AppId(api.clock.fresh_id());
    let created = apps::create(&api.store, caller.tenant, id, &name, status, api.clock.now()).await;
    let created = Shown::from(created.map_err(store_failed)?);
    let location = (LOCATION, format!("/api/apps/{id}"));
    Ok(HttpResponse::Created().insert_header(location).json(Found::new(created)))
}

/// GET: the apps, newest first.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("apps/{}", caller.tenant);
    let page: Page<AppId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = apps::list(&api.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |app: &App| app.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: one app.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let found = apps::find(&api.store, caller.tenant, parse_id(&id)?).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::AppNotFound)?;
    Ok(Json(Found::new(found.into())))
}

/// PATCH: replaces the fields that are given.
pub(super) async fn update(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Shown>>, ApiError> {
    let (id, patch) = (parse_id(&id)?, read_patch(&body.json().await?)?);
    let changed = apps::change(&api.store, caller.tenant, id, &patch, api.clock.now()).await;
    let changed = changed.map_err(store_failed)?.ok_or(Problem::AppNotFound)?;
    Ok(Json(Found::new(changed.into())))
}

/// DELETE: an app that no trigger is a channel of.
pub(super) async fn delete(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<Done>, ApiError> {
    let deletion = apps::delete(&api.store, caller.tenant, parse_id(&id)?).await;
    match deletion.map_err(store_failed)? {
        Deletion::Deleted => Ok(Json(DONE)),
        Deletion::NotFound => Err(Problem::AppNotFound.into()),
        Deletion::InUse(users) => Err(in_use("app", &users)),
    }
}

fn parse_id(id: &str) -> Result<AppId, ApiError> {
    id.parse().map_err(|_no_id| Problem::AppNotFound.into())
}

/// An app is archived once it was something else.
fn read_new(body: &Value) -> Result<AppPatch, ApiError> {
    read(body, &[AppStatus::Draft, AppStatus::Published], |fields| {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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
