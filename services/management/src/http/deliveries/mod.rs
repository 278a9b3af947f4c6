//! `/api/deliveries`: how answers travel, and sending them again.

mod list;
mod redeliver;
mod show;

pub(super) use list::list;
pub(super) use redeliver::redeliver;
pub(super) use show::show;

use actix_web::web;
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::views::{DeliveryStatus, DeliverySummary};
use recado_types::scope::Scope;
use recado_types::{DeliveryId, ExecutionId, SessionId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::operation::{Access, Operation, Resource};
use crate::page::Listing;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/deliveries",
        "Deliveries",
        &[Operation::get("List deliveries", Access::Key(Scope::ReadDeliveries), || {
            web::get().to(list)
        })
        .details("Newest first; the filters may be combined.")
        .query(list::QUERY)
        .answers::<Listing<Shown>>(200)],
    ),
    Resource::new(
        "/api/deliveries/{id}",
        "Deliveries",
        &[Operation::get("Show a delivery", Access::Key(Scope::ReadDeliveries), || {
            web::get().to(show)
        })
        .details("With its chunks and attempts.")
        .answers_data::<show::Detail>(200)
        .problems(&[Problem::DeliveryNotFound])],
    ),
    Resource::new(
        "/api/deliveries/{id}/redeliver",
        "Deliveries",
        &[Operation::post("Send a delivery again", Access::Role(Role::Editor), || {
            web::post().to(redeliver)
        })
        .details("It waits for its turn in its session, with the trigger's configuration of then.")
        .body(redeliver::FROM)
        .answers_data::<show::Detail>(202)
        .problems(&[
            Problem::DeliveryNotFound,
            Problem::DeliveryInProgress,
            Problem::NothingToRedeliver,
            Problem::ContentRemoved,
            Problem::NoCallback,
        ])],
    ),
];

/// A delivery as a list tells it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeliverySummary")]
pub(in crate::http) struct Shown {
    id: DeliveryId,
    execution_id: ExecutionId,
    trigger_id: TriggerId,
    session_id: SessionId,
    #[schemars(extend("enum" = statuses()))]
    status: String,
    /// How many chunks the answer became; `null` until it was cut.
    chunk_count: Option<i32>,
    /// Whether something had to be cut off.
    truncated: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    /// How often it was asked for.
    round: i32,
    attempt_count: i64,
    created_at: DateTime<Utc>,
    /// When it was asked for the last time.
    requested_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<DeliverySummary> for Shown {
    fn from(summary: DeliverySummary) -> Self {
        Self {
            id: summary.id,
            execution_id: summary.execution_id,
            trigger_id: summary.trigger_id,
            session_id: summary.session_id,
            status: summary.status,
            chunk_count: summary.chunk_count,
            truncated: summary.truncated,
            error_code: summary.error_code,
            error_message: summary.error_message,
            round: summary.round,
            attempt_count: summary.n_attempts,
            created_at: summary.created_at,
            requested_at: summary.requested_at,
            finished_at: summary.finished_at,
        }
    }
}

/// Where a delivery may stand, of an answer or of an event.
pub(super) fn statuses() -> [&'static str; 3] {
    DeliveryStatus::ALL.map(DeliveryStatus::as_str)
}

/// The same where there may be none.
pub(super) fn statuses_or_null() -> [Option<&'static str>; 4] {
    let [pending, delivered, failed] = statuses();
    [Some(pending), Some(delivered), Some(failed), None]
}

/// Where a chunk may stand.
pub(super) const CHUNK_STATUSES: [&str; 4] = ["pending", "sent", "failed", "skipped"];

fn parse_id(id: &str) -> Result<DeliveryId, ApiError> {
    id.parse().map_err(|_no_id| Problem::DeliveryNotFound.into())
}
