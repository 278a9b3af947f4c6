//! What bodies about event endpoints look like.

use recado_types::event_type::EVENT_TYPES;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::draft::{MAX_NAME, MAX_SECRET, MAX_URL, SECRET_BYTES};
use super::recover::MAX_AGE;
use super::rotate::{DEFAULT_EXPIRES_IN_S, MAX_EXPIRES_IN_S};
use crate::http::schema::{about, choice, id, integer, list, name, object, or, patch, text};

/// The fields of an event endpoint that can be changed.
const CHANGED: [&str; 5] = ["name", "url", "agent_id", "event_types", "enabled"];

pub(super) fn new_endpoint() -> Value {
    let mut url = text(1, MAX_URL);
    // Further rules are told when they are broken: no user name, no fragment, no placeholders.
    url["pattern"] = "^[hH][tT][tT][pP][sS]?://".into();
    object(
        &["name", "url"],
        [
            ("name", about(name(MAX_NAME), "Unique in the tenant.")),
            ("url", about(url, "Where events are sent to.")),
            ("agent_id", about(id(), "Whose events; those of every agent without it.")),
            (
                "event_types",
                about(event_types(), "Which events; all without it, or if it is empty."),
            ),
            ("enabled", or(json!({ "type": "boolean" }), true)),
            ("secret", secret("What they are signed with")),
        ],
    )
}

pub(super) fn new_endpoint_example() -> Value {
    json!({
        "name": "audit",
        "url": "https://hooks.example.com/recado",
        "event_types": ["tool_called", "error"],
    })
}

pub(super) fn endpoint_patch() -> Value {
    let mut schema = patch(&new_endpoint(), &["name", "url"], &CHANGED);
    // It has `null` where a new one may be without it.
    schema["properties"]["enabled"] = json!({ "type": "boolean" });
    schema
}

pub(super) fn endpoint_patch_example() -> Value {
    json!({ "enabled": true })
}

pub(super) fn rotation() -> Value {
    let expires_in = integer(0, MAX_EXPIRES_IN_S.into());
    let expires_in = about(expires_in, "How many seconds the secret before it signs too.");
    object(
        &[],
        [("expires_in_s", or(expires_in, DEFAULT_EXPIRES_IN_S)), ("secret", secret("The new one"))],
    )
}

pub(super) fn rotation_example() -> Value {
    json!({ "expires_in_s": 3_600 })
}

pub(super) fn recovery() -> Value {
    let since = json!({ "type": "string", "format": "date-time", "maxLength": 64 });
    let days = MAX_AGE.num_days();
    let since = about(since, &format!("At most {days} days ago, and not in the future."));
    object(&["since"], [("since", since)])
}

pub(super) fn recovery_example() -> Value {
    json!({ "since": "2026-11-20T00:00:00Z" })
}

/// As they are told.
pub(super) fn told_event_types(_: &mut SchemaGenerator) -> Schema {
    event_types().try_into().expect("it is an object")
}

fn event_types() -> Value {
    let mut types = list(&choice(EVENT_TYPES), EVENT_TYPES.len());
    types["uniqueItems"] = true.into();
    types
}

fn secret(what: &str) -> Value {
    let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
    let mut secret = text(1, MAX_SECRET);
    secret["pattern"] = "^whsec_[A-Za-z0-9+/]+={0,2}$".into();
    let rule = format!("`whsec_` and {least} to {most} bytes in base64");
    about(secret, &format!("{what}: {rule}. Without it, one is made."))
}
