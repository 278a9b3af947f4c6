//! An example for every answer that has none: made from its schema, the same each time.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// How deep an example goes; schemas may go around in circles.
const MAX_DEPTH: usize = 12;
/// How many items one has, if there have to be some.
const MAX_ITEMS: u64 = 20;
/// How deep `data`, an item of it, and what these refer to are.
const HINTED_DEPTH: usize = 4;

/// Adds what is missing.
pub(super) fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    let asked = what_is_asked_for(paths);
    for (path, item) in paths {
        let Some(item) = item.as_object_mut() else { continue };
        let is_above = |at: &str| path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'));
        let near = asked.iter().filter(|(at, _)| is_above(at) || *at == path);
        let hints = near.filter_map(|(_, example)| example.as_object()).flatten();
        let hints = hints.map(|(name, value)| (name.clone(), value.clone())).collect();
        let examples = Examples { schemas: &schemas, hints };
        item.values_mut().for_each(|operation| examples.complete(operation));
    }
}

/// The examples of what makes something, by path: what is told about it looks like that.
fn what_is_asked_for(paths: &Map<String, Value>) -> BTreeMap<String, Value> {
    let bodies = paths.iter().map(|(path, item)| (path, &item["post"]["requestBody"]["content"]));
    bodies
        .filter_map(|(path, content)| {
            let example = content["application/json"].get("example")?;
            Some((path.clone(), example.clone()))
        })
        .collect()
}

struct Examples<'a> {
    schemas: &'a Value,
    /// Values for fields of these names.
    hints: Map<String, Value>,
}

impl Examples<'_> {
    fn complete(&self, operation: &mut Value) {
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        let each = responses.into_iter().flat_map(Map::values_mut);
        let contents = each.filter_map(|response| response.get_mut("content")?.as_object_mut());
        for media in contents.flat_map(Map::values_mut) {
            let has_some = media.get("example").is_some() || media.get("examples").is_some();
            if let Some(schema) = media.get("schema").filter(|_| !has_some) {
                media["example"] = self.of(schema, 0);
            }
        }
    }

    fn of(&self, schema: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.of(&self.schemas[name], depth + 1);
        }
        given(schema)
            .or_else(|| self.of_one(schema, depth))
            .or_else(|| self.of_all(schema, depth))
            .unwrap_or_else(|| self.of_type(schema, depth))
    }

    /// The first choice that is something.
    fn of_one(&self, schema: &Value, depth: usize) -> Option<Value> {
        let choices = schema["anyOf"].as_array().or(schema["oneOf"].as_array())?;
        let chosen = choices.iter().find(|choice| choice["type"] != "null")?;
        let mut example = self.of(chosen, depth + 1);
        if schema.get("properties").is_some() {
            merge(&mut example, self.of_type(schema, depth));
        }
        Some(example)
    }

    fn of_all(&self, schema: &Value, depth: usize) -> Option<Value> {
        let parts = schema["allOf"].as_array()?;
        let mut example = json!({});
        for part in parts {
            merge(&mut example, self.of(part, depth + 1));
        }
        Some(example)
    }

    fn of_type(&self, schema: &Value, depth: usize) -> Value {
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null"),
            kind => Some(kind),
        };
        match kind.and_then(Value::as_str) {
            Some("string") => text(schema).into(),
            Some("integer") => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
            Some("number") => json!(0.5),
            Some("boolean") => true.into(),
            Some("null") => Value::Null,
            Some("array") => self.of_items(schema, depth),
            _ => self.of_properties(schema, depth),
        }
    }

    fn of_items(&self, schema: &Value, depth: usize) -> Value {
        let Some(items) = schema.get("items").filter(|_| depth < MAX_DEPTH) else {
            return json!([]);
        };
        let n_items = schema["minItems"].as_u64().unwrap_or(1).clamp(1, MAX_ITEMS);
        (0..n_items).map(|_| self.of(items, depth + 1)).collect()
    }

    fn of_properties(&self, schema: &Value, depth: usize) -> Value {
        let Some(properties) = schema["properties"].as_object() else { return json!({}) };
        let required = schema["required"].as_array();
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|it| it == name));
        let fields = properties.iter().filter_map(|(name, schema)| {
            let example = self.hint(name, schema, depth);
            let example = example.unwrap_or_else(|| self.of(schema, depth + 1));
            let is_told = is_required(name) || self.fits(schema, &example, 0);
            is_told.then(|| (name.clone(), example))
        });
        fields.collect()
    }

    /// A value for a field of the thing itself, or for one that has to look like something.
    fn hint(&self, name: &str, schema: &Value, depth: usize) -> Option<Value> {
        let is_near = depth > 0 && depth <= HINTED_DEPTH;
        let hint = self.hints.get(name).filter(|_| is_near || schema.get("pattern").is_some())?;
        self.fits(schema, hint, 0).then(|| hint.clone())
    }

    /// Whether an example has the form that a schema asks for, as far as examples go wrong here.
    fn fits(&self, schema: &Value, example: &Value, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            return true;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.fits(&self.schemas[name], example, depth + 1);
        }
        let list = |key: &str| schema[key].as_array().map(Vec::as_slice);
        let fits = |part: &Value| self.fits(part, example, depth + 1);
        let choices = ["anyOf", "oneOf"].into_iter().filter_map(list);
        let parts = list("allOf").unwrap_or_default();
        let is_listed = list("enum").is_none_or(|values| values.contains(example));
        let is_const = schema.get("const").is_none_or(|value| value == example);
        let mut wanted = list("required").unwrap_or_default().iter().filter_map(Value::as_str);
        let n_fields = schema["minProperties"].as_u64().unwrap_or(0);
        let is_whole = example.as_object().is_none_or(|fields| {
            wanted.all(|name| fields.contains_key(name))
                && fields.len() as u64 >= n_fields
                && fields.iter().all(|(name, field)| {
                    schema["properties"].get(name).is_none_or(|it| self.fits(it, field, depth + 1))
                })
        });
        let items = example.as_array().into_iter().flatten();
        let mut items = items.filter(|_| schema.get("items").is_some());
        has_type(schema, example)
            && (schema["format"] != "uuid" || is_uuid(example))
            && is_listed
            && is_const
            && is_whole
            && items.all(|item| self.fits(&schema["items"], item, depth + 1))
            && parts.iter().all(fits)
            && choices.into_iter().all(|choices| choices.iter().any(fits))
    }
}

