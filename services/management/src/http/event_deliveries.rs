//! `/api/event-endpoints/{id}/deliveries` and `/api/event-deliveries/{id}`: events on their way.

use actix_web::web::{self, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::event_endpoints::{self, Resend};
use recado_store::views::{
    self, DeliveryStatus, EventAttemptView, EventDeliveryDetail, EventDeliveryFilter,
    EventDeliverySummary, LastAttempt,
};
use recado_types::scope::Scope;
use recado_types::{AgentId, EventDeliveryId, EventEndpointId, ExecutionId, SessionId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Found;
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::{Access, Operation, Parameter, Resource};
use crate::http::{deliveries, schema};
use crate::page::{self, Listing, Page};
use crate::query::QueryReader;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/event-endpoints/{id}/deliveries",
        "Event endpoints",
        &[Operation::get("List an endpoint's deliveries", Access::Key(Scope::ReadEvents), || {
            web::get().to(list)
        })
        .details("Newest first.")
        .query(&[STATUS, page::LIMIT, page::CURSOR])
        .answers::<Listing<Shown>>(200)
        .problems(&[Problem::EventEndpointNotFound])],
    ),
    Resource::new(
        "/api/event-deliveries/{id}",
        "Event endpoints",
        &[Operation::get("Show an event's delivery", Access::Key(Scope::ReadEvents), || {
            web::get().to(show)
        })
        .details("With its payload and attempts, whether its endpoint is still there or not.")
        .answers_data::<Detail>(200)
        .problems(&[Problem::EventDeliveryNotFound])],
    ),
    Resource::new(
        "/api/event-deliveries/{id}/send-again",
        "Event endpoints",
        &[Operation::post("Send an event again", Access::Role(Role::Editor), || {
            web::post().to(send_again)
        })
        .details("Whether it arrived or not.")
        .answers_data::<Detail>(202)
        .problems(&[
            Problem::EventDeliveryNotFound,
            Problem::DeliveryInProgress,
            Problem::EndpointDisabled,
            Problem::EndpointDeleted,
        ])],
    ),
];

const STATUS: Parameter = Parameter {
    name: "status",
    about: "Those that stand here only.",
    schema: || schema::choice(deliveries::statuses()),
};

