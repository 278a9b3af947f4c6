//! `/api/destinations`: whether the receivers of callbacks answer.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::destinations;
use recado_store::views::{self, DestinationState, DestinationView, Trouble};
use recado_types::TriggerId;
use recado_types::scope::Scope;
use schemars::JsonSchema;
use serde::Serialize;

use super::Found;
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::{Access, Operation, Resource};
use crate::page::{self, Listing, Page};
use crate::query::QueryReader;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/destinations",
        "Destinations",
        &[Operation::get(
            "List destinations that do not answer",
            Access::Key(Scope::ReadOperations),
            || web::get().to(list),
        )
        .query(&[page::LIMIT, page::CURSOR])
        .answers::<Listing<Shown>>(200)],
    ),
    Resource::new(
        "/api/destinations/{id}",
        "Destinations",
        &[Operation::get(
            "Show a trigger's destination",
            Access::Key(Scope::ReadOperations),
            || web::get().to(show),
        )
        .details("A trigger's callback is a destination; its id is the trigger's.")
        .answers_data::<Shown>(200)
        .problems(&[Problem::TriggerNotFound])],
    ),
    Resource::new(
        "/api/destinations/{id}/probe",
        "Destinations",
        &[Operation::post("Try a destination at once", Access::Role(Role::Editor), || {
            web::post().to(probe)
        })
        .details("Instead of at `probe_at`. Of one that answers nothing changes.")
        .answers_data::<Shown>(200)
        .problems(&[Problem::TriggerNotFound])],
    ),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Destination")]
pub(super) struct Shown {
    trigger_id: TriggerId,
    trigger_name: String,
    /// `closed`: it answers. `open`: it is left alone until `probe_at`. `half_open`: it is tried.
    #[schemars(extend("enum" = DestinationState::ALL.map(DestinationState::as_str)))]
    state: &'static str,
    /// How many requests in a row it has not answered.
    failure_count: i32,
    /// How often it was tried since `opened_at`.
    probe_count: i32,
    error_code: Option<String>,
    error_message: Option<String>,
    opened_at: Option<DateTime<Utc>>,
    probe_at: Option<DateTime<Utc>>,
    /// Of its first 10,000 sessions.
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
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("destinations/{}", caller.tenant);
    let page: Page<TriggerId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = views::destinations(&caller.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |destination: &DestinationView| destination.trigger_id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET: that of one trigger, whether it answers or not.
pub(super) async fn show(caller: Caller, id: Path<String>) -> Result<Json<Found<Shown>>, ApiError> {
    find(&caller, parse_id(&id)?).await
}

/// POST `…/probe`: lets it be tried at once. Of one that answers nothing changes.
pub(super) async fn probe(
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let id = parse_id(&id)?;
    destinations::probe(&caller.store, caller.tenant, id).await.map_err(store_failed)?;
    find(&caller, id).await
}

async fn find(caller: &Caller, id: TriggerId) -> Result<Json<Found<Shown>>, ApiError> {
    let found = views::destination(&caller.store, caller.tenant, id).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::TriggerNotFound)?;
    Ok(Json(Found::new(found.into())))
}

fn parse_id(id: &str) -> Result<TriggerId, ApiError> {
    id.parse().map_err(|_no_id| Problem::TriggerNotFound.into())
}
