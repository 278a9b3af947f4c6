//! How a response travels, as it is told.

use chrono::{DateTime, Utc};
use recado_store::views::{AttemptView, ChunkView, DeliveryView};
use recado_types::DeliveryId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::deliveries;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExecutionDelivery")]
pub(super) struct ShownDelivery {
    id: DeliveryId,
    #[schemars(extend("enum" = deliveries::statuses()))]
    status: String,
    chunk_count: Option<i32>,
    truncated: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    chunks: Vec<ShownChunk>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExecutionChunk")]
struct ShownChunk {
    chunk_index: i32,
    text: String,
    #[schemars(extend("enum" = deliveries::CHUNK_STATUSES))]
    status: String,
    sent_at: Option<DateTime<Utc>>,
    provider_id: Option<String>,
    attempts: Vec<ShownAttempt>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExecutionAttempt")]
struct ShownAttempt {
    round: i32,
    attempt: i32,
    status_code: Option<i32>,
    error_code: Option<String>,
    duration_ms: i64,
    started_at: DateTime<Utc>,
}

pub(super) fn delivery(view: DeliveryView) -> ShownDelivery {
    ShownDelivery {
        id: view.id,
        status: view.status,
        chunk_count: view.chunk_count,
        truncated: view.truncated,
        error_code: view.error_code,
        error_message: view.error_message,
        created_at: view.created_at,
        finished_at: view.finished_at,
        chunks: view.chunks.into_iter().map(chunk).collect(),
    }
}

fn chunk(view: ChunkView) -> ShownChunk {
    ShownChunk {
        chunk_index: view.index,
        text: view.text,
        status: view.status,
        sent_at: view.sent_at,
        provider_id: view.provider_id,
        attempts: view.attempts.into_iter().map(attempt).collect(),
    }
}

fn attempt(view: AttemptView) -> ShownAttempt {
    let AttemptView { round, attempt, started_at, duration_ms, status_code, error_code } = view;
    ShownAttempt { round, attempt, status_code, error_code, duration_ms, started_at }
}
