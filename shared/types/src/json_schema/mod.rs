//! JSON Schema (draft 2020-12 or draft-07): written by tenants, checked against what strangers and
//! models send.
//!
//! A schema is compiled when it is saved and when it is loaded, never for a request, and refers to
//! nothing outside itself. What checking costs is bounded before it begins: [`cost`] weighs the
//! schema, and a value may be so large that weight and size together stay under [`MAX_STEPS`].
//! A step takes some nanoseconds, and the schemas and values that people write need a few
//! thousand. Formats are not asserted. Patterns are linear: they have no look-around.

mod cost;

use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use self::cost::Cost;
pub(crate) use self::cost::depth_of;

/// The largest schema, in bytes of JSON.
const MAX_SCHEMA: usize = 64 * 1024;
/// The most steps of checking one value: a tenth of a second at worst, patterns aside.
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
/// The most calls within each other, as levels of the value times levels of the schema.
const MAX_CALLS: usize = 512;
/// The most of a reason and of a path that is shown, in characters.
pub(crate) const MAX_SHOWN: usize = 256;

/// A schema, compiled; cheap to clone, equal if its text is.
#[derive(Clone)]
pub(crate) struct Schema {
    text: Arc<Value>,
    validator: Arc<Validator>,
    cost: Cost,
}

/// One place where a value does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Names and, in lists, numbers from 0, separated by dots; empty for the value itself.
    pub(crate) path: String,
    /// What the schema wants there; nothing of the value.
    pub(crate) reason: String,
}

/// Why a value is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoFit {
    /// It is too large for what its schema costs.
    TooLarge,
    /// It is nested too deeply for what its schema costs.
    TooDeep,
    /// It does not fit, and finding out where would take too long.
    Somewhere,
    /// Where it does not fit.
    At(Vec<Misfit>),
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

impl Schema {
    /// Compiles `schema`.
    pub(crate) fn compile(schema: &Value) -> Result<Self, SchemaError> {
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

    /// Its text, as it was given.
    pub(crate) fn as_value(&self) -> &Value {
        &self.text
    }

    /// The steps that checking takes for each unit of a value.
    #[cfg(test)]
    pub(crate) fn weight(&self) -> u64 {
        self.cost.weight
    }

    /// Whether `value` fits; the first `most` places where it does not.
    pub(crate) fn check(&self, value: &Value, most: usize) -> Result<(), NoFit> {
        let steps = self.cost.weight.saturating_mul(cost::size_of(value));
        if steps > MAX_STEPS {
            return Err(NoFit::TooLarge);
        }
        if self.cost.levels.saturating_mul(depth_of(value)) > MAX_CALLS {
            return Err(NoFit::TooDeep);
        }
        if self.validator.is_valid(value) {
            return Ok(());
        }
        if steps > MAX_EXPLAINED {
            return Err(NoFit::Somewhere);
        }
        Err(NoFit::At(self.validator.iter_errors(value).take(most).map(|e| explain(&e)).collect()))
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.text).finish()
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
    Misfit { path: shortened(&steps.join(".")), reason: shortened(&error.masked().to_string()) }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}
