//! `/api/destinations`: whether the receivers of callbacks answer.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::destinations;
use recado_store::views::{self, DestinationView, Trouble};
use recado_types::{TenantId, TriggerId};
use serde::Serialize;

use super::Found;
use crate::Api;
use crate::access::{Caller, Read, Write};
use crate::failure::store_failed;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

#[derive(Serialize)]
pub(super) struct Shown {
    trigger_id: TriggerId,
    trigger_name: String,
    state: &'static str,
    failure_count: i32,
    probe_count: i32,
    error_code: Option<String>,
    error_message: Option<String>,
    opened_at: Option<DateTime<Utc>>,
    probe_at: Option<DateTime<Utc>>,
    deliveries_waiting: i64,
}

impl From<DestinationView> for Shown {
    fn from(view: DestinationView) -> Self {
        let calm = Self {
            trigger_id: view.trigger_id,
            trigger_name: view.trigger_name,
            state: view.state.as_str(),
            failure_count: 0,
            probe_count: 0,
            error_code: None,
            error_message: None,
            opened_at: None,
            probe_at: None,
            deliveries_waiting: view.n_waiting,
        };
        match view.trouble {
            None => calm,
            Some(trouble) => calm.with(trouble),
        }
    }
}

impl Shown {
    fn with(self, trouble: Trouble) -> Self {
        Self {
            failure_count: trouble.failure_count,
            probe_count: trouble.probe_count,
            error_code: Some(trouble.error_code),
            error_message: Some(trouble.error_message),
            opened_at: Some(trouble.opened_at),
            probe_at: Some(trouble.probe_at),
            ..self
        }
    }
}

/// GET: those that do not answer.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("destinations/{}", caller.tenant);
    let page: Page<TriggerId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = views::destinations(&api.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |destination: &DestinationView| destination.trigger_id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: that of one trigger, whether it answers or not.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    find(&api, caller.tenant, parse_id(&id)?).await
}

/// POST `…/probe`: lets it be tried at once. Of one that answers nothing changes.
pub(super) async fn probe(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let id = parse_id(&id)?;
    destinations::probe(&api.store, caller.tenant, id).await.map_err(store_failed)?;
    find(&api, caller.tenant, id).await
}

async fn find(api: &Api, tenant: TenantId, id: TriggerId) -> Result<Json<Found<Shown>>, ApiError> {
    let found = views::destination(&api.store, tenant, id).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::TriggerNotFound)?;
    Ok(Json(Found::new(found.into())))
}

fn parse_id(id: &str) -> Result<TriggerId, ApiError> {
    id.parse().map_err(|_no_id| Problem::TriggerNotFound.into())
}
