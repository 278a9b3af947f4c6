//! What can go wrong: the responses of an operation that are errors, with the codes that each may
//! have.

use std::collections::BTreeMap;

use actix_web::ResponseError;
use actix_web::body::MessageBody;
use recado_http::{ApiError, Problem};
use serde_json::{Map, Value, json};

use super::components::Components;
use super::headers;
use super::parameters::{heeds_idempotency_key, heeds_if_match};
use crate::access::formed;
use crate::http::manage_error_schema;
use crate::http::operation::{Access, ErrorForm, Operation};

/// Every response of an operation that is an error, by status.
pub(super) fn of(
    form: ErrorForm,
    operation: &Operation,
    components: &mut Components,
) -> Map<String, Value> {
    by_status(&everything(operation))
        .into_iter()
        .map(|(status, problems)| {
            (status.to_string(), response(form, status, &problems, components))
        })
        .collect()
}

/// What can go wrong with an operation, most of which can go wrong with many.
fn everything(operation: &Operation) -> Vec<Problem> {
    let mut problems = vec![Problem::InvalidInput, Problem::InternalError];
    if operation.access != Access::Public {
        problems.extend([
            Problem::AuthenticationRequired,
            Problem::InvalidToken,
            Problem::InvalidApiKey,
            Problem::InsufficientPermissions,
            Problem::TenantMismatch,
            Problem::RateLimited,
            Problem::Unavailable,
        ]);
    }
    if operation.body.is_some() {
        problems.extend([
            Problem::MalformedBody,
            Problem::RequestTimeout,
            Problem::PayloadTooLarge,
            Problem::UnsupportedMediaType,
        ]);
    }
    if heeds_idempotency_key(operation) {
        problems.extend([Problem::IdempotencyInProgress, Problem::IdempotencyKeyReused]);
    }
    if heeds_if_match(operation) {
        problems.push(Problem::PreconditionFailed);
    }
    problems.extend(operation.problems);
    problems
}

/// The problems, each once and in the order of [`Problem::ALL`].
pub(super) fn by_status(problems: &[Problem]) -> BTreeMap<u16, Vec<Problem>> {
    let mut grouped: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
    for problem in Problem::ALL.iter().filter(|it| problems.contains(it)) {
        grouped.entry(problem.status().as_u16()).or_default().push(*problem);
    }
    grouped
}

/// Those that most operations have under a status; they are described once.
fn usual(status: u16) -> &'static [Problem] {
    match status {
        400 => &[Problem::InvalidInput],
        401 => &[Problem::AuthenticationRequired, Problem::InvalidToken, Problem::InvalidApiKey],
        403 => &[Problem::InsufficientPermissions, Problem::TenantMismatch],
        408 => &[Problem::RequestTimeout],
        409 => &[Problem::IdempotencyInProgress],
        412 => &[Problem::PreconditionFailed],
        413 => &[Problem::PayloadTooLarge],
        415 => &[Problem::UnsupportedMediaType],
        422 => &[Problem::IdempotencyKeyReused],
        429 => &[Problem::RateLimited],
        500 => &[Problem::InternalError],
        503 => &[Problem::Unavailable],
        _ => &[],
    }
}

/// One response, for all problems of a status.
pub(super) fn response(
    form: ErrorForm,
    status: u16,
    problems: &[Problem],
    components: &mut Components,
) -> Value {
    if problems != usual(status) {
        return described(form, status, problems, components);
    }
    let reason = problems[0].status().canonical_reason().unwrap_or_default().replace(' ', "");
    let name = format!("{}{reason}", prefix(form));
    components.response(&name, |components| described(form, status, problems, components))
}

fn prefix(form: ErrorForm) -> &'static str {
    match form {
        ErrorForm::Native => "",
        ErrorForm::Rfc9457 => "Problem",
        ErrorForm::Manage => "Manage",
        ErrorForm::RpcStatus => "Rpc",
    }
}

fn described(
    form: ErrorForm,
    status: u16,
    problems: &[Problem],
    components: &mut Components,
) -> Value {
    let lines = problems.iter().map(|it| format!("* `{}`: {}.", it.code(), it.title()));
    let lines: Vec<String> = lines.collect();
    let examples = problems.iter().map(|problem| {
        let example = json!({ "summary": problem.title(), "value": example(form, *problem) });
        (problem.code().to_owned(), example)
    });
    let examples: Map<String, Value> = examples.collect();
    json!({
        "description": lines.join("\n"),
        "headers": headers::some(header_names(status)),
        "content": {
            content_type(form): { "schema": schema(form, problems, components), "examples": examples },
        },
    })
}

