//! What is sent in seed 001's words, in JSON Schema.

use recado_types::ChosenId;
use recado_types::trigger::generic_channel_schema;
use schemars::Schema;
use serde_json::{Map, Value, json};

use super::authentication::{MAX_HEADERS, MAX_NAME as MAX_HEADER_NAME, MAX_VALUE};
use super::draft::CHANNEL_FIELDS;
use crate::http::schema::{about, name, nullable, object, or, text};
use crate::http::triggers::{MAX_DESCRIPTION, MAX_NAME};

/// The body of a POST.
pub(super) fn new_trigger_schema() -> Value {
    let mut id = text(1, ChosenId::MAX_LENGTH);
    id["pattern"] = ChosenId::PATTERN.into();
    id["not"] = json!({ "enum": ["new", ".", ".."] });
    let ignored = || about(text(0, 64), "Ignored: Recado knows when it was made.");
    let mut schema = object(
        &["name"],
        [
            ("id", about(id, "An id of your own, in addresses too; no UUID.")),
            ("name", name(MAX_NAME)),
            ("description", or(text(0, MAX_DESCRIPTION), "")),
            ("enabled", or(json!({ "type": "boolean" }), true)),
            ("createdAt", ignored()),
            ("updatedAt", ignored()),
            ("tenantId", same_as_in_the_address()),
            ("projectId", same_as_in_the_address()),
            ("agentId", same_as_in_the_address()),
        ],
    );
    add_channel(&mut schema);
    schema
}

pub(super) fn new_trigger_example() -> Value {
    json!({
        "id": "github-push",
        "name": "GitHub",
        "authentication": { "headers": [{ "name": "X-Token", "value": "s3cr3t-of-the-sender" }] },
        "inputSchema": { "type": "object", "required": ["sender"] },
        "messageTemplate": "{{sender.login}} {{action}} in {{repository.full_name}}",
    })
}

/// The body of a PATCH.
pub(super) fn trigger_patch_schema() -> Value {
    let read_only = || about(json!({ "type": "string" }), "Read-only: what is there, or nothing.");
    let mut schema = object(
        &["name", "enabled"],
        [
            ("name", name(MAX_NAME)),
            ("description", text(0, MAX_DESCRIPTION)),
            ("enabled", json!({ "type": "boolean" })),
            ("id", read_only()),
            ("createdAt", read_only()),
            ("updatedAt", read_only()),
            ("webhookUrl", read_only()),
            ("tenantId", same_as_in_the_address()),
            ("projectId", same_as_in_the_address()),
            ("agentId", same_as_in_the_address()),
        ],
    );
    // Those two cannot be taken away; nothing has to be there.
    schema["required"] = json!([]);
    schema["minProperties"] = 1.into();
    add_channel(&mut schema);
    // Half of a signature may be there already.
    schema.as_object_mut().map(|it| it.remove("anyOf"));
    schema
}

pub(super) fn trigger_patch_example() -> Value {
    json!({ "enabled": false, "inputSchema": null })
}

fn same_as_in_the_address() -> Value {
    about(text(0, 256), "As in the address, or nothing.")
}

/// The fields of a generic channel.
fn add_channel(schema: &mut Value) {
    let generic = generic_channel_schema();
    for field in CHANNEL_FIELDS {
        schema["properties"][field] = generic["properties"][field].clone();
    }
    schema["properties"]["authentication"] = nullable(authentication());
    schema["anyOf"] = generic["anyOf"].clone();
}

/// Headers, each with what it has to hold: a value, the name of a secret, or what it held before.
fn authentication() -> Value {
    let generic = generic_channel_schema();
    let header = &generic["properties"]["authentication"]["properties"]["headers"]["items"];
    let mut header_name = header["properties"]["name"].clone();
    header_name["maxLength"] = MAX_HEADER_NAME.into();
    let with = |key: &str, schema: Value| {
        let fields = [("name", header_name.clone()), (key, schema)];
        let mut header = object(&["name", key], fields);
        let others = ["value", "keepExisting", "secret_ref"].into_iter().filter(|it| *it != key);
        for other in others {
            header["properties"][other] = json!({ "type": "null" });
        }
        header
    };
    let mut value = text(1, MAX_VALUE);
    value["pattern"] =
        "^[!-~\\u00a1-\\uffff]([^\\u0000-\\u001f\\u007f-\\u009f]*[!-~\\u00a1-\\uffff])?$".into();
    let value = about(value, "What the header has to hold. It is kept as a secret.");
    let kept = about(json!({ "type": "boolean", "enum": [true] }), "What it held before.");
    let mut by_value = with("value", value);
    // It may say that nothing is kept.
    by_value["properties"]["keepExisting"] =
        json!({ "type": ["boolean", "null"], "enum": [false, null] });
    let forms = [
        by_value,
        with("keepExisting", kept),
        with("secret_ref", header["properties"]["secret_ref"].clone()),
    ];
    let headers = json!({ "type": "array", "items": { "anyOf": forms }, "maxItems": MAX_HEADERS });
    about(object(&["headers"], [("headers", headers)]), "Headers that have to hold secrets.")
}

/// A field of a generic channel, as it is shown.
pub(super) fn shown(field: &str) -> Schema {
    let schema = generic_channel_schema()["properties"][field].clone();
    let fields: Map<String, Value> = schema.as_object().cloned().unwrap_or_default();
    fields.into()
}
