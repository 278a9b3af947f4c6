//! What is answered if all goes well.

use serde_json::{Map, Value, json};

use super::components::Components;
use super::names::operation_id;
use super::{headers, parameters};
use crate::http::operation::{Access, Method, Operation, Resource};
use crate::http::resources;

/// Something was made.
pub(super) const CREATED: u16 = 201;

pub(super) fn of(resource: &Resource, operation: &Operation, components: &mut Components) -> Value {
    let mut response = json!({
        "description": meaning(operation.answer.status),
        "headers": headers::some(&header_names(operation)),
    });
    if let Some(schema) = operation.answer.schema {
        let schema = components.answer(schema);
        response["content"] = json!({ "application/json": { "schema": schema } });
    }
    let links = links(resource, operation);
    if !links.is_empty() {
        response["links"] = links.into();
    }
    response
}

fn meaning(status: u16) -> &'static str {
    match status {
        CREATED => "It was made.",
        202 => "It was asked for.",
        204 => "It was done.",
        _ => "All went well.",
    }
}

fn header_names(operation: &Operation) -> Vec<&'static str> {
    let mut names = vec!["x-request-id"];
    if operation.access != Access::Public {
        names.extend(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]);
    }
    if operation.etag && operation.method != Method::Delete {
        names.push("ETag");
    }
    if operation.answer.status == CREATED {
        names.push("Location");
    }
    if parameters::heeds_idempotency_key(operation) {
        names.push("Idempotency-Replayed");
    }
    names
}

/// What can be done with what was made.
fn links(resource: &Resource, operation: &Operation) -> Map<String, Value> {
    if operation.method != Method::Post || operation.answer.status != CREATED {
        return Map::new();
    }
    let is_below = |at: &&Resource| {
        let rest = at.path.strip_prefix(resource.path).and_then(|rest| rest.strip_prefix("/{"));
        rest.is_some_and(|rest| rest.ends_with('}') && !rest.contains('/'))
    };
    let Some(made) = resources().find(is_below) else { return Map::new() };
    let parameters = parameters::link_to(made.path, resource.path);
    let link = |at: &Operation| {
        let id = operation_id(made, at);
        (id.clone(), json!({ "operationId": id, "parameters": parameters }))
    };
    made.operations.iter().map(link).collect()
}
