//! A webhook that its trigger describes, as in seed 001.

use serde_json::{Value, json};

use super::pieces::{
    about, boolean, choice, header_name, nothing, object, one_of, or, secret_ref, text, word,
};

const MAX_EXPRESSION: usize = 1_024;
const MAX_PATTERN: usize = 512;

/// The largest JSON Schema of payloads is counted in bytes: see [`crate::json_schema`].
pub(super) fn input_schema() -> Value {
    about(json!({ "type": "object" }), "What a payload has to look like: a JSON Schema.")
}

pub(super) fn output_transform() -> Value {
    let fields = json!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 64,
        "propertyNames": { "minLength": 1, "maxLength": 128 },
        "additionalProperties": text(1, MAX_EXPRESSION),
        "description": "The payload is an object of these, each what a JMESPath selects.",
    });
    let whole = || about(text(1, MAX_EXPRESSION), "What this JMESPath selects is the payload.");
    one_of(
        "What is made of a payload; `jmespath` counts.",
        [
            object(
                &["jmespath"],
                [("jmespath", whole()), ("objectTransformation", fields.clone())],
            ),
            object(
                &["objectTransformation"],
                [("jmespath", nothing()), ("objectTransformation", fields)],
            ),
        ],
    )
}

pub(super) fn message_template() -> Value {
    let mut template = text(1, 16_384);
    template["pattern"] = "\\S".into();
    about(template, "What the agent is asked, with `{{path}}` for values of the payload.")
}

pub(super) fn authentication() -> Value {
    let header = object(
        &["name", "secret_ref"],
        [("name", header_name()), ("value", nothing()), ("secret_ref", secret_ref())],
    );
    let headers = json!({ "type": "array", "items": header, "minItems": 1, "maxItems": 16 });
    about(object(&["headers"], [("headers", headers)]), "Headers that have to hold secrets.")
}

pub(super) fn signature_verification() -> Value {
    let join = object(
        &["strategy", "separator"],
        [("strategy", word("concatenate")), ("separator", text(0, 64))],
    );
    let validation = object(
        &[],
        [
            ("headerCaseSensitive", or(boolean(), false)),
            ("allowEmptyBody", or(boolean(), true)),
            ("normalizeUnicode", or(boolean(), false)),
        ],
    );
    let schema = object(
        &["algorithm", "encoding", "signature", "signedComponents", "componentJoin"],
        [
            ("algorithm", choice(["sha256", "sha512", "sha384", "sha1", "md5"])),
            ("encoding", choice(["hex", "base64"])),
            ("signature", spot()),
            ("signedComponents", components()),
            ("componentJoin", join),
            ("validation", validation),
        ],
    );
    about(schema, "How requests are signed.")
}

/// Half a signature would check nothing.
pub(super) fn whole_or_no_signature() -> [Value; 2] {
    const FIELDS: [&str; 2] = ["signatureVerification", "signingSecretCredentialReferenceId"];
    let [rules, secret] = FIELDS;
    [
        json!({ "properties": { rules: nothing(), secret: nothing() } }),
        json!({
            "required": FIELDS,
            "properties": { rules: { "type": "object" }, secret: { "type": "string" } },
        }),
    ]
}

fn spot() -> Value {
    let of = |source: &str, key: Value| {
        object(
            &["source", "key"],
            [
                ("source", word(source)),
                ("key", key),
                ("prefix", text(1, 256)),
                ("regex", text(1, MAX_PATTERN)),
            ],
        )
    };
    one_of(
        "Where the signature is.",
        [
            of("header", header_name()),
            of("query", text(1, 256)),
            of("body", text(1, MAX_EXPRESSION)),
        ],
    )
}

fn components() -> Value {
    let of = |required: &[&str], source: &str, key: Value, value: Value, regex: Value| {
        object(
            required,
            [
                ("source", word(source)),
                ("key", key),
                ("value", value),
                ("regex", regex),
                ("required", or(boolean(), true)),
            ],
        )
    };
    let regex = || text(1, MAX_PATTERN);
    let component = one_of(
        "Something that is signed.",
        [
            of(&["source", "key"], "header", header_name(), nothing(), regex()),
            of(&["source"], "body", nothing(), nothing(), nothing()),
            of(&["source", "key"], "body", text(1, MAX_EXPRESSION), nothing(), regex()),
            of(&["source", "value"], "literal", nothing(), text(1, 256), nothing()),
        ],
    );
    // A signature over nothing else would be the same for every request.
    let varies = json!({
        "type": "object",
        "required": ["source"],
        "properties": {
            "source": { "enum": ["header", "body"] },
            "required": { "not": { "const": false } },
        },
    });
    json!({
        "type": "array", "items": component, "minItems": 1, "maxItems": 16, "contains": varies,
    })
}
