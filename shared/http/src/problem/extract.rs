//! Settings of actix's extractors, so that what they refuse becomes one of our documents.

use std::time::Duration;

use actix_web::error::{JsonPayloadError, PathError, PayloadError, QueryPayloadError};
use actix_web::web::{Bytes, JsonConfig, PathConfig, Payload, QueryConfig};
use tokio::time::timeout;

use super::{ApiError, Problem};

/// Bodies of at most `limit` bytes, with a JSON content type.
pub fn json_config(limit: usize) -> JsonConfig {
    JsonConfig::default().limit(limit).error_handler(|error, _| ApiError::from(error).into())
}

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

/// A path whose parts cannot be read leads nowhere.
pub fn path_config() -> PathConfig {
    PathConfig::default().error_handler(|error, _| ApiError::from(error).into())
}

/// A query that cannot be read is invalid.
pub fn query_config() -> QueryConfig {
    QueryConfig::default().error_handler(|error, _| ApiError::from(error).into())
}

impl From<JsonPayloadError> for ApiError {
    fn from(error: JsonPayloadError) -> Self {
        use JsonPayloadError as E;
        match error {
            E::OverflowKnownLength { .. } | E::Overflow { .. } => Problem::PayloadTooLarge.into(),
            E::ContentType => Self::new(
                Problem::UnsupportedMediaType,
                "the content type must be application/json",
            ),
            E::Payload(error) => error.into(),
            E::Deserialize(error) if error.is_data() => {
                Self::new(Problem::InvalidInput, error.to_string())
            }
            E::Deserialize(error) => Self::new(Problem::MalformedBody, error.to_string()),
            other => Self::from(Problem::MalformedBody).with_source(other.to_string()),
        }
    }
}

impl From<PayloadError> for ApiError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Overflow => Problem::PayloadTooLarge.into(),
            PayloadError::EncodingCorrupted => Problem::UnsupportedMediaType.into(),
            other => Self::from(Problem::MalformedBody).with_source(other),
        }
    }
}

impl From<PathError> for ApiError {
    fn from(_: PathError) -> Self {
        Problem::NotFound.into()
    }
}

impl From<QueryPayloadError> for ApiError {
    fn from(error: QueryPayloadError) -> Self {
        match error {
            QueryPayloadError::Deserialize(error) => {
                Self::new(Problem::InvalidInput, format!("the query is invalid: {error}"))
            }
            other => Self::new(Problem::InvalidInput, "the query is invalid")
                .with_source(other.to_string()),
        }
    }
}
