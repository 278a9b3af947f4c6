//! The words that the schema is made of.

use serde_json::{Map, Value, json};

/// A text of so many characters.
pub(super) fn text(least: usize, most: usize) -> Value {
    json!({ "type": "string", "minLength": least, "maxLength": most })
}

/// A whole number.
pub(super) fn integer(least: u32, most: u32) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

pub(super) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

/// One of a closed set of words.
pub(super) fn choice<const N: usize>(words: [&str; N]) -> Value {
    json!({ "type": "string", "enum": words.as_slice() })
}

/// Exactly this word.
pub(super) fn word(word: &str) -> Value {
    choice([word])
}

/// The name of a secret of the tenant.
pub(super) fn secret_ref() -> Value {
    about(text(1, 128), "The name of a secret of the tenant.")
}

/// The name of a header (a token of RFC 9110).
pub(super) fn header_name() -> Value {
    let mut name = text(1, 128);
    name["pattern"] = HEADER_NAME.into();
    name
}

/// What names a header.
pub(super) const HEADER_NAME: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// What does not belong there.
pub(super) fn nothing() -> Value {
    json!({ "type": "null" })
}

/// `schema`, and what it is for.
pub(super) fn about(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

/// `schema`, and what stands in its place if it is left out.
pub(super) fn or(mut schema: Value, default: impl Into<Value>) -> Value {
    schema["default"] = default.into();
    schema
}

/// An object with these fields and no others. `null` is the same as leaving a field out, so those
/// that are not required may be `null`.
pub(super) fn object<const N: usize>(required: &[&str], fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().map(|(name, schema)| {
        let schema = if required.contains(&name) { schema } else { maybe(schema) };
        (name.to_owned(), schema)
    });
    let mut object = json!({
        "type": "object",
        "properties": fields.collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// One of several forms.
pub(super) fn one_of<const N: usize>(description: &str, forms: [Value; N]) -> Value {
    json!({ "description": description, "anyOf": Vec::from(forms) })
}

/// The same, or `null`.
pub(super) fn maybe(mut schema: Value) -> Value {
    if schema.as_object().is_some_and(|it| !it.keys().any(|key| CONSTRAINTS.contains(&&**key))) {
        return schema;
    }
    if let Some(forms) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        forms.push(nothing());
        return schema;
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind != "null" => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        Some(_) => schema,
        None => json!({ "anyOf": [schema, nothing()] }),
    }
}

/// What makes a schema refuse something.
const CONSTRAINTS: [&str; 3] = ["type", "anyOf", "allOf"];
