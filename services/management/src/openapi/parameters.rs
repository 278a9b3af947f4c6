//! Parameters: in paths, in queries, and in the headers that every operation heeds.

use serde_json::{Map, Value, json};

use super::answers::CREATED;
use crate::http::operation::{Access, Method, Operation, Parameter};

/// Headers that may be sent, by name.
pub(super) fn shared() -> Value {
    json!({
        "TenantId": {
            "name": "x-tenant-id",
            "in": "header",
            "description": "Not needed; if it is there, it has to be the credential's tenant.",
            "schema": { "type": "string", "format": "uuid" },
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A text of your own. Another request with it within 24 hours gets the \
                            first one's answer and does nothing more.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        },
        "IfMatch": {
            "name": "If-Match",
            "in": "header",
            "description": "The `ETag` that you saw: what was changed since then is left alone, \
                            and the answer is 412.",
            "schema": { "type": "string", "pattern": IF_MATCH },
            "example": "\"1\"",
        },
    })
}

const IF_MATCH: &str = "^(\\*|(W/)?\"[!#-~]*\"([ ]*,[ ]*(W/)?\"[!#-~]*\")*)$";

/// Which headers an operation heeds.
pub(super) fn headers_of(operation: &Operation) -> Vec<Value> {
    let names = [
        (operation.access != Access::Public, "TenantId"),
        (heeds_idempotency_key(operation), "IdempotencyKey"),
        (heeds_if_match(operation), "IfMatch"),
    ];
    let heeded = names.into_iter().filter(|(is_heeded, _)| *is_heeded);
    heeded.map(|(_, name)| json!({ "$ref": format!("#/components/parameters/{name}") })).collect()
}

/// Whether it is done once, however often it is sent.
pub(super) fn heeds_idempotency_key(operation: &Operation) -> bool {
    operation.method == Method::Post
}

/// Whether it changes only what is still as it was seen. What is made was never seen.
pub(super) fn heeds_if_match(operation: &Operation) -> bool {
    let makes = operation.method == Method::Post && operation.answer.status == CREATED;
    operation.etag && operation.writes() && !makes
}

/// What the query may say.
pub(super) fn query_of(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.about,
        "schema": (parameter.schema)(),
    })
}

/// The names in braces.
pub(super) fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// What is in braces in the address.
pub(super) fn path_of(path: &str) -> Vec<Value> {
    names_in(path)
        .map(|name| {
            let (about, schema) = part(path, name);
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "description": about,
                "schema": schema,
            })
        })
        .collect()
}

fn part(path: &str, name: &str) -> (&'static str, Value) {
    let text = || json!({ "type": "string", "minLength": 1, "maxLength": 255 });
    match name {
        "version" => {
            ("Its number.", json!({ "type": "integer", "minimum": 1, "maximum": i32::MAX }))
        }
        "name" => ("Its name.", text()),
        _ if path.starts_with("/v1/objectives/") => {
            ("As in events (`obj_…`, `toolcall_…`), or a UUID.", text())
        }
        "projectId" | "agentId" => ("Its id, or its `external_id`.", text()),
        "tenantId" => ("The credential's tenant.", json!({ "type": "string", "format": "uuid" })),
        _ if path.starts_with("/manage/") => ("Its id; one that you chose is one too.", text()),
        _ => ("Its id.", json!({ "type": "string", "format": "uuid" })),
    }
}

/// Where the id of what was just made is found, for the operations on it.
pub(super) fn link_to(path: &str, made_at: &str) -> Value {
    let known: Vec<&str> = names_in(made_at).collect();
    let from = |name: &str| match name {
        name if known.contains(&name) => format!("$request.path.{name}"),
        "name" => "$response.body#/data/name".to_owned(),
        _ => "$response.body#/data/id".to_owned(),
    };
    let parameters = names_in(path).map(|name| (name.to_owned(), from(name).into()));
    Value::Object(parameters.collect::<Map<_, _>>())
}
