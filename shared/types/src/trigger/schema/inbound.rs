//! The way in.

use serde_json::{Value, json};

use super::pieces::{about, boolean, choice, integer, nothing, object, one_of, or, text, word};
use super::{MAX_PATH, path};

/// The longest `JMESPath` and the longest template, in characters.
const MAX_EXPRESSION: usize = 1_024;
const MAX_TEMPLATE: usize = 4_096;

/// What names a field of the context, as far as ASCII goes: letters and digits of other scripts are
/// written in as many ways as there are dialects of patterns.
const CONTEXT_NAME: &str = r"^[^\u0000-,/:-@\[-\^`\{-\u007f]+$";

pub(super) fn auth() -> Value {
    let algorithm = about(choice(["sha256", "sha512"]), "The only one that is accepted.");
    one_of(
        "How a request proves where it comes from. Without it, by the channel's own signature, or \
         by `X-Webhook-Signature`.",
        [
            object(&["type"], [("type", word("signature")), ("algorithm", algorithm)]),
            object(&["type"], [("type", choice(["api_key", "none"]))]),
        ],
    )
}

pub(super) fn query_extraction() -> Value {
    let of = |mode: &str, key: &str, schema: Value| {
        object(&["mode", key], [("mode", word(mode)), (key, schema)])
    };
    one_of(
        "What the agent is asked.",
        [
            of("field", "field", path()),
            of("jmespath", "expression", text(1, MAX_EXPRESSION)),
            of("template", "template", text(1, MAX_TEMPLATE)),
            object(&["mode"], [("mode", word("full_body"))]),
        ],
    )
}

pub(super) fn context_mapping() -> Value {
    json!({
        "type": "object",
        "description": "What is taken from the payload: names, each with a JSONPath (RFC 9535).",
        "maxProperties": 64,
        "propertyNames": { "minLength": 1, "maxLength": 64, "pattern": CONTEXT_NAME },
        "additionalProperties": { "type": "string", "pattern": "^\\$", "maxLength": MAX_PATH },
    })
}

pub(super) fn session_strategy() -> Value {
    let fields = json!({
        "type": "array", "items": path(), "minItems": 1, "maxItems": 16,
        "description": "Names of `context_mapping`, or paths in the payload.",
    });
    one_of(
        "Which conversation a message belongs to.",
        [
            object(&["mode", "fields"], [("mode", word("derive")), ("fields", fields)]),
            object(&["mode"], [("mode", choice(["ephemeral", "shared"]))]),
        ],
    )
}

pub(super) fn session() -> Value {
    let policy = or(choice(["queue", "supersede"]), "queue");
    object(&[], [("on_new_message", policy)])
}

pub(super) fn response_adapter() -> Value {
    object(
        &[],
        [
            ("format", choice(["ebarn", "slack", "teams", "twiml", "raw"])),
            ("split_messages", or(boolean(), false)),
            ("max_messages", or(integer(1, 50), 10)),
        ],
    )
}

pub(super) fn idempotency() -> Value {
    let mut header = text(1, 128);
    header["pattern"] = "^[A-Za-z0-9_-]+$".into();
    let header = about(header, "The request header that holds the sender's own message id.");
    let path = about(path(), "The field of the payload that holds it.");
    object(&[], [("header", header), ("path", path)])
}

pub(super) fn sender_access() -> Value {
    let column = || or(choice(["phone", "email", "external_id"]), "phone");
    let identifiers = json!({
        "type": "array", "items": text(1, 256), "maxItems": 10_000,
        "description": "Telephone numbers, addresses, or names.",
    });
    let with =
        |required: &[&str], mode: &str, column: Value, resolve: Value, identifiers: Value| {
            object(
                required,
                [
                    ("mode", word(mode)),
                    ("identity_field", path()),
                    ("match_column", column),
                    ("resolve_user", resolve),
                    ("identifiers", identifiers),
                ],
            )
        };
    let listed = ["mode", "identifiers"];
    one_of(
        "Who may write.",
        [
            with(&["mode"], "any", nothing(), nothing(), nothing()),
            with(&["mode"], "members", column(), or(boolean(), false), nothing()),
            with(&listed, "whitelist", nothing(), nothing(), identifiers),
        ],
    )
}

pub(super) fn rate_limit() -> Value {
    object(
        &[],
        [("per_minute", integer(1, 1_000_000)), ("per_sender_per_minute", integer(1, 1_000_000))],
    )
}
