//! What a tool is called with.

use serde_json::{Value, json};

use crate::json_schema::{NoFit, Schema, SchemaError};

/// The most mistakes that a model is told of at once.
const MAX_MISTAKES: usize = 16;
/// Keywords that apply other schemas to the arguments, which may name further ones.
const APPLICATORS: [&str; 10] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
];

/// A JSON Schema of a tool's arguments, compiled; cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSchema(Schema);

/// Why a schema of parameters is refused.
#[derive(Debug, thiserror::Error)]
pub enum ParameterSchemaError {
    /// Not a schema, or none that is safe to check with.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Arguments have names.
    #[error("must have `\"type\": \"object\"`: arguments have names")]
    NoObject,
}

impl ParameterSchema {
    /// Compiles `schema`: at most 64 KiB, `type: object`, without references to anything outside.
    pub fn compile(schema: &Value) -> Result<Self, ParameterSchemaError> {
        if schema.get("type") != Some(&json!("object")) {
            return Err(ParameterSchemaError::NoObject);
        }
        Ok(Self(Schema::compile(schema)?))
    }

    /// The schema.
    pub fn as_value(&self) -> &Value {
        self.0.as_value()
    }

    /// Whether it names a parameter.
    pub fn has(&self, name: &str) -> bool {
        self.as_value().get("properties").is_some_and(|properties| properties.get(name).is_some())
    }

    /// Whether `arguments` fit; what does not, up to 16 mistakes, in words that a model can use:
    /// paths and what is wanted there, and no values.
    pub fn check(&self, arguments: &Value) -> Result<(), Vec<String>> {
        let one = |text: &str| vec![text.to_owned()];
        self.0.check(arguments, MAX_MISTAKES).map_err(|no_fit| match no_fit {
            NoFit::TooLarge => one("the arguments are too large to be checked"),
            NoFit::TooDeep => one("the arguments are nested too deeply"),
            NoFit::Somewhere => one("the arguments do not fit the schema of the parameters"),
            NoFit::At(misfits) => misfits
                .into_iter()
                .map(|misfit| match misfit.path.as_str() {
                    "" => format!("the arguments: {}", misfit.reason),
                    path => format!("`{path}`: {}", misfit.reason),
                })
                .collect(),
        })
    }
}

/// `schema` that takes no arguments but those it names, unless it says something else about them: a
/// model that makes up a parameter must not get it into a request. `also` are names that are taken
/// besides.
pub(super) fn closed<'n>(schema: &Value, also: impl Iterator<Item = &'n str>) -> Value {
    let mut closed = schema.clone();
    let Some(keywords) = closed.as_object_mut() else { return closed };
    let says_more = |key: &str| keywords.contains_key(key);
    let is_open = says_more("additionalProperties") || says_more("patternProperties");
    if !is_open && says_more("properties") && !APPLICATORS.into_iter().any(says_more) {
        keywords.insert("additionalProperties".into(), Value::Bool(false));
    }
    if keywords.get("additionalProperties") == Some(&Value::Bool(false))
        && let Some(Value::Object(properties)) = keywords.get_mut("properties")
    {
        for name in also {
            properties.entry(name).or_insert(Value::Bool(true));
        }
    }
    closed
}
