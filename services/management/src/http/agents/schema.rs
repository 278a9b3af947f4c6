//! What bodies about agents look like. `recado_types::agent` reads them; a test compares the two.

use std::borrow::Cow;

use recado_types::agent::{ContextWindowPolicy, Limits, MAX_TOOLS, MAX_VARIATIONS};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::draft::{MAX_EXTERNAL_ID, MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_LABELS, MAX_NAME};
use crate::http::schema::{
    about, choice, entries, id, integer, list, name, number, object, or, patch, text,
};

/// All that an agent is besides name, project, external id and labels: as its answers show it.
pub(super) struct SpecShown;

impl JsonSchema for SpecShown {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AgentSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let fields = spec();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let properties: Map<String, Value> =
            fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": names });
        schema.try_into().expect("it is an object")
    }
}

pub(super) fn new_agent() -> Value {
    let mut labels = entries(&text(0, MAX_LABEL_VALUE), MAX_LABELS);
    labels["propertyNames"] = text(1, MAX_LABEL_KEY);
    let external_id = "What another system calls it; unique among the tenant's agents.";
    let mut schema = object(
        &["name"],
        [
            ("name", name(MAX_NAME)),
            ("project_id", about(id(), "The tenant's oldest project without it.")),
            ("external_id", about(text(1, MAX_EXTERNAL_ID), external_id)),
            ("labels", labels),
        ],
    );
    let of_spec = object(&["model", "system_prompt"], spec());
    let properties = schema["properties"].as_object_mut().expect("it was made so");
    properties.extend(of_spec["properties"].as_object().cloned().unwrap_or_default());
    schema["required"] = json!(["name", "model", "system_prompt"]);
    schema
}

pub(super) fn new_agent_example() -> Value {
    json!({
        "name": "Support",
        "model": "openai.gpt-4.1",
        "system_prompt": "You answer questions about orders. Be brief. Today is {{today}}.",
        "sampling": { "temperature": 0.3 },
        "limits": { "max_iterations": 8 },
        "labels": { "team": "support" },
    })
}

pub(super) fn agent_patch() -> Value {
    let mut post = new_agent();
    // `null` takes one label away.
    post["properties"]["labels"]["additionalProperties"]["type"] = json!(["string", "null"]);
    let names: Vec<&str> = post["properties"]
        .as_object()
        .into_iter()
        .flat_map(|properties| properties.keys().map(String::as_str))
        .collect();
    patch(&post, &["name", "model", "system_prompt"], &names)
}

pub(super) fn agent_patch_example() -> Value {
    json!({ "system_prompt": "You answer questions about orders.", "labels": { "stage": null } })
}