fn header_names(status: u16) -> &'static [&'static str] {
    match status {
        401 => &["x-request-id", "WWW-Authenticate"],
        405 => &["x-request-id", "Allow"],
        429 => &[
            "x-request-id",
            "Retry-After",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
        ],
        503 => &["x-request-id", "Retry-After"],
        _ => &["x-request-id"],
    }
}

fn content_type(form: ErrorForm) -> &'static str {
    match form {
        ErrorForm::Native | ErrorForm::RpcStatus => "application/json",
        ErrorForm::Rfc9457 | ErrorForm::Manage => "application/problem+json",
    }
}

/// The form, with the codes that it may have here.
fn schema(form: ErrorForm, problems: &[Problem], components: &mut Components) -> Value {
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code()).collect();
    let (name, document) = document(form);
    let narrowed = match form {
        ErrorForm::Native => json!({ "error": { "enum": codes } }),
        ErrorForm::Rfc9457 => json!({ "code": { "enum": codes } }),
        ErrorForm::Manage => json!({ "reason": { "enum": codes } }),
        ErrorForm::RpcStatus => {
            let reasons: Vec<String> = problems.iter().map(|it| reason(*it)).collect();
            json!({ "details": { "items": { "properties": { "reason": { "enum": reasons } } } } })
        }
    };
    json!({ "allOf": [components.schema(name, document), { "properties": narrowed }] })
}

fn document(form: ErrorForm) -> (&'static str, Value) {
    match form {
        ErrorForm::Native => ("Error", native()),
        ErrorForm::Rfc9457 => ("ProblemDocument", rfc9457()),
        ErrorForm::Manage => ("ManageProblem", manage_error_schema()),
        ErrorForm::RpcStatus => ("RpcStatus", rpc_status()),
    }
}

fn native() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong.",
        "properties": {
            "success": { "type": "boolean", "const": false },
            "status": { "type": "string", "const": "error" },
            "error": { "type": "string", "description": "The code, for programs." },
            "message": { "type": "string", "description": "The same for people." },
            "details": details(),
        },
        "required": ["success", "status", "error", "message"],
    })
}

fn details() -> Value {
    json!({
        "type": "object",
        "description": "What else programs may want to know.",
        "properties": {
            "fields": {
                "type": "array",
                "description": "Of `invalid_input`: every mistake; of `already_exists`: what is taken.",
                "items": {
                    "type": "object",
                    "properties": {
                        "path": { "type": "string", "description": "Where, with dots." },
                        "reason": { "type": "string", "description": "What it has to be." },
                    },
                    "required": ["path", "reason"],
                },
            },
            "used_by": {
                "type": "array",
                "description": "Of `conflict`: what still refers to it.",
                "items": {
                    "type": "object",
                    "properties": {
                        "type": { "type": "string" },
                        "id": { "type": "string" },
                        "name": { "type": "string" },
                    },
                },
            },
        },
    })
}

fn rfc9457() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What went wrong, for people." },
            "instance": { "type": "string", "description": "The path of the request." },
            "code": { "type": "string", "description": "The code, for programs." },
            "error": {
                "type": "object",
                "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
                "required": ["code", "message"],
            },
            "details": details(),
            "retry_after_seconds": { "type": "integer" },
            "allowed_actions": {
                "type": "array",
                "description": "Of webhooks of apps: what can be done next.",
                "items": {
                    "type": "object",
                    "properties": {
                        "rel": { "type": "string" },
                        "method": { "type": "string" },
                        "hint": { "type": "string" },
                    },
                    "required": ["rel", "method", "hint"],
                },
            },
        },
        "required": ["title", "status", "detail", "code"],
    })
}

fn rpc_status() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (`google.rpc.Status`).",
        "properties": {
            "code": { "type": "integer", "description": "A `google.rpc.Code`." },
            "message": { "type": "string" },
            "details": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "@type": { "const": "type.googleapis.com/google.rpc.ErrorInfo" },
                        "reason": { "type": "string", "description": "The code, for programs." },
                        "domain": { "const": "recado" },
                        "metadata": {
                            "type": "object",
                            "additionalProperties": { "type": "string" },
                        },
                    },
                    "required": ["@type", "reason", "domain"],
                },
            },
        },
        "required": ["code", "message", "details"],
    })
}

fn reason(problem: Problem) -> String {
    problem.code().to_ascii_uppercase()
}

/// What a request is called, in examples.
const REQUEST_ID: &str = "0193a6e2-5f0c-7d3e-9b8a-2c4d6e8f0a1b";

/// The document as it is really sent.
fn example(form: ErrorForm, problem: Problem) -> Value {
    let error = match problem {
        Problem::InvalidInput => ApiError::invalid_field("name", "is required"),
        other => other.into(),
    };
    let body = formed(form, error, "/", REQUEST_ID).error_response().into_body().try_into_bytes();
    serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default()
}
