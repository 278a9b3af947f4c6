//! Every reason not to accept a webhook, and what the sender is told about it.

use std::time::Duration;

use recado_broker::{MAX_MESSAGE_BYTES, PublishError};
use recado_http::{ApiError, Problem};
use recado_store::tenants::Quota;
use recado_types::ExecutionId;
use serde_json::json;

use crate::lookup::LookupError;
use crate::outbox::HandOverError;
use crate::toll::RateState;

/// When to come back: most outages of the broker are shorter than a provider's own retries.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the body is larger than {max_body} bytes")]
    TooLarge { max_body: usize },
    #[error("too many mails are being read")]
    Busy,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body broke off")]
    BodyIncomplete,
    #[error("the body must not be compressed: send it without Content-Encoding")]
    UnsupportedEncoding,
    /// None, one of somebody else, or a deleted one: a stranger is not told which.
    #[error("there is no such trigger")]
    TriggerNotFound,
    /// None, one of somebody else, or none of its channels.
    #[error("there is no such app or channel")]
    AppNotFound,
    #[error("the app is not published, or its channel is disabled")]
    AppNotLive,
    #[error("the webhook token is missing or wrong")]
    InvalidToken,
    #[error("the headers are larger than {max_headers} bytes")]
    HeadersTooLarge { max_headers: usize },
    #[error("the verify token is not the trigger's")]
    ChallengeFailed,
    #[error("too many messages: {limited}")]
    RateLimited { limited: RateState },
    #[error("the tenant's {} of this month are used up", quota.as_str())]
    QuotaExceeded { quota: Quota, retry_after: Duration },
    #[error("{}", recado_intake::Refusal::IdempotencyConflict)]
    IdempotencyConflict,
    #[error("the agent has not answered in time; the execution goes on")]
    TimeIsUp { execution: ExecutionId },
    #[error("the agent did not answer in time, and its execution has ended")]
    ExecutionTimedOut { execution: ExecutionId },
    #[error("the agent's execution failed")]
    ExecutionFailed {
        execution: ExecutionId,
        /// The stable code of what went wrong.
        code: Option<String>,
    },
    #[error("{}", recado_intake::Refusal::InvalidApiKey)]
    InvalidApiKey,
    /// What can be told by looking at the request alone.
    #[error(transparent)]
    Intake(#[from] recado_intake::Refusal),
    #[error("the trigger could not be looked up")]
    Lookup(#[source] LookupError),
    /// The body was not, but with its context it is.
    #[error("the message that the body makes is larger than {MAX_MESSAGE_BYTES} bytes")]
    MessageTooLarge,
    #[error("the message could not be handed over")]
    HandOver(#[source] HandOverError),
}

impl From<HandOverError> for Refusal {
    fn from(error: HandOverError) -> Self {
        match error {
            HandOverError::Publish(PublishError::TooLarge { .. }) => Self::MessageTooLarge,
            HandOverError::Publish(_) | HandOverError::Full => Self::HandOver(error),
        }
    }
}

impl Refusal {
    /// The code that programs go by, in the answer, in logs and in metrics.
    pub(crate) fn code(&self) -> &'static str {
        self.problem().code()
    }

    /// Whether the sender has to change something, and not we.
    pub(crate) fn is_the_senders(&self) -> bool {
        self.problem().status().is_client_error()
    }

    /// Whether it is about one message and would be the same for it at any time, so that the rest
    /// of its batch may go on without it.
    pub(crate) fn is_the_messages(&self) -> bool {
        match self {
            Self::Intake(refusal) => refusal.is_the_messages(),
            Self::IdempotencyConflict | Self::MessageTooLarge => true,
            _ => false,
        }
    }

    /// Exhaustive on purpose: a new reason has no wildcard arm to hide behind.
    fn problem(&self) -> Problem {
        match self {
            Self::TooLarge { .. } | Self::MessageTooLarge => Problem::PayloadTooLarge,
            Self::BodyTimeout => Problem::RequestTimeout,
            Self::BodyIncomplete => Problem::MalformedBody,
            Self::UnsupportedEncoding => Problem::UnsupportedMediaType,
            Self::TriggerNotFound => Problem::TriggerNotFound,
            Self::InvalidApiKey => Problem::InvalidApiKey,
            Self::Intake(refusal) => refusal.problem(),
            Self::AppNotFound => Problem::AppNotFound,
            Self::AppNotLive => Problem::AppNotPublished,
            Self::InvalidToken => Problem::InvalidToken,
            Self::HeadersTooLarge { .. } => Problem::HeadersTooLarge,
            Self::ChallengeFailed => Problem::ChallengeFailed,
            Self::RateLimited { .. } => Problem::RateLimited,
            Self::QuotaExceeded { .. } => Problem::QuotaExceeded,
            Self::IdempotencyConflict => Problem::IdempotencyConflict,
            Self::TimeIsUp { .. } | Self::ExecutionTimedOut { .. } => Problem::ExecutionTimeout,
            Self::ExecutionFailed { .. } => Problem::ExecutionFailed,
            Self::Lookup(error) if error.is_transient() => Problem::Unavailable,
            Self::HandOver(HandOverError::Publish(PublishError::Encode(_))) | Self::Lookup(_) => {
                Problem::InternalError
            }
            Self::HandOver(_) | Self::Busy => Problem::Unavailable,
        }
    }
}

/// What the sender is told. A 5xx is an error, which [`recado_http::trace`] logs with its causes.
impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(refusal.problem(), refusal.to_string());
        match refusal {
            Refusal::Intake(refusal) => refusal.into(),
            Refusal::RateLimited { limited } => limited.in_error(error),
            Refusal::QuotaExceeded { retry_after, .. } => error.with_retry_after(retry_after),
            Refusal::TimeIsUp { execution } | Refusal::ExecutionTimedOut { execution } => {
                error.with_public_details(json!({ "execution_id": execution }))
            }
            Refusal::ExecutionFailed { execution, code } => {
                error.with_public_details(json!({ "execution_id": execution, "reason": code }))
            }
            Refusal::Busy => error.with_retry_after(RETRY_AFTER),
            Refusal::Lookup(source) => error.with_source(source).with_retry_after(RETRY_AFTER),
            Refusal::HandOver(source) => error.with_source(source).with_retry_after(RETRY_AFTER),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::body::MessageBody;
    use recado_intake::auth::Proof;
    use serde_json::Value;

    use super::*;

    fn response(refusal: Refusal) -> (u16, Value, Option<String>) {
        let response = ApiError::from(refusal).error_response();
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        let body = response.into_body().try_into_bytes().unwrap();
        (status, serde_json::from_slice(&body).unwrap(), retry_after)
    }

    #[test]
    fn each_reason_has_a_status_and_a_code() {
        let hand_over = |error| Refusal::from(HandOverError::Publish(error));
        for (refusal, status, code) in [
            (Refusal::TooLarge { max_body: 10 }, 413, "payload_too_large"),
            (Refusal::BodyTimeout, 408, "request_timeout"),
            (Refusal::BodyIncomplete, 400, "malformed_body"),
            (Refusal::UnsupportedEncoding, 415, "unsupported_media_type"),
            (Refusal::TriggerNotFound, 404, "trigger_not_found"),
            (
                recado_intake::Refusal::InvalidSignature(Proof::Signature).into(),
                401,
                "invalid_signature",
            ),
            (Refusal::InvalidApiKey, 401, "invalid_api_key"),
            (Refusal::Lookup(LookupError::Hung), 503, "unavailable"),
            (Refusal::from(HandOverError::Full), 503, "unavailable"),
            (hand_over(PublishError::TooLarge { size_bytes: 1 }), 413, "payload_too_large"),
            (hand_over(PublishError::Blocked), 503, "unavailable"),
            (hand_over(PublishError::Unavailable), 503, "unavailable"),
            (hand_over(PublishError::Disconnected), 503, "unavailable"),
            (hand_over(PublishError::Timeout), 503, "unavailable"),
            (hand_over(PublishError::Refused), 503, "unavailable"),
            (hand_over(PublishError::Unroutable), 503, "unavailable"),
        ] {
            assert_eq!(refusal.code(), code);
            let (actual, body, retry_after) = response(refusal);
            assert_eq!((actual, &body["error"]), (status, &json!(code)));
            assert_eq!((&body["success"], &body["status"]), (&json!(false), &json!("error")));
            assert_eq!(retry_after.is_some(), status == 503, "{code}");
        }
    }

    #[test]
    fn what_is_wrong_with_us_is_not_told() {
        let (_, body, retry_after) = response(Refusal::Lookup(LookupError::Hung));
        assert!(!body.to_string().contains("database"), "{body}");
        assert_eq!(retry_after.as_deref(), Some("1"));
    }
}
