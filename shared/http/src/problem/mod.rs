//! What can be wrong with a request, and the documents that say so.
//!
//! [`Problem`] is a closed list: each has one status, one code that programs may rely on, and one
//! title. `docs/errors.md` and the OpenAPI document are checked against [`Problem::ALL`].
//! [`ApiError`] is a problem that happened: what handlers return.

mod error;
mod extract;
#[cfg(test)]
mod tests;

pub use error::{ApiError, FieldReason, method_not_allowed, not_found};
pub use extract::read_body;

use actix_web::http::StatusCode;

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident => $status:ident, $code:literal, $title:literal;)+) => {
        /// Everything that a response of the native interface may say is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Problem {
            $($(#[$doc])* $name,)+
        }

        impl Problem {
            /// All of them, in the order of their statuses.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code in the document: stable, for programs.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status of the response.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// What it means, in one sentence without a full stop: the message of the document if
            /// there is nothing more precise to say.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

problems! {
    /// A field is missing or has a value that it cannot have; `details.fields` names it.
    InvalidInput => BAD_REQUEST, "invalid_input", "A field is missing or invalid";
    /// The body is not in the format that it says it is in.
    MalformedBody => BAD_REQUEST, "malformed_body", "The body cannot be read";
    /// The trigger exists and is switched off.
    TriggerDisabled => BAD_REQUEST, "trigger_disabled", "The trigger is disabled";
    /// Nothing says who is asking.
    AuthenticationRequired => UNAUTHORIZED, "authentication_required", "Authentication is required";
    /// The bearer token is not valid, for whatever reason.
    InvalidToken => UNAUTHORIZED, "invalid_token", "The token is not valid";
    /// The API key is not valid, for whatever reason.
    InvalidApiKey => UNAUTHORIZED, "invalid_api_key", "The API key is not valid";
    /// The signature of a webhook is missing or wrong.
    InvalidSignature => UNAUTHORIZED, "invalid_signature", "The signature or secret is not valid";
    /// Who is asking may not do this.
    InsufficientPermissions => FORBIDDEN, "insufficient_permissions", "The role does not permit this";
    /// `x-tenant-id` names another tenant than the credential is for.
    TenantMismatch => FORBIDDEN, "tenant_mismatch", "The credential belongs to another tenant";
    /// The trigger's `sender_access` does not let this sender in.
    WebhookSenderDenied => FORBIDDEN, "webhook_sender_denied", "The sender is not authorized";
    /// The app is a draft or archived, or its channel is disabled.
    AppNotPublished => FORBIDDEN, "app_not_published", "The app is not published or its channel is disabled";
    /// A provider's challenge does not name the trigger's verify token.
    ChallengeFailed => FORBIDDEN, "challenge_failed", "The verify token is not valid";
    /// No such trigger, or one of another tenant.
    TriggerNotFound => NOT_FOUND, "trigger_not_found", "Trigger not found";
    /// No such agent, or one of another tenant.
    AgentNotFound => NOT_FOUND, "agent_not_found", "Agent not found";
    /// No such tool, or one of another tenant.
    ToolNotFound => NOT_FOUND, "tool_not_found", "Tool not found";
    /// No such execution, or one of another tenant.
    ExecutionNotFound => NOT_FOUND, "execution_not_found", "Execution not found";
    /// No such tool call of this execution.
    ToolCallNotFound => NOT_FOUND, "tool_call_not_found", "Tool call not found";
    /// No such session, or one of another tenant.
    SessionNotFound => NOT_FOUND, "session_not_found", "Session not found";
    /// No such provider, or one of another tenant.
    ProviderNotFound => NOT_FOUND, "provider_not_found", "Provider not found";
    /// No such secret, or one of another tenant.
    SecretNotFound => NOT_FOUND, "secret_not_found", "Secret not found";
    /// No such member, or one of another tenant.
    MemberNotFound => NOT_FOUND, "member_not_found", "Member not found";
    /// No such app, or one of another tenant.
    AppNotFound => NOT_FOUND, "app_not_found", "App not found";
    /// No such delivery, or one of another tenant.
    DeliveryNotFound => NOT_FOUND, "delivery_not_found", "Delivery not found";
    /// No such event endpoint, or one of another tenant.
    EventEndpointNotFound => NOT_FOUND, "event_endpoint_not_found", "Event endpoint not found";
    /// No such delivery of an event, or one of another tenant.
    EventDeliveryNotFound => NOT_FOUND, "event_delivery_not_found", "Event delivery not found";
    /// No such project, or one of another tenant.
    ProjectNotFound => NOT_FOUND, "project_not_found", "Project not found";
    /// No such tenant.
    TenantNotFound => NOT_FOUND, "tenant_not_found", "Tenant not found";
    /// No such dead letter, or one of another tenant, or none as far as is looked.
    DeadLetterNotFound => NOT_FOUND, "dead_letter_not_found", "Dead letter not found";
    /// Nothing is there.
    NotFound => NOT_FOUND, "not_found", "There is nothing at this address";
    /// The address exists, but not for this method; `Allow` lists those that it has.
    MethodNotAllowed => METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here";
    /// The state of the resource does not permit this.
    Conflict => CONFLICT, "conflict", "The state of the resource does not permit this";
    /// Another resource has this name.
    AlreadyExists => CONFLICT, "already_exists", "A resource of this name exists already";
    /// The tenant has as many of these as it may have.
    LimitReached => CONFLICT, "limit_reached", "There are as many of these as there may be";
    /// The execution has ended, so it cannot be cancelled any more.
    ExecutionEnded => CONFLICT, "execution_ended", "The execution has ended";
    /// The tool call needs no approval.
    ToolCallNotWaiting => CONFLICT, "tool_call_not_waiting", "The tool call does not wait for an approval";
    /// Somebody decided otherwise on the tool call.
    ToolCallDecided => CONFLICT, "tool_call_decided", "The tool call was decided otherwise";
    /// The tool call was not decided on in time.
    ApprovalExpired => CONFLICT, "approval_expired", "The approval came too late";
    /// The delivery is on its way, so it cannot be asked for again.
    DeliveryInProgress => CONFLICT, "delivery_in_progress", "The delivery is on its way";
    /// The delivery has arrived, and was not asked for as a whole.
    NothingToRedeliver => CONFLICT, "nothing_to_redeliver", "The delivery has arrived";
    /// What it said is not kept any longer, so it cannot be sent again.
    ContentRemoved => CONFLICT, "content_removed", "What it said is not kept any longer";
    /// The trigger has no callback, so that nothing can be sent to its user.
    NoCallback => CONFLICT, "no_callback", "The trigger has no callback";
    /// The session's trigger was deleted, so that nothing new can be sent to its user.
    TriggerDeleted => CONFLICT, "trigger_deleted", "The session's trigger was deleted";
    /// The trigger takes no requests, so it has no webhook secret.
    NoWebhookSecret => CONFLICT, "no_webhook_secret", "The trigger takes no requests, so it has no webhook secret";
    /// The event endpoint is disabled, so that nothing can be sent there.
    EndpointDisabled => CONFLICT, "endpoint_disabled", "The event endpoint is disabled";
    /// The event endpoint was deleted, so that nothing can be sent there.
    EndpointDeleted => CONFLICT, "endpoint_deleted", "The event endpoint was deleted";
    /// A message came under an id that another message, which says something else, has.
    IdempotencyConflict => CONFLICT, "idempotency_conflict", "Another message has this id";
    /// The first request with this `Idempotency-Key` has not been answered yet.
    IdempotencyInProgress => CONFLICT, "idempotency_in_progress", "The first request with this Idempotency-Key is still being handled";
    /// The process that handled the first request with this `Idempotency-Key` died over it.
    IdempotencyOutcomeUnknown => CONFLICT, "idempotency_outcome_unknown", "Nobody knows whether the first request with this Idempotency-Key was done";
    /// The client took too long to send its body.
    RequestTimeout => REQUEST_TIMEOUT, "request_timeout", "The body did not arrive in time";
    /// `If-Match` names another version than there is.
    PreconditionFailed => PRECONDITION_FAILED, "precondition_failed", "It was changed since you saw it";
    /// The body is larger than allowed.
    PayloadTooLarge => PAYLOAD_TOO_LARGE, "payload_too_large", "The body is too large";
    /// The body's content type or encoding is not one that is read here.
    UnsupportedMediaType => UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The content type is not supported";
    /// Another request was sent with this `Idempotency-Key`.
    IdempotencyKeyReused => UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Another request was sent with this Idempotency-Key";
    /// Too many requests; `Retry-After` says when to come back.
    RateLimited => TOO_MANY_REQUESTS, "rate_limited", "Too many requests";
    /// The tenant has used up what it was granted for the month; `Retry-After` says when to come
    /// back.
    QuotaExceeded => TOO_MANY_REQUESTS, "quota_exceeded", "The quota of the month is used up";
    /// The headers, or one of them, are larger than allowed.
    HeadersTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The headers are too large";
    /// The agent's run failed, in a request that waited for it.
    ExecutionFailed => INTERNAL_SERVER_ERROR, "execution_failed", "The agent's execution failed";
    /// A bug, or something that was not foreseen.
    InternalError => INTERNAL_SERVER_ERROR, "internal_error", "An internal error occurred";
    /// Something we depend on is away; `Retry-After` says when to come back.
    Unavailable => SERVICE_UNAVAILABLE, "unavailable", "The service is temporarily unavailable";
    /// The broker is away or busy; only what cannot do without it says so.
    BrokerUnavailable => SERVICE_UNAVAILABLE, "broker_unavailable", "The message broker is temporarily unavailable";
    /// Others look at the dead letters, and did not finish in time.
    DeadLettersBusy => SERVICE_UNAVAILABLE, "dead_letters_busy", "Somebody else looks at the dead letters";
    /// The agent took longer than whoever waited for it wanted to; it goes on.
    ExecutionTimeout => GATEWAY_TIMEOUT, "execution_timeout", "The agent did not answer in time";
}
