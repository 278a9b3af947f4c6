//! Bodies, read within bounds: what is refused of them becomes one of our documents.

use std::time::Duration;

use actix_web::web::{Bytes, Payload};
use tokio::time::timeout;

use super::{ApiError, Problem};

/// The body as it was sent, for those who have to check its signature.
///
/// # Errors
/// 413 if it is longer than `limit` bytes; 400 if it breaks off; 408 if it is not there `within`
/// that time.
pub async fn read_body(
    payload: Payload,
    limit: usize,
    within: Duration,
) -> Result<Bytes, ApiError> {
    match timeout(within, payload.to_bytes_limited(limit)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(broken))) => {
            Err(ApiError::from(Problem::MalformedBody).with_source(broken.to_string()))
        }
        Ok(Err(_too_long)) => Err(Problem::PayloadTooLarge.into()),
        Err(_elapsed) => Err(Problem::RequestTimeout.into()),
    }
}
