//! Pieces of the JSON Schemas of bodies, in the words of `ObjectReader`, which judges them.

use serde_json::{Map, Value, json};

/// A text of so many characters.
pub(super) fn text(least: usize, most: usize) -> Value {
    json!({ "type": "string", "minLength": least, "maxLength": most })
}

/// What people call something: on one line, with something to be seen. What cannot be seen beyond
/// U+FFFF is left out: not every reader of patterns has characters of more than 16 bits.
pub(super) fn name(most: usize) -> Value {
    const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";
    const INVISIBLE: &str = concat!(
        r"\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e",
        r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb",
    );
    let pattern = format!("^[^{CONTROL}]*[^{CONTROL}{INVISIBLE}][^{CONTROL}]*$");
    with(text(1, most), "pattern", pattern)
}

/// A whole number.
pub(super) fn integer(least: i64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

/// Any number.
pub(super) fn number(least: f64, most: f64) -> Value {
    json!({ "type": "number", "minimum": least, "maximum": most })
}

/// One of a closed set of words.
pub(super) fn choice<'w>(words: impl IntoIterator<Item = &'w str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

/// A list of at most so many.
pub(super) fn list(items: &Value, most: usize) -> Value {
    json!({ "type": "array", "items": items, "maxItems": most })
}

/// An object with any names.
pub(super) fn entries(values: &Value, most: usize) -> Value {
    json!({ "type": "object", "additionalProperties": values, "maxProperties": most })
}

/// An id.
pub(super) fn id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

/// The name of a secret.
pub(super) fn secret_ref() -> Value {
    about(text(1, 128), "The name of a secret of this tenant.")
}

/// `schema` and what it is for.
pub(super) fn about(schema: Value, description: &str) -> Value {
    with(schema, "description", description)
}

/// `schema` and what stands in its place if it is left out.
pub(super) fn or(schema: Value, default: impl Into<Value>) -> Value {
    with(schema, "default", default)
}

fn with(mut schema: Value, key: &str, value: impl Into<Value>) -> Value {
    schema[key] = value.into();
    schema
}

/// An object with these fields and no others. Those that are not `required` may be `null`, which is
/// the same as leaving them out.
pub(super) fn object<const N: usize>(required: &[&str], fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().map(|(name, schema)| {
        let schema = if required.contains(&name) { schema } else { nullable(schema) };
        (name.to_owned(), schema)
    });
    json!({
        "type": "object",
        "properties": fields.collect::<Map<_, _>>(),
        "required": required,
        "additionalProperties": false,
    })
}

/// The same, or `null`.
pub(super) fn nullable(mut schema: Value) -> Value {
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    match schema.get("type") {
        Some(Value::String(kind)) => {
            let kinds = json!([kind, "null"]);
            with(schema, "type", kinds)
        }
        Some(_) => schema,
        None => {
            let described = schema.as_object_mut().and_then(|it| it.remove("description"));
            let nullable = json!({ "anyOf": [schema, { "type": "null" }] });
            match described {
                Some(description) => with(nullable, "description", description),
                None => nullable,
            }
        }
    }
}

/// The schema of a PATCH: `fields` of a POST, none of which is required. Of those, only what may be
/// taken away may be `null`.
pub(super) fn patch(post: &Value, kept: &[&str], fields: &[&str]) -> Value {
    let change = |name: &&str| {
        let schema = post["properties"][name].clone();
        let schema = if kept.contains(name) { schema } else { nullable(schema) };
        ((*name).to_owned(), schema)
    };
    json!({
        "type": "object",
        "properties": fields.iter().map(change).collect::<Map<_, _>>(),
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use recado_types::shape::judge_name;

    use super::*;

    #[test]
    fn a_name_is_judged_as_its_pattern_says() {
        let schema = jsonschema::validator_for(&name(255)).unwrap();
        // All of the Basic Multilingual Plane, and one beyond it.
        for char in ('\u{1}'..='\u{ffff}').chain(['👋']) {
            for text in [char.to_string(), format!(" {char}"), format!("{char}\u{200d}a")] {
                let is_good = judge_name(&text).is_ok();
                assert_eq!(schema.is_valid(&Value::from(text)), is_good, "{:x}", u32::from(char));
            }
        }
    }
}
