//! What ingress serves, for readers of the document: by hand, because no service knows another.
//! What exactly a webhook has to look like is up to its trigger.

use recado_http::Problem;
use serde_json::{Map, Value, json};

use super::about::INGRESS;
use super::components::Components;
use super::{headers, parameters, problems};
use crate::http::operation::ErrorForm;

/// Something that senders do.
struct Webhook {
    path: &'static str,
    method: &'static str,
    id: &'static str,
    summary: &'static str,
    details: &'static str,
    form: ErrorForm,
    answer: fn() -> (u16, Value),
    problems: &'static [Problem],
}

const WEBHOOKS: [Webhook; 4] = [
    Webhook {
        path: "/api/triggers/webhook/{id}",
        method: "post",
        id: "postWebhook",
        summary: "Send a message to a trigger",
        details: "The body is whatever the trigger's `trigger_config` expects: JSON, a form, or \
                  what a provider sends. Credentials and signatures are those that the trigger asks \
                  for. Depending on `execution.mode`, the message is acknowledged at once, or the \
                  answer is the agent's.",
        form: ErrorForm::Native,
        answer: acknowledged,
        problems: &[
            Problem::InvalidInput,
            Problem::MalformedBody,
            Problem::TriggerDisabled,
            Problem::AuthenticationRequired,
            Problem::InvalidToken,
            Problem::InvalidApiKey,
            Problem::InvalidSignature,
            Problem::TenantMismatch,
            Problem::WebhookSenderDenied,
            Problem::TriggerNotFound,
            Problem::IdempotencyConflict,
            Problem::RequestTimeout,
            Problem::PayloadTooLarge,
            Problem::UnsupportedMediaType,
            Problem::RateLimited,
            Problem::HeadersTooLarge,
            Problem::ExecutionFailed,
            Problem::InternalError,
            Problem::Unavailable,
            Problem::ExecutionTimeout,
        ],
    },
    Webhook {
        path: "/api/triggers/webhook/{id}",
        method: "get",
        id: "verifyWebhook",
        summary: "Answer a provider's challenge",
        details: "Only triggers of channels whose provider asks for it have this.",
        form: ErrorForm::Native,
        answer: challenge,
        problems: &[
            Problem::ChallengeFailed,
            Problem::TriggerNotFound,
            Problem::MethodNotAllowed,
            Problem::InternalError,
            Problem::Unavailable,
        ],
    },
    Webhook {
        path: "/run/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/triggers/{id}",
        method: "post",
        id: "runTrigger",
        summary: "Send a message to a trigger (ids in the path)",
        details: "Always acknowledged at once, with the ids of what comes of it.",
        form: ErrorForm::Rfc9457,
        answer: invoked,
        problems: &[
            Problem::InvalidInput,
            Problem::MalformedBody,
            Problem::AuthenticationRequired,
            Problem::InvalidToken,
            Problem::InvalidApiKey,
            Problem::InvalidSignature,
            Problem::TenantMismatch,
            Problem::WebhookSenderDenied,
            Problem::TriggerNotFound,
            Problem::IdempotencyConflict,
            Problem::RequestTimeout,
            Problem::PayloadTooLarge,
            Problem::UnsupportedMediaType,
            Problem::RateLimited,
            Problem::HeadersTooLarge,
            Problem::InternalError,
            Problem::Unavailable,
        ],
    },
    Webhook {
        path: "/v1/apps/{app_id}/webhooks/{channel_id}",
        method: "post",
        id: "invokeAppChannel",
        summary: "Send a message to a channel of an app",
        details: "The token is the trigger's `webhook_secret`, in `X-Everruns-Webhook-Token` or as \
                  a bearer token. Any body is a message.",
        form: ErrorForm::Rfc9457,
        answer: accepted,
        problems: &[
            Problem::InvalidInput,
            Problem::MalformedBody,
            Problem::InvalidToken,
            Problem::InvalidSignature,
            Problem::WebhookSenderDenied,
            Problem::AppNotPublished,
            Problem::AppNotFound,
            Problem::IdempotencyConflict,
            Problem::RequestTimeout,
            Problem::PayloadTooLarge,
            Problem::UnsupportedMediaType,
            Problem::RateLimited,
            Problem::HeadersTooLarge,
            Problem::InternalError,
            Problem::Unavailable,
        ],
    },
];

/// The path items.
pub(super) fn paths(public_url: &str, components: &mut Components) -> Map<String, Value> {
    let mut paths = Map::new();
    for webhook in &WEBHOOKS {
        let operation = described(webhook, components);
        let item = paths.entry(webhook.path).or_insert_with(|| {
            json!({
                "servers": [{ "url": public_url, "description": "Ingress." }],
                "parameters": path_parameters(webhook.path),
            })
        });
        item[webhook.method] = operation;
    }
    paths
}

fn path_parameters(path: &str) -> Vec<Value> {
    parameters::names_in(path)
        .map(|name| {
            let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
            let about = "As the webhook's address says it.";
            json!({
                "name": name, "in": "path", "required": true,
                "description": about, "schema": schema,
            })
        })
        .collect()
}

fn described(webhook: &Webhook, components: &mut Components) -> Value {
    let by_status = problems::by_status(webhook.problems).into_iter();
    let mut responses: Map<String, Value> = by_status
        .map(|(status, problems)| {
            let response = problems::response(webhook.form, status, &problems, components);
            (status.to_string(), response)
        })
        .collect();
    let (status, response) = (webhook.answer)();
    responses.insert(status.to_string(), response);
    let mut described = json!({
        "operationId": webhook.id,
        "tags": [INGRESS],
        "summary": webhook.summary,
        "description": webhook.details,
        "responses": responses,
        "security": [],
    });
    if webhook.method == "post" {
        described["requestBody"] = json!({
            "content": {
                "application/json": { "schema": true, "example": { "chatInput": "Hello" } },
                "application/x-www-form-urlencoded": { "schema": { "type": "object" } },
            },
        });
    }
    described
}

fn acknowledged() -> (u16, Value) {
    let schema = json!({
        "type": "object",
        "description": "An acknowledgement, or what `response_adapter` and `ack_response` make of it.",
    });
    let content = json!({ "application/json": { "schema": schema }, "text/xml": {} });
    (202, response("The message was taken.", content))
}

fn challenge() -> (u16, Value) {
    let content = json!({ "text/plain": { "schema": { "type": "string" } } });
    (200, response("What the provider wants to hear.", content))
}

fn invoked() -> (u16, Value) {
    let schema = json!({
        "type": "object",
        "properties": {
            "success": { "const": true },
            "invocationId": { "type": "string", "format": "uuid", "description": "The execution." },
            "conversationId": { "type": "string", "format": "uuid", "description": "The session." },
        },
        "required": ["success"],
    });
    (202, response("The message was taken.", json!({ "application/json": { "schema": schema } })))
}

fn accepted() -> (u16, Value) {
    let schema = json!({
        "type": "object",
        "properties": {
            "accepted": { "const": true },
            "created_session": { "type": "boolean" },
            "session_id": { "type": "string", "pattern": "^session_[0-9a-f]{32}$",
                            "example": "session_01932c07a3f070008000000000000000" },
        },
        "required": ["accepted", "created_session", "session_id"],
    });
    (202, response("The message was taken.", json!({ "application/json": { "schema": schema } })))
}

#[expect(clippy::needless_pass_by_value, reason = "json! takes it as it is")]
fn response(about: &str, content: Value) -> Value {
    let names = ["x-request-id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
    json!({ "description": about, "headers": headers::some(&names), "content": content })
}