fn spec() -> [(&'static str, Value); 10] {
    let weight = "How often a session gets none of the variations, in relation to their weights.";
    [
        ("description", about(text(0, 2_000), "For people, and for agents that may ask this one.")),
        ("model", model()),
        ("system_prompt", prompt()),
        ("sampling", sampling()),
        ("limits", limits()),
        ("context_window", context_window()),
        ("tools", tools()),
        ("approval", object(&[], [("expires_after_ms", integer(1_000, 2_592_000_000))])),
        ("variations", list(&variation(), MAX_VARIATIONS)),
        ("default_weight", about(or(integer(0, 1_000), 1), weight)),
    ]
}

fn model() -> Value {
    let mut model = text(3, 4_096);
    model["pattern"] = "^[^.]+\\..+$".into();
    about(model, "`<provider>.<model>`; `builtin.echo` repeats what it is told.")
}

fn prompt() -> Value {
    about(text(0, 100_000), "May have placeholders for visible fields of the context.")
}

fn sampling() -> Value {
    object(
        &[],
        [
            ("temperature", number(0.0, 2.0)),
            ("top_p", number(0.0, 1.0)),
            ("max_output_tokens", integer(1, 1_000_000)),
            ("stop", list(&text(1, 256), 4)),
            ("seed", integer(i64::MIN, i64::MAX.unsigned_abs())),
            ("frequency_penalty", number(-2.0, 2.0)),
            ("presence_penalty", number(-2.0, 2.0)),
        ],
    )
}

fn limits() -> Value {
    let default = Limits::default();
    object(
        &[],
        [
            ("max_iterations", or(integer(1, 100), default.max_iterations)),
            ("max_tool_calls", or(integer(0, 1_000), default.max_tool_calls)),
            ("max_tokens", integer(1, i64::MAX.unsigned_abs())),
            ("max_cost_usd", number(0.0, 1_000_000.0)),
            ("max_tool_output_bytes", or(integer(256, 1_048_576), default.max_tool_output_bytes)),
        ],
    )
}

fn context_window() -> Value {
    let default = ContextWindowPolicy::default();
    object(
        &[],
        [
            ("max_tokens", or(integer(1_000, 2_000_000), default.max_tokens)),
            ("keep_turns", or(integer(0, 100), default.keep_turns)),
        ],
    )
}

fn tools() -> Value {
    let when = object(&["when"], [("when", about(text(1, 4_096), "A JMESPath expression."))]);
    let approval = json!({ "anyOf": [choice(["never", "always"]), when] });
    let approval = about(approval, "Whether a person has to agree to a call.");
    let with_rule = object(&["tool"], [("tool", id()), ("approval", approval)]);
    list(&json!({ "anyOf": [id(), with_rule] }), MAX_TOOLS)
}

fn variation() -> Value {
    object(
        &["name"],
        [
            ("name", about(text(1, 64), "Unique in the agent, and not `default`.")),
            ("weight", or(integer(0, 1_000), 1)),
            ("model", model()),
            ("system_prompt", prompt()),
            ("sampling", sampling()),
            ("tools", tools()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::super::draft::Reading;
    use super::*;

    fn takes(path: &[&str], value: &Value) -> bool {
        let nested = path.iter().rev().fold(value.clone(), |inner, name| json!({ *name: inner }));
        let mut body = json!({ "name": "a", "model": "builtin.echo", "system_prompt": "" });
        let fields = nested.as_object().cloned().unwrap_or_default();
        body.as_object_mut().unwrap().extend(fields);
        Reading::of_new(&body).is_ok()
    }

    /// Every limit of a number or a text, with what is just within it and what is just beyond.
    fn edges(schema: &Value) -> Vec<(Value, bool)> {
        let mut edges = Vec::new();
        let whole =
            schema["type"].as_array().is_some_and(|types| types.contains(&"integer".into()));
        for (key, beyond) in [("minimum", -1_i32), ("maximum", 1)] {
            match &schema[key] {
                Value::Null => {}
                limit if whole => {
                    edges.push((limit.clone(), true));
                    let next = limit.as_i64().and_then(|it| it.checked_add(beyond.into()));
                    edges.extend(next.map(|next| (json!(next), false)));
                }
                limit => {
                    edges.push((limit.clone(), true));
                    edges.push((json!(limit.as_f64().unwrap() + f64::from(beyond)), false));
                }
            }
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|_| schema["pattern"].is_null()) {
            let most = usize::try_from(most).unwrap();
            edges.push((json!("x".repeat(most)), true));
            edges.push((json!("x".repeat(most + 1)), false));
        }
        edges
    }

    #[test]
    fn the_schema_says_what_the_reader_takes() {
        let schema = new_agent();
        let mut n_edges = 0;
        let mut pending: Vec<(Vec<String>, Value)> = vec![(Vec::new(), schema)];
        while let Some((path, schema)) = pending.pop() {
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            for (value, is_fine) in edges(&schema) {
                assert_eq!(takes(&names, &value), is_fine, "{names:?} {}", value.to_string().len());
                n_edges += 1;
            }
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(takes(&[&names[..], &[name]].concat(), &Value::Null) || path.is_empty());
                pending.push(([path.clone(), vec![name.clone()]].concat(), property.clone()));
            }
        }
        assert!(n_edges > 40, "{n_edges}");
    }

    #[test]
    fn the_examples_are_read() {
        assert!(Reading::of_new(&new_agent_example()).is_ok());
    }
}