fn is_uuid(example: &Value) -> bool {
    example.as_str().is_none_or(|text| Uuid::try_parse(text).is_ok())
}

fn has_type(schema: &Value, example: &Value) -> bool {
    let name = match example {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_of = |kind: &Value| kind == name || (kind == "number" && name == "integer");
    match schema.get("type") {
        None => true,
        Some(Value::Array(kinds)) => kinds.iter().any(is_of),
        Some(kind) => is_of(kind),
    }
}

/// What the schema itself names.
fn given(schema: &Value) -> Option<Value> {
    let named = ["example", "const", "default"].into_iter().find_map(|key| schema.get(key));
    let listed = ["examples", "enum"]
        .into_iter()
        .find_map(|key| schema[key].as_array()?.iter().find(|value| !value.is_null()));
    let listed = listed.filter(|_| schema.get("const").is_none());
    listed.or(named.filter(|value| !value.is_null())).cloned()
}

fn merge(example: &mut Value, other: Value) {
    if let (Value::Object(fields), Value::Object(others)) = (example, other) {
        fields.extend(others);
    }
}

fn text(schema: &Value) -> &'static str {
    match schema["format"].as_str() {
        Some("uuid") => "01932c07-a3f0-7000-8000-000000000000",
        Some("date-time") => "2026-01-31T12:00:00Z",
        Some("date") => "2026-01-31",
        Some("uri") => "https://example.com/",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_every_field_and_ends() {
        let schemas = json!({
            "Node": { "type": "object", "properties": {
                "id": { "type": "string", "format": "uuid" },
                "next": { "anyOf": [{ "$ref": "#/components/schemas/Node" }, { "type": "null" }] },
            } },
        });
        let hints =
            Map::from_iter([("name".to_owned(), json!("Sales")), ("code".to_owned(), json!("a1"))]);
        let examples = Examples { schemas: &schemas, hints };
        let schema = json!({ "type": "object", "properties": {
            "code": { "type": "string", "pattern": "^a" },
            "name": { "type": "string" },
            "kind": { "enum": ["a", "b"] },
            "at": { "type": ["string", "null"], "format": "date-time" },
            "n": { "type": "integer", "minimum": 3 },
            "optional": { "type": "object", "minProperties": 1 },
            "list": { "type": "array", "items": { "type": "boolean" } },
        } });
        assert_eq!(
            examples.of(&schema, 0),
            json!({ "code": "a1", "name": "text", "kind": "a", "at": "2026-01-31T12:00:00Z", "n": 3, "list": [true] })
        );
        let node = examples.of(&json!({ "$ref": "#/components/schemas/Node" }), 0);
        assert!(node["next"]["next"]["id"].is_string());
    }
}
