//! `inputSchema`: what a payload has to look like, as JSON Schema (draft 2020-12 or draft-07).
//!
//! A schema is compiled when it is saved and when it is loaded, never for a request, and refers to
//! nothing outside itself. What checking costs is bounded before it begins: [`cost`] weighs the
//! schema, and a payload may be so large that weight and size together stay under [`MAX_STEPS`].
//! A step takes some nanoseconds, and the schemas and payloads that people write need a few
//! thousand. Formats are not asserted. Patterns are linear: they have no look-around.

mod cost;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use self::cost::Cost;
pub(super) use self::cost::depth_of;
use crate::shape::ObjectReader;

/// The largest schema, in bytes of JSON.
const MAX_SCHEMA: usize = 64 * 1024;
/// The most steps of checking one payload: a tenth of a second at worst, patterns aside.
const MAX_STEPS: u64 = 1 << 24;
/// The most steps for which the first mistake is looked for; above it, there just is one. Finding
/// it goes through all branches of an `anyOf` and remembers what it saw.
const MAX_EXPLAINED: u64 = 1 << 16;
/// The most memory of a compiled pattern, in bytes. The worst of that size takes around a
/// microsecond for a byte of text.
const MAX_PATTERN: usize = 16 * 1024;
/// The most patterns of a schema, names of `patternProperties` included. Compiling one takes around
/// a millisecond at worst, and its memory some times [`MAX_PATTERN`].
const MAX_PATTERNS: usize = 64;
/// The most calls within each other, as levels of the payload times levels of the schema.
const MAX_CALLS: usize = 512;
/// The most of a reason and of a path that is shown, in characters.
const MAX_SHOWN: usize = 256;

/// A schema, compiled; cheap to clone, equal if its text is.
#[derive(Clone)]
pub struct InputSchema {
    text: Arc<Value>,
    validator: Arc<Validator>,
    cost: Cost,
}

/// Where a payload does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {reason}")]
pub struct Misfit {
    /// Names and, in lists, numbers from 0, separated by dots; `body` for all of it.
    pub path: String,
    /// What the schema wants there; no values of the payload.
    pub reason: String,
}

/// Why a schema is refused.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Over 64 KiB.
    #[error("is larger than {MAX_SCHEMA} bytes")]
    TooLarge,
    /// A `$schema` that is not known.
    #[error(
        "has a `$schema` that is neither `https://json-schema.org/draft/2020-12/schema` \
         nor `http://json-schema.org/draft-07/schema#`"
    )]
    Dialect,
    /// A keyword whose cost nobody can tell.
    #[error("must do without `{keyword}`: what it costs is up to the payload")]
    Keyword {
        /// Which.
        keyword: &'static str,
    },
    /// A part that says it is a schema of its own, or might be taken for one.
    #[error("may have `$id` and `$schema` at the top only")]
    Embedded,
    /// A reference to something else than a part of the schema itself.
    #[error("refers to `{0}`: only parts of the schema itself can be used, as in `#/$defs/name`")]
    Reference(String),
    /// Over 64.
    #[error("has more than {MAX_PATTERNS} patterns in `pattern` and `patternProperties`")]
    TooManyPatterns,
    /// Too many references, or too long ones.
    #[error("nests or refers too deeply")]
    TooDeep,
    /// Over the weight that leaves room for payloads, or without any bound.
    #[error(
        "takes too long to check: let fewer of `allOf`, `anyOf`, `oneOf`, `$ref` and \
         `patternProperties` look at the same part of a payload, above all where it refers to itself, \
         and let nothing within `uniqueItems` do so"
    )]
    TooCostly,
    /// Not a schema.
    #[error("is not a JSON Schema: at `{path}`, {reason}")]
    Invalid {
        /// A JSON Pointer into the schema.
        path: String,
        /// What is wrong.
        reason: String,
    },
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
        if schema.to_string().len() > MAX_SCHEMA {
            return Err(SchemaError::TooLarge);
        }
        let draft = draft_of(schema)?;
        let anonymous = without_id(schema);
        let cost = cost::of(&anonymous)?;
        let patterns =
            PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN * 4);
        let validator = jsonschema::options()
            .with_draft(draft)
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(patterns)
            .build(&anonymous);
        let validator = validator.map_err(|error| SchemaError::Invalid {
            path: shortened(error.instance_path().as_str()),
            reason: shortened(&error.to_string()),
        })?;
        Ok(Self { text: Arc::new(schema.clone()), validator: Arc::new(validator), cost })
    }

    /// Whether `payload` fits; the first place where it does not.
    pub fn check(&self, payload: &Value) -> Result<(), Misfit> {
        let misfit = |reason: &str| Misfit { path: "body".into(), reason: reason.into() };
        let (size, depth) = (cost::size_of(payload), depth_of(payload));
        let steps = self.cost.weight.saturating_mul(size);
        if steps > MAX_STEPS {
            return Err(misfit("is too large to be checked with the trigger's `inputSchema`"));
        }
        if self.cost.levels.saturating_mul(depth) > MAX_CALLS {
            return Err(misfit("is nested too deeply for the trigger's `inputSchema`"));
        }
        if self.validator.is_valid(payload) {
            return Ok(());
        }
        if steps > MAX_EXPLAINED {
            return Err(misfit("does not fit the trigger's `inputSchema`"));
        }
        self.validator.validate(payload).map_err(|error| explain(&error))
    }
}

impl PartialEq for InputSchema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for InputSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InputSchema").field(&self.text).finish()
    }
}

/// `schema` without a name for others to refer to it by. The validator knows some names already,
/// those of the dialects, and would follow `#` into whatever goes by the same one.
fn without_id(schema: &Value) -> Value {
    let mut anonymous = schema.clone();
    if let Some(keywords) = anonymous.as_object_mut() {
        keywords.remove("$id");
    }
    anonymous
}

fn draft_of(schema: &Value) -> Result<Draft, SchemaError> {
    let Some(named) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    match named.as_str().map(|uri| uri.strip_suffix('#').unwrap_or(uri)) {
        Some("https://json-schema.org/draft/2020-12/schema") => Ok(Draft::Draft202012),
        Some("http://json-schema.org/draft-07/schema") => Ok(Draft::Draft7),
        _ => Err(SchemaError::Dialect),
    }
}

fn explain(error: &ValidationError<'_>) -> Misfit {
    let steps: Vec<String> =
        error.instance_path().segments().map(|segment| segment.to_string()).collect();
    let path = if steps.is_empty() { "body".to_owned() } else { shortened(&steps.join(".")) };
    let reason = shortened(&error.masked().to_string());
    Misfit { path, reason: format!("does not fit the trigger's `inputSchema`: {reason}") }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}
