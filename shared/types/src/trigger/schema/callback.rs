//! The way out.

use serde_json::{Value, json};

use crate::trigger::RetryPolicy;

use super::pieces::{
    HEADER_NAME, about, boolean, choice, header_name, integer, object, one_of, or, secret_ref,
    text, word,
};

pub(super) fn schema() -> Value {
    let mut url = text(1, 2_048);
    url["pattern"] = "^[hH][tT][tT][pP][sS]?://".into();
    let url = about(url, "Where to; placeholders may stand in its path and its query.");
    let mut schema = object(
        &["url"],
        [
            ("url", url),
            ("method", or(choice(["POST", "PUT", "PATCH"]), "POST")),
            ("content_type", or(choice(CONTENT_TYPES), CONTENT_TYPES[0])),
            ("auth", auth()),
            ("body_template", body_template()),
            ("headers", headers()),
            ("success_status", success_status()),
            ("response_transform", response_transform()),
            ("retry", retry(RetryPolicy::default())),
            ("timeout_ms", or(integer(1_000, 60_000), 15_000)),
        ],
    );
    schema["allOf"] = forms_of_bodies();
    about(schema, "The request that carries a chunk of the answer.")
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const PLAIN: &str = "text/plain";
const XML: &str = "application/xml";
const CONTENT_TYPES: [&str; 4] = [JSON, FORM, PLAIN, XML];

const MAX_TEXT: usize = 16_384;

fn body_template() -> Value {
    let names = json!({ "propertyNames": { "not": { "pattern": "\\{\\{" } } });
    let fields = json!({
        "type": "object",
        "allOf": [names],
        "description": "Templates of fields, for JSON and forms.",
    });
    one_of("What the body says.", [fields, text(1, MAX_TEXT)])
}

/// What a body is made of follows from its content type.
fn forms_of_bodies() -> Value {
    let content_type = |words: &[&str]| {
        json!({
            "properties": { "content_type": { "enum": words } },
            "required": ["content_type"],
        })
    };
    let body = |schema: Value| json!({ "properties": { "body_template": schema } });
    let texts = content_type(&[PLAIN, XML]);
    let flat = json!({
        "type": ["object", "null"],
        "additionalProperties": { "type": ["string", "number", "boolean", "null"] },
    });
    let document = json!({
        "required": ["body_template"],
        "properties": { "body_template": { "type": "string" } },
    });
    json!([
        {
            "if": texts,
            "then": body(json!({ "type": ["string", "null"] })),
            "else": body(json!({ "type": ["object", "null"] })),
        },
        { "if": content_type(&[FORM]), "then": body(flat) },
        { "if": content_type(&[XML]), "then": document },
    ])
}

fn auth() -> Value {
    let with_secret = |kinds: Value| {
        object(&["type", "secret_ref"], [("type", kinds), ("secret_ref", secret_ref())])
    };
    let key = object(
        &["type", "secret_ref"],
        [
            ("type", word("api_key")),
            ("secret_ref", secret_ref()),
            ("name", or(header_name(), "X-Api-Key")),
            ("in", or(choice(["header", "query"]), "header")),
        ],
    );
    let standard = object(
        &["type", "secret_ref", "format"],
        [
            ("type", word("hmac")),
            ("secret_ref", secret_ref()),
            ("format", word("standard_webhooks")),
        ],
    );
    let hash = object(
        &["type", "secret_ref", "format"],
        [
            ("type", word("hmac")),
            ("secret_ref", secret_ref()),
            ("format", word("sha256")),
            ("header", or(header_name(), "X-Webhook-Signature")),
        ],
    );
    one_of(
        "The credential or signature that it carries.",
        [
            object(&["type"], [("type", word("none"))]),
            with_secret(choice(["basic", "bearer"])),
            key,
            standard,
            hash,
        ],
    )
}

fn headers() -> Value {
    let value = json!({
        "type": "string",
        "maxLength": 4_096,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    });
    json!({
        "type": "object",
        "description": "Further headers; the values are templates.",
        "maxProperties": 32,
        "propertyNames": { "minLength": 1, "maxLength": 128, "pattern": HEADER_NAME },
        "additionalProperties": value,
    })
}

fn success_status() -> Value {
    let status = one_of(
        "A status, or all that begin so.",
        [integer(200, 299), integer(400, 499), choice(["2xx", "4xx"])],
    );
    or(json!({ "type": "array", "items": status, "minItems": 1, "maxItems": 32 }), json!(["2xx"]))
}

/// Markdown is taken out or rewritten, never both.
pub(super) fn response_transform() -> Value {
    let of = |strip: Value, rewrite: Value| {
        object(
            &[],
            [
                ("strip_markdown", strip),
                ("to_whatsapp", rewrite),
                ("max_length", integer(1, 1_000_000)),
            ],
        )
    };
    let never = || json!({ "type": "boolean", "enum": [false] });
    one_of(
        "What happens to the answer before it is cut.",
        [of(or(boolean(), false), never()), of(never(), or(boolean(), false))],
    )
}

pub(super) fn retry(usual: RetryPolicy) -> Value {
    object(
        &[],
        [
            ("max_attempts", or(integer(1, 10), usual.max_attempts)),
            ("initial_delay_ms", or(integer(100, 60_000), usual.initial_delay_ms)),
            ("max_delay_ms", or(integer(100, 3_600_000), usual.max_delay_ms)),
        ],
    )
}
