//! GET `/api/deliveries/{id}`: what was made of the answer, and every attempt to send it.

use actix_web::web::{Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::{self, AttemptDetail, ChunkView, DeliveryDetail};
use recado_text::sms;
use recado_types::DeliveryId;
use schemars::JsonSchema;
use serde::Serialize;

use super::{CHUNK_STATUSES, Shown, parse_id};
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::Found;

/// A delivery with everything that belongs to it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub(in crate::http) struct Detail {
    #[serde(flatten)]
    delivery: Shown,
    chunks: Vec<ShownChunk>,
    /// The newest first.
    attempts: Vec<ShownAttempt>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Chunk")]
struct ShownChunk {
    chunk_index: i32,
    text: String,
    #[schemars(extend("enum" = CHUNK_STATUSES))]
    status: String,
    sent_at: Option<DateTime<Utc>>,
    /// What the channel calls it.
    provider_id: Option<String>,
    sms: ShownSegments,
}

/// What the chunk costs where it is sent by SMS.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct ShownSegments {
    #[schemars(extend("enum" = ["gsm7", "ucs2"]))]
    encoding: &'static str,
    segments: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
struct ShownAttempt {
    round: i32,
    attempt: i32,
    chunk_index: i32,
    started_at: DateTime<Utc>,
    duration_ms: i64,
    status_code: Option<i32>,
    error_code: Option<String>,
    response_body: Option<String>,
    response_body_omitted: bool,
}

/// GET: one delivery.
pub(in crate::http) async fn show(
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Found<Detail>>, ApiError> {
    Ok(Json(Found::new(find(&caller, parse_id(&id)?).await?)))
}

/// One delivery of the tenant's.
pub(super) async fn find(caller: &Caller, id: DeliveryId) -> Result<Detail, ApiError> {
    let found = views::delivery(&caller.store, caller.tenant, id).await;
    Ok(found.map_err(store_failed)?.ok_or(Problem::DeliveryNotFound)?.into())
}

impl From<DeliveryDetail> for Detail {
    fn from(detail: DeliveryDetail) -> Self {
        Self {
            delivery: detail.summary.into(),
            chunks: detail.chunks.into_iter().map(chunk).collect(),
            attempts: detail.attempts.into_iter().map(attempt).collect(),
        }
    }
}

fn chunk(view: ChunkView) -> ShownChunk {
    ShownChunk {
        chunk_index: view.index,
        sms: segments(&view.text),
        text: view.text,
        status: view.status,
        sent_at: view.sent_at,
        provider_id: view.provider_id,
    }
}

fn segments(text: &str) -> ShownSegments {
    let found = sms::segments(text);
    ShownSegments { encoding: found.encoding.as_str(), segments: found.count }
}

fn attempt(view: AttemptDetail) -> ShownAttempt {
    ShownAttempt {
        round: view.round,
        attempt: view.attempt,
        chunk_index: view.chunk_index,
        started_at: view.started_at,
        duration_ms: view.duration_ms,
        status_code: view.status_code,
        error_code: view.error_code,
        response_body: view.response_body,
        response_body_omitted: view.is_omitted,
    }
}
