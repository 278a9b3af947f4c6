//! One address of the document, with its operations.

use serde_json::{Map, Value, json};

use super::components::Components;
use super::names::{capitalised, operation_id};
use super::{answers, parameters, problems};
use crate::http::operation::{Access, Operation, RequestBody, Resource};

/// The path item of an address.
pub(super) fn path(resource: &'static Resource, components: &mut Components) -> Value {
    let mut item = Map::new();
    let parameters = parameters::path_of(resource.path);
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into());
    }
    for operation in resource.operations {
        let method = operation.method.name().to_lowercase();
        item.insert(method, described(resource, operation, components));
    }
    item.into()
}

fn described(
    resource: &'static Resource,
    operation: &Operation,
    components: &mut Components,
) -> Value {
    let id = operation_id(resource, operation);
    let mut responses = problems::of(resource.form, operation, components);
    let status = operation.answer.status.to_string();
    responses.insert(status, answers::of(resource, operation, components));
    let mut parameters = parameters::headers_of(operation);
    parameters.extend(operation.query.iter().map(parameters::query_of));
    let mut described = json!({
        "operationId": id,
        "tags": [resource.tag],
        "summary": operation.summary,
        "description": description(operation),
        "parameters": parameters,
        "responses": responses,
        "security": security(operation.access),
    });
    if let Some(body) = &operation.body {
        described["requestBody"] = request_body(&id, body, components);
    }
    if let Some(role) = role(operation.access) {
        described["x-recado-role"] = role.into();
    }
    if let Access::Key(scope) = operation.access {
        described["x-recado-scope"] = scope.name().into();
    }
    described
}

fn request_body(id: &str, body: &RequestBody, components: &mut Components) -> Value {
    let name = format!("{}Request", capitalised(id));
    let content = json!({
        "schema": components.schema(&name, (body.schema)()),
        "example": (body.example)(),
    });
    json!({ "required": !body.optional, "content": { body.content_type: content } })
}

fn description(operation: &Operation) -> String {
    let needs = needs(operation.access);
    match operation.details {
        "" => needs,
        details => format!("{details}\n\n{needs}"),
    }
}

fn role(access: Access) -> Option<&'static str> {
    match access {
        Access::Public => None,
        Access::Role(role) => Some(role.name()),
        Access::Key(_) => Some("viewer"),
        Access::Operator => Some("operator"),
    }
}

/// Who may, in a sentence.
fn needs(access: Access) -> String {
    let role = role(access).unwrap_or_default();
    match access {
        Access::Public => "Needs no credential.".to_owned(),
        Access::Operator => "Needs the token of an operator.".to_owned(),
        Access::Role(_) => format!("Needs a token of the role `{role}` or a higher one."),
        Access::Key(scope) => format!(
            "Needs a token of the role `{role}` or a higher one, or an API key with the scope \
             `{}` or `read`.",
            scope.name()
        ),
    }
}

fn security(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Role(_) | Access::Operator => json!([{ "token": [] }]),
        Access::Key(_) => json!([{ "token": [] }, { "apiKey": [] }]),
    }
}
