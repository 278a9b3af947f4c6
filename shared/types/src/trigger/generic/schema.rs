//! `inputSchema`: what a payload has to look like.

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use crate::json_schema::SchemaError;
use crate::json_schema::{NoFit, Schema};
use crate::shape::ObjectReader;

/// A schema of payloads, compiled; cheap to clone, equal if its text is.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSchema(Schema);

/// Where a payload does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {reason}")]
pub struct Misfit {
    /// Names and, in lists, numbers from 0, separated by dots; `body` for all of it.
    pub path: String,
    /// What the schema wants there; no values of the payload.
    pub reason: String,
}

impl InputSchema {
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        const KEY: &str = "inputSchema";
        let schema = fields.any(KEY)?;
        if !schema.is_object() {
            fields.refuse(KEY, "must be a JSON Schema, which is an object");
            return None;
        }
        fields.accept(KEY, Self::compile(schema))
    }

    /// Compiles `schema`.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        Schema::compile(schema).map(Self)
    }

    /// Whether `payload` fits; the first place where it does not.
    pub fn check(&self, payload: &Value) -> Result<(), Misfit> {
        let Err(no_fit) = self.0.check(payload, 1) else { return Ok(()) };
        let of_body = |reason: &str| Misfit { path: "body".into(), reason: reason.into() };
        Err(match no_fit {
            NoFit::TooLarge => {
                of_body("is too large to be checked with the trigger's `inputSchema`")
            }
            NoFit::TooDeep => of_body("is nested too deeply for the trigger's `inputSchema`"),
            NoFit::Somewhere => of_body("does not fit the trigger's `inputSchema`"),
            NoFit::At(misfits) => match misfits.into_iter().next() {
                None => of_body("does not fit the trigger's `inputSchema`"),
                Some(found) => Misfit {
                    path: if found.path.is_empty() { "body".into() } else { found.path },
                    reason: format!("does not fit the trigger's `inputSchema`: {}", found.reason),
                },
            },
        })
    }
}
