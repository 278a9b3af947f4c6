//! What the document says once and refers to: schemas, errors, parameters and headers.

use std::collections::BTreeMap;
use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::{headers, parameters};

/// Where references to schemas point.
const SCHEMAS: &str = "#/components/schemas/";

/// What was referred to so far.
pub(super) struct Components {
    generator: SchemaGenerator,
    /// Those that the generator does not know.
    schemas: BTreeMap<String, Value>,
    responses: BTreeMap<String, Value>,
}

impl Default for Components {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            generator: settings.into_generator(),
            schemas: BTreeMap::new(),
            responses: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Components").finish_non_exhaustive()
    }
}

impl Components {
    /// The schema of an answer.
    pub(super) fn answer(&mut self, schema: fn(&mut SchemaGenerator) -> Schema) -> Value {
        schema(&mut self.generator).to_value()
    }

    /// A schema under a name. Its own definitions become schemas beside it.
    pub(super) fn schema(&mut self, name: &str, mut schema: Value) -> Value {
        if let Some(Value::Object(own)) = schema.as_object_mut().and_then(|it| it.remove("$defs")) {
            for (name, definition) in own {
                self.schema(&name, definition);
            }
        }
        lift_references(&mut schema);
        let mut free = name.to_owned();
        let mut n_taken = 1;
        // A test tells if a name is ever taken twice.
        while self.schemas.get(&free).is_some_and(|other| *other != schema) {
            n_taken += 1;
            free = format!("{name}{n_taken}");
        }
        let reference = json!({ "$ref": format!("{SCHEMAS}{free}") });
        self.schemas.insert(free, schema);
        reference
    }

    /// A response that many operations have.
    pub(super) fn response(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.responses.contains_key(name) {
            let response = make(self);
            self.responses.insert(name.to_owned(), response);
        }
        json!({ "$ref": format!("#/components/responses/{name}") })
    }

    pub(super) fn into_value(mut self) -> Value {
        for (name, schema) in self.generator.take_definitions(true) {
            self.schema(&name, schema);
        }
        json!({
            "schemas": self.schemas,
            "responses": self.responses,
            "parameters": parameters::shared(),
            "headers": headers::shared(),
            "securitySchemes": super::about::security_schemes(),
        })
    }
}

/// What pointed to a schema's own definitions points to those of the document.
fn lift_references(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some(name) = target.strip_prefix("#/$defs/")
            {
                *target = format!("{SCHEMAS}{name}");
            }
            fields.values_mut().for_each(lift_references);
        }
        Value::Array(items) => items.iter_mut().for_each(lift_references),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_definitions_become_components() {
        let mut components = Components::default();
        let schema = json!({
            "properties": { "list": { "items": { "$ref": "#/$defs/Item" } } },
            "$defs": { "Item": { "type": "string" } },
        });
        let reference = components.schema("Thing", schema.clone());
        assert_eq!(reference, json!({ "$ref": "#/components/schemas/Thing" }));
        assert_eq!(components.schema("Thing", schema), reference);
        let other = components.schema("Thing", json!({ "type": "integer" }));
        assert_eq!(other, json!({ "$ref": "#/components/schemas/Thing2" }));
        let all = components.into_value();
        assert_eq!(all["schemas"]["Item"], json!({ "type": "string" }));
        let item = &all["schemas"]["Thing"]["properties"]["list"]["items"]["$ref"];
        assert_eq!(item, "#/components/schemas/Item");
    }
}