/// As a list tells it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventDeliverySummary")]
pub(super) struct Shown {
    id: EventDeliveryId,
    endpoint_id: EventEndpointId,
    /// As the receiver knows it: `webhook-id`.
    event_id: String,
    event_type: String,
    agent_id: Option<AgentId>,
    session_id: Option<SessionId>,
    execution_id: Option<ExecutionId>,
    #[schemars(extend("enum" = deliveries::statuses()))]
    status: String,
    /// How often it was asked for.
    round: i32,
    attempt_count: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    error_code: Option<String>,
    occurred_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    last_attempt: Option<ShownLast>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LastEventAttempt")]
struct ShownLast {
    started_at: DateTime<Utc>,
    duration_ms: i64,
    status_code: Option<i32>,
    error_code: Option<String>,
}

/// With everything that belongs to it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventDelivery")]
pub(super) struct Detail {
    #[serde(flatten)]
    delivery: Shown,
    /// The document; what is signed are its bytes as they are sent, which may differ in the order
    /// of fields.
    payload: Option<Value>,
    /// The newest first.
    attempts: Vec<ShownAttempt>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventAttempt")]
struct ShownAttempt {
    round: i32,
    attempt: i32,
    started_at: DateTime<Utc>,
    duration_ms: i64,
    status_code: Option<i32>,
    error_code: Option<String>,
    response_headers: Option<Value>,
    response_body: Option<String>,
    response_body_omitted: bool,
}

/// GET `/api/event-endpoints/{id}/deliveries`: newest first, by status if one is named.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let id: EventEndpointId = id.parse().map_err(|_no_id| Problem::EventEndpointNotFound)?;
    let mut query = QueryReader::of(&request);
    let status = query.choice("status", &DeliveryStatus::ALL, DeliveryStatus::as_str);
    let named = status.map_or("any", DeliveryStatus::as_str);
    let scope = format!("event-deliveries/{}/{id}/{named}", caller.tenant);
    let page: Page<i64> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let endpoint = event_endpoints::find(&caller.store, caller.tenant, id).await;
    endpoint.map_err(store_failed)?.ok_or(Problem::EventEndpointNotFound)?;
    let filter = EventDeliveryFilter { before: page.after, status, limit: page.n_rows() };
    let found = views::event_deliveries(&caller.store, caller.tenant, id, filter).await;
    let found = found.map_err(store_failed)?;
    let position = |delivery: &EventDeliverySummary| delivery.seq.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// GET `/api/event-deliveries/{id}`: one, whether its endpoint is still there or not.
pub(super) async fn show(
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Found<Detail>>, ApiError> {
    Ok(Json(Found::new(find(&caller, parse_id(&id)?).await?)))
}

/// POST `…/send-again`: makes it due, whether it arrived or failed. 202 with the delivery.
pub(super) async fn send_again(caller: Caller, id: Path<String>) -> Result<HttpResponse, ApiError> {
    let id = parse_id(&id)?;
    let resend = event_endpoints::send_again(&caller.store, caller.tenant, id).await;
    match resend.map_err(store_failed)? {
        Resend::Queued => accepted(&caller, id).await,
        Resend::InProgress => Err(Problem::DeliveryInProgress.into()),
        Resend::Disabled => Err(Problem::EndpointDisabled.into()),
        Resend::Deleted => Err(Problem::EndpointDeleted.into()),
        Resend::Removed => Err(Problem::ContentRemoved.into()),
        Resend::NotFound => Err(Problem::EventDeliveryNotFound.into()),
    }
}

/// 202 with a delivery that is due.
pub(super) async fn accepted(
    caller: &Caller,
    id: EventDeliveryId,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Accepted().json(Found::new(find(caller, id).await?)))
}

async fn find(caller: &Caller, id: EventDeliveryId) -> Result<Detail, ApiError> {
    let found = views::event_delivery(&caller.store, caller.tenant, id).await;
    Ok(found.map_err(store_failed)?.ok_or(Problem::EventDeliveryNotFound)?.into())
}

fn parse_id(id: &str) -> Result<EventDeliveryId, ApiError> {
    id.parse().map_err(|_no_id| Problem::EventDeliveryNotFound.into())
}

impl From<EventDeliverySummary> for Shown {
    fn from(summary: EventDeliverySummary) -> Self {
        Self {
            id: summary.id,
            endpoint_id: summary.endpoint_id,
            event_id: summary.event_id.prefixed().to_string(),
            event_type: summary.event_type,
            agent_id: summary.agent_id,
            session_id: summary.session_id,
            execution_id: summary.execution_id,
            status: summary.status,
            round: summary.round,
            attempt_count: summary.attempt_count,
            next_attempt_at: summary.next_attempt_at,
            error_code: summary.error_code,
            occurred_at: summary.occurred_at,
            created_at: summary.created_at,
            finished_at: summary.finished_at,
            last_attempt: summary.last.map(last),
        }
    }
}

impl From<EventDeliveryDetail> for Detail {
    fn from(detail: EventDeliveryDetail) -> Self {
        Self {
            delivery: detail.summary.into(),
            payload: serde_json::from_str(&detail.payload).ok(),
            attempts: detail.attempts.into_iter().map(attempt).collect(),
        }
    }
}

fn last(view: LastAttempt) -> ShownLast {
    let LastAttempt { started_at, duration_ms, status_code, error_code } = view;
    ShownLast { started_at, duration_ms, status_code, error_code }
}

fn attempt(view: EventAttemptView) -> ShownAttempt {
    ShownAttempt {
        round: view.round,
        attempt: view.attempt,
        started_at: view.started_at,
        duration_ms: view.duration_ms,
        status_code: view.status_code,
        error_code: view.error_code,
        response_headers: view.response_headers,
        response_body: view.response_body,
        response_body_omitted: view.is_omitted,
    }
}
