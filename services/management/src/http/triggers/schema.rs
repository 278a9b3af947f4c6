//! What is sent to `/api/triggers`, in JSON Schema.

use std::borrow::Cow;

use recado_types::ChosenId;
use recado_types::trigger::{TriggerType, config_schema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::draft::{MAX_DESCRIPTION, MAX_NAME};
use super::rotate::{DEFAULT_GRACE_S, MAX_GRACE_S};
use crate::http::schema::{about, id, integer, name, object, or, patch, text};

/// The configuration as a component of the document.
pub(super) struct TriggerConfigSchema;

const TRIGGER_CONFIG: &str = "TriggerConfig";

impl JsonSchema for TriggerConfigSchema {
    fn schema_name() -> Cow<'static, str> {
        TRIGGER_CONFIG.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        config_schema().try_into().expect("it is an object")
    }
}

pub(super) fn trigger_type_schema(_: &mut SchemaGenerator) -> Schema {
    let names = TriggerType::ALL.map(TriggerType::as_str);
    json_schema!({ "type": "string", "enum": names })
}

/// The body of a POST.
pub(super) fn new_trigger_schema() -> Value {
    let mut external_id = text(1, ChosenId::MAX_LENGTH);
    external_id["pattern"] = ChosenId::PATTERN.into();
    external_id["not"] = json!({ "enum": ["new", ".", ".."] });
    let external_id = about(
        external_id,
        "An id of your own, in addresses too; no UUID. The trigger stays with its agent then.",
    );
    let app = about(id(), "The app whose webhook channel it is.");
    let trigger_types = TriggerType::ALL.map(TriggerType::as_str);
    let description = about(text(0, MAX_DESCRIPTION), "What people should know about it.");
    let mut schema = object(
        &["agent_id", "name", "trigger_type", "trigger_config"],
        [
            ("agent_id", about(id(), "Whom its messages are for.")),
            ("app_id", app),
            ("external_id", external_id),
            ("name", name(MAX_NAME)),
            ("description", or(description, "")),
            ("trigger_type", json!({ "type": "string", "enum": trigger_types })),
            ("trigger_config", json!({ "$ref": format!("#/$defs/{TRIGGER_CONFIG}") })),
            ("enabled", or(json!({ "type": "boolean" }), true)),
        ],
    );
    schema["$defs"] = json!({ TRIGGER_CONFIG: config_schema() });
    schema
}

pub(super) fn new_trigger_example() -> Value {
    json!({
        "agent_id": "01931f6c-0d3a-7c41-9a51-6b0f7f7f3c11",
        "name": "ERP Chat Integration",
        "trigger_type": "webhook",
        "trigger_config": {
            "auth": { "type": "api_key" },
            "query_extraction": { "mode": "field", "field": "chatInput" },
            "context_mapping": { "userId": "$.userId" },
            "session_strategy": { "mode": "derive", "fields": ["userId"] },
            "execution": { "mode": "async" },
        },
    })
}

/// The body of a PATCH.
pub(super) fn trigger_patch_schema() -> Value {
    let kept = ["agent_id", "name", "enabled"];
    let changed = ["agent_id", "app_id", "name", "description", "enabled"];
    let mut schema = patch(&new_trigger_schema(), &kept, &changed);
    // It has null where the whole is not null.
    schema["properties"]["enabled"] = json!({ "type": "boolean" });
    schema["properties"]["trigger_config"] = json!({
        "type": "object",
        "description": "What changes of it: a merge patch (RFC 7396).",
    });
    schema
}

pub(super) fn trigger_patch_example() -> Value {
    json!({ "trigger_config": { "execution": { "timeout_ms": 60_000 } } })
}

/// The body of a rotation.
pub(super) fn rotation_schema() -> Value {
    let grace = integer(0, MAX_GRACE_S.into());
    let grace = about(grace, "How many seconds the secret before it stays good.");
    object(&[], [("grace_period_s", or(grace, DEFAULT_GRACE_S))])
}

pub(super) fn rotation_example() -> Value {
    json!({ "grace_period_s": 3_600 })
}
