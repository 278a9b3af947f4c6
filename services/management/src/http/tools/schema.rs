//! What bodies about tools look like.

use recado_types::tool::{MAX_TOOL_NAME, ToolKind};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::draft::MAX_DESCRIPTION;
use crate::http::schema::{
    about, choice, entries, id, integer, list, object, or, patch, secret_ref, text,
};

/// As the readers of configurations have them: `recado_types::tool`.
const MAX_ENTRIES: usize = 32;
const MAX_URL: usize = 4_096;
const MAX_ARG: usize = 4_096;
const MAX_RESPONSE_BYTES: u64 = 8 << 20;
const USUAL_RESPONSE_BYTES: u64 = 256 << 10;

pub(super) fn new_tool() -> Value {
    let mut name = text(1, MAX_TOOL_NAME);
    name["pattern"] = "^[a-zA-Z0-9_-]*$".into();
    let mut schema = object(
        &["name", "kind", "config"],
        [
            ("name", about(name, "What models call it; unique in the tenant.")),
            ("description", about(text(0, MAX_DESCRIPTION), "What models are told of it.")),
            ("kind", choice(kinds())),
            ("config", json!({ "type": "object" })),
        ],
    );
    let of_kind = |kind: &str, config: Value| json!({ "title": kind, "properties": { "kind": { "const": kind }, "config": config } });
    schema["oneOf"] = json!([
        of_kind("http", http()),
        of_kind("mcp", json!({ "oneOf": [mcp_over_http(), mcp_of_a_program()] })),
        of_kind("agent", agent()),
    ]);
    schema
}

pub(super) fn new_tool_example() -> Value {
    json!({
        "name": "search_contracts",
        "description": "Finds contracts by the name of the customer.",
        "kind": "http",
        "config": {
            "method": "POST",
            "url": "https://crm.example.com/contracts/search",
            "auth": { "type": "bearer", "secret_ref": "CRM_KEY" },
            "parameters": {
                "type": "object",
                "properties": {
                    "customer": { "type": "string" },
                    "requesterId": { "type": "string" },
                },
                "required": ["customer"],
            },
            "defaults_from_context": { "body.requesterId": "requesterId" },
        },
    })
}

pub(super) fn tool_patch() -> Value {
    let mut schema = patch(&new_tool(), &["name", "config"], &["name", "description", "config"]);
    schema["properties"]["config"] =
        json!({ "anyOf": [http(), mcp_over_http(), mcp_of_a_program(), agent()] });
    schema
}

pub(super) fn tool_patch_example() -> Value {
    json!({ "description": "Finds contracts by the name or the number of the customer." })
}

pub(super) fn kinds() -> Vec<&'static str> {
    ToolKind::BY_NAME.iter().map(|(name, _)| *name).collect()
}

pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

fn http() -> Value {
    let parameters = about(
        json!({ "type": "object" }),
        "The JSON Schema of the arguments. They become the body of POST, PUT and PATCH and the \
         query of GET and DELETE, but for those that stand in the URL or in `query`.",
    );
    let value = json!({ "type": ["string", "number", "boolean"] });
    object(
        &["url"],
        [
            ("method", or(choice(["GET", "POST", "PUT", "PATCH", "DELETE"]), "GET")),
            ("url", about(text(1, MAX_URL), "May have placeholders: `{{argument}}`.")),
            ("headers", entries(&json!({ "type": "string" }), MAX_ENTRIES)),
            ("query", entries(&value, MAX_ENTRIES)),
            ("parameters", parameters),
            ("auth", credential()),
            ("timeout_ms", or(integer(100, 120_000), 30_000)),
            ("max_response_bytes", or(integer(1, MAX_RESPONSE_BYTES), USUAL_RESPONSE_BYTES)),
            ("defaults_from_context", defaults()),
        ],
    )
}

fn mcp_over_http() -> Value {
    object(
        &["transport", "url"],
        [
            ("transport", choice(["streamable_http"])),
            ("url", text(1, MAX_URL)),
            ("headers", entries(&json!({ "type": "string" }), MAX_ENTRIES)),
            ("auth", credential()),
            ("include", included()),
            ("timeout_ms", or(integer(100, 120_000), 60_000)),
            ("max_response_bytes", or(integer(1, MAX_RESPONSE_BYTES), USUAL_RESPONSE_BYTES)),
            ("defaults_from_context", defaults()),
        ],
    )
}

fn mcp_of_a_program() -> Value {
    let value = json!({
        "oneOf": [text(0, MAX_ARG), object(&["secret_ref"], [("secret_ref", secret_ref())])],
    });
    let command = about(text(1, 1_024), "One of those that the operator allows.");
    object(
        &["transport", "command"],
        [
            ("transport", choice(["stdio"])),
            ("command", command),
            ("args", list(&text(0, MAX_ARG), 64)),
            ("env", entries(&value, 64)),
            ("include", included()),
            ("timeout_ms", or(integer(100, 120_000), 60_000)),
            ("max_response_bytes", or(integer(1, MAX_RESPONSE_BYTES), USUAL_RESPONSE_BYTES)),
            ("defaults_from_context", defaults()),
        ],
    )
}

fn included() -> Value {
    let mut names = list(&text(1, 128), 128);
    names["minItems"] = 1.into();
    about(names, "Which of the server's tools; all of them without it.")
}

fn agent() -> Value {
    object(&["agent_id"], [("agent_id", id())])
}

fn defaults() -> Value {
    let description = "Which argument gets which field of the context, whatever the model wrote: \
                       `{\"body.requesterId\": \"requesterId\"}`.";
    about(json!({ "type": "object", "additionalProperties": { "type": "string" } }), description)
}

/// The credential of a request, as `recado_types::credential` reads it.
fn credential() -> Value {
    let with_secret = |kind: &str| {
        object(&["type", "secret_ref"], [("type", choice([kind])), ("secret_ref", secret_ref())])
    };
    let key = object(
        &["type", "secret_ref"],
        [
            ("type", choice(["api_key"])),
            ("secret_ref", secret_ref()),
            ("name", or(text(1, 128), "X-Api-Key")),
            ("in", or(choice(["header", "query"]), "header")),
        ],
    );
    let none = object(&["type"], [("type", choice(["none"]))]);
    json!({ "oneOf": [none, with_secret("basic"), with_secret("bearer"), key] })
}

/// What may be tried.
pub(super) fn trial() -> Value {
    let any = || json!({ "type": "object" });
    object(
        &[],
        [
            ("arguments", about(any(), "What a model would write.")),
            (
                "context",
                about(any(), "What a conversation would bring along, hidden fields included."),
            ),
            ("tool", about(text(1, 256), "Which tool of an MCP server, unless it has only one.")),
        ],
    )
}

pub(super) fn trial_example() -> Value {
    json!({
        "arguments": { "customer": "Ana" },
        "context": { "requesterId": "u-17" },
    })
}
