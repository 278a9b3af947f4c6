//! Why a request, or a message in it, is not accepted, as far as that can be told by looking at it.

use recado_http::{ApiError, Problem};
use serde_json::json;

use crate::auth::Proof;

/// Why it is not accepted. Ingress has further reasons, which are about its surroundings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The trigger takes no messages at present.
    #[error("the trigger is disabled")]
    TriggerDisabled,
    /// The native signature, or what the channel asks for.
    #[error("the {0} is missing or wrong")]
    InvalidSignature(Proof),
    /// No key, or none of the trigger's tenant.
    #[error("the API key is missing or wrong")]
    InvalidApiKey,
    /// What the body says it is cannot be read.
    #[error(
        "the content type must be application/json or application/x-www-form-urlencoded, in UTF-8"
    )]
    UnsupportedType,
    /// The body is not what it says it is.
    #[error("the body cannot be read: {reason}")]
    MalformedBody {
        /// What is wrong.
        reason: String,
        /// Line and column, from 1.
        position: Option<(usize, usize)>,
    },
    /// The body can be read, and cannot be used.
    #[error("{field} {reason}")]
    InvalidInput {
        /// Where.
        field: String,
        /// What is wrong there.
        reason: String,
    },
    /// Somebody whom the trigger does not know.
    #[error("the sender is not one that the trigger admits")]
    SenderDenied,
    /// Its id belongs to a message that says something else.
    #[error("another message has this id")]
    IdempotencyConflict,
}

impl Refusal {
    /// The code that programs go by, in the answer, in logs and in metrics.
    pub fn code(&self) -> &'static str {
        self.problem().code()
    }

    /// Whether it is about one message and would be the same for it at any time, so that the rest
    /// of its batch may go on without it.
    pub fn is_the_messages(&self) -> bool {
        matches!(self, Self::InvalidInput { .. } | Self::SenderDenied | Self::IdempotencyConflict)
    }

    /// Exhaustive on purpose: a new reason has no wildcard arm to hide behind.
    pub fn problem(&self) -> Problem {
        match self {
            Self::TriggerDisabled => Problem::TriggerDisabled,
            Self::InvalidSignature(_) => Problem::InvalidSignature,
            Self::InvalidApiKey => Problem::InvalidApiKey,
            Self::UnsupportedType => Problem::UnsupportedMediaType,
            Self::MalformedBody { .. } => Problem::MalformedBody,
            Self::InvalidInput { .. } => Problem::InvalidInput,
            Self::SenderDenied => Problem::WebhookSenderDenied,
            Self::IdempotencyConflict => Problem::IdempotencyConflict,
        }
    }
}

/// What the sender is told.
impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(refusal.problem(), refusal.to_string());
        match refusal {
            Refusal::InvalidInput { field, reason } => Self::invalid_field(field, reason),
            Refusal::MalformedBody { position: Some((line, column)), .. } => {
                error.with_details(json!({ "line": line, "column": column }))
            }
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::body::MessageBody;
    use serde_json::Value;

    use super::*;

    fn response(refusal: Refusal) -> (u16, Value) {
        let response = ApiError::from(refusal).error_response();
        let status = response.status().as_u16();
        let body = response.into_body().try_into_bytes().unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn each_reason_has_a_status_and_a_code() {
        for (refusal, status, code) in [
            (Refusal::UnsupportedType, 415, "unsupported_media_type"),
            (Refusal::TriggerDisabled, 400, "trigger_disabled"),
            (Refusal::InvalidSignature(Proof::Signature), 401, "invalid_signature"),
            (Refusal::InvalidApiKey, 401, "invalid_api_key"),
            (Refusal::SenderDenied, 403, "webhook_sender_denied"),
        ] {
            assert_eq!(refusal.code(), code);
            let (actual, body) = response(refusal);
            assert_eq!((actual, &body["error"]), (status, &json!(code)));
            assert_eq!((&body["success"], &body["status"]), (&json!(false), &json!("error")));
        }
    }

    #[test]
    fn the_sender_is_told_where_its_mistake_is() {
        let position = Some((2, 8));
        let (_, body) =
            response(Refusal::MalformedBody { reason: "expected value".into(), position });
        assert_eq!(body["details"], json!({"line": 2, "column": 8}));
        let (status, body) = response(Refusal::InvalidInput {
            field: "Body".into(),
            reason: "is missing or empty".into(),
        });
        assert_eq!(status, 400);
        let fields = json!([{"path": "Body", "reason": "is missing or empty"}]);
        assert_eq!(body["details"]["fields"], fields);
    }
}
