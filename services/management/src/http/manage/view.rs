//! A trigger in seed 001's words.

use chrono::{DateTime, Utc};
use recado_store::triggers::Trigger;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::address::{Here, name_of};
use super::schema;
use crate::Api;

/// What a list calls `data`.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::http) struct Document<T> {
    pub(super) data: T,
}

/// A trigger as seed 001 tells it. Of one that has another channel than `generic`, the six fields
/// of that channel are `null`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ManageTrigger")]
pub(in crate::http) struct Shown {
    /// What its maker called it, or else its UUID.
    id: String,
    name: String,
    description: String,
    enabled: bool,
    #[schemars(schema_with = "shown_authentication")]
    authentication: Value,
    #[schemars(schema_with = "input_schema")]
    input_schema: Value,
    message_template: Option<String>,
    #[schemars(schema_with = "output_transform")]
    output_transform: Value,
    #[schemars(schema_with = "signature_verification")]
    signature_verification: Value,
    /// The name of one of the tenant's secrets.
    signing_secret_credential_reference_id: Option<String>,
    /// Where its messages are posted.
    webhook_url: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Shown {
    pub(super) fn of(api: &Api, here: &Here, trigger: &Trigger) -> Self {
        let channel = &trigger.trigger_config["channel"];
        let is_generic = channel["type"] == "generic";
        let field = |name: &str| if is_generic { channel[name].clone() } else { Value::Null };
        let text = |name: &str| field(name).as_str().map(str::to_owned);
        Self {
            id: name_of(trigger),
            name: trigger.name.clone(),
            description: trigger.description.clone(),
            enabled: trigger.enabled,
            authentication: without_nulls(field("authentication")),
            input_schema: field("inputSchema"),
            message_template: text("messageTemplate"),
            output_transform: without_nulls(field("outputTransform")),
            signature_verification: with_defaults(field("signatureVerification")),
            signing_secret_credential_reference_id: text("signingSecretCredentialReferenceId"),
            webhook_url: here.webhook_url(api, trigger),
            created_at: trigger.created_at,
            updated_at: trigger.updated_at,
        }
    }
}

/// Besides a rotation, the only answer that holds a webhook secret.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ManageCreatedTrigger")]
pub(in crate::http) struct Created {
    #[serde(flatten)]
    pub(super) trigger: Shown,
    /// What `X-Webhook-Signature` has to be made with, if neither `authentication` nor
    /// `signatureVerification` says how requests are checked. It is told here and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) webhook_secret: Option<String>,
}

/// `null` counts as absent in a configuration; what is absent is not told.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// A signature's rules with what they leave to the defaults.
fn with_defaults(rules: Value) -> Value {
    let mut rules = without_nulls(rules);
    let Some(fields) = rules.as_object_mut() else { return Value::Null };
    let validation = fields.entry("validation").or_insert_with(|| json!({}));
    for (name, default) in
        [("headerCaseSensitive", false), ("allowEmptyBody", true), ("normalizeUnicode", false)]
    {
        or_default(validation, name, default);
    }
    let components = fields.get_mut("signedComponents").and_then(Value::as_array_mut);
    for component in components.into_iter().flatten() {
        or_default(component, "required", true);
    }
    rules
}

fn or_default(object: &mut Value, name: &str, default: bool) {
    if let Some(fields) = object.as_object_mut() {
        fields.entry(name).or_insert(default.into());
    }
}

fn shown_authentication(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["object", "null"],
        "description": "Headers that have to hold secrets. Their values are never told.",
        "properties": {
            "headers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": { "type": "string" },
                        "secret_ref": {
                            "type": "string",
                            "description": "The name of the tenant's secret that it has to hold.",
                        },
                    },
                    "required": ["name", "secret_ref"],
                },
            },
        },
        "required": ["headers"],
    })
}

fn input_schema(_: &mut SchemaGenerator) -> Schema {
    schema::shown("inputSchema")
}

fn output_transform(_: &mut SchemaGenerator) -> Schema {
    schema::shown("outputTransform")
}

fn signature_verification(_: &mut SchemaGenerator) -> Schema {
    schema::shown("signatureVerification")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_a_signature_are_shown() {
        let rules = json!({
            "algorithm": "sha256",
            "signature": {"source": "header", "key": "X-Sig", "prefix": null},
            "signedComponents": [{"source": "body"}, {"source": "header", "required": false}],
            "validation": {"normalizeUnicode": true, "allowEmptyBody": null},
        });
        let shown = json!({
            "algorithm": "sha256",
            "signature": {"source": "header", "key": "X-Sig"},
            "signedComponents":
                [{"source": "body", "required": true}, {"source": "header", "required": false}],
            "validation":
                {"normalizeUnicode": true, "allowEmptyBody": true, "headerCaseSensitive": false},
        });
        assert_eq!(with_defaults(rules), shown);
        assert_eq!(with_defaults(Value::Null), Value::Null);
    }
}
