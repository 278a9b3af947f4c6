//! GET `/api/deliveries`: newest first, those of a status, a trigger, a session or an execution if
//! one is named.

use std::fmt::Display;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use recado_http::ApiError;
use recado_store::views::{
    self, DeliveryFilter, DeliveryPosition, DeliveryStatus, DeliverySummary,
};
use recado_types::TenantId;

use super::{Shown, statuses};
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::Parameter;
use crate::http::schema;
use crate::page::{self, Listing, Page};
use crate::query::QueryReader;

/// What the query may say.
pub(super) const QUERY: &[Parameter] = &[
    Parameter {
        name: "status",
        about: "Those that stand here only.",
        schema: || schema::choice(statuses()),
    },
    Parameter { name: "trigger_id", about: "Those of one trigger only.", schema: schema::id },
    Parameter { name: "session_id", about: "Those of one session only.", schema: schema::id },
    Parameter { name: "execution_id", about: "Those of one execution only.", schema: schema::id },
    page::LIMIT,
    page::CURSOR,
];

pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let filter = DeliveryFilter {
        status: query.choice("status", &DeliveryStatus::ALL, DeliveryStatus::as_str),
        trigger_id: query.parsed("trigger_id", "an id"),
        session_id: query.parsed("session_id", "an id"),
        execution_id: query.parsed("execution_id", "an id"),
    };
    let scope = scope(caller.tenant, &filter);
    let page: Page<DeliveryPosition> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found =
        views::deliveries(&caller.store, caller.tenant, &filter, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |delivery: &DeliverySummary| delivery.position().to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// What makes it this list.
fn scope(tenant: TenantId, filter: &DeliveryFilter) -> String {
    let named = |id: Option<&dyn Display>| id.map_or("any".to_owned(), ToString::to_string);
    let status = filter.status.map_or("any", DeliveryStatus::as_str);
    format!(
        "deliveries/{tenant}/{status}/{}/{}/{}",
        named(filter.trigger_id.as_ref().map(|id| id as &dyn Display)),
        named(filter.session_id.as_ref().map(|id| id as &dyn Display)),
        named(filter.execution_id.as_ref().map(|id| id as &dyn Display)),
    )
}
