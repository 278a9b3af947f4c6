//! `/api/deliveries`: how answers travel, and sending them again.

mod list;
mod redeliver;
mod show;

pub(super) use list::list;
pub(super) use redeliver::redeliver;
pub(super) use show::show;

use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::DeliverySummary;
use recado_types::{DeliveryId, ExecutionId, SessionId, TriggerId};
use serde::Serialize;

/// A delivery as a list tells it.
#[derive(Serialize)]
pub(in crate::http) struct Shown {
    id: DeliveryId,
    execution_id: ExecutionId,
    trigger_id: TriggerId,
    session_id: SessionId,
    status: String,
    chunk_count: Option<i32>,
    truncated: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    round: i32,
    attempt_count: i64,
    created_at: DateTime<Utc>,
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

fn parse_id(id: &str) -> Result<DeliveryId, ApiError> {
    id.parse().map_err(|_no_id| Problem::DeliveryNotFound.into())
}
