//! `JSONPath` (RFC 9535): written by tenants, run against what strangers send.
//!
//! The crate `jsonpath-rust` parses. Its own evaluation has no limits: it collects every match
//! with the text of its path (a long key is copied once for each value below it), and compiles the
//! regular expressions of `match` and `search` once for each value. So [`search`] evaluates the same
//! syntax tree depth first, stops at the wanted number of matches, and spends a step for each value
//! it looks at. What is bounded:
//!
//! - the text ([`MAX_PATH`] bytes), its nesting ([`MAX_NESTING`] brackets, which also keeps the
//!   parser from trying the same text over and over) and its segments ([`MAX_SEGMENTS`]); within
//!   these, parsing and searching fit a stack of 1 MiB in debug builds;
//! - the work: after [`MAX_STEPS`] values, or 16 bytes of compared or copied text each, a search
//!   ends with what it has found. A payload of 1 MiB has at most a quarter of that many values, so
//!   only nested wildcards and filters get there;
//! - the depth: values nested more than [`MAX_DEPTH`] levels deep are not descended into; payloads
//!   read by `serde_json` never are.
//!
//! Functions other than `length`, `count` and `value` are refused.

mod check;
mod filter;
mod search;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jsonpath_rust::parser::errors::JsonPathError as SyntaxError;
use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use serde_json::Value;

use self::search::Search;

/// The longest path, in bytes.
pub const MAX_PATH: usize = 512;
/// The most brackets inside each other.
pub const MAX_NESTING: usize = 8;
/// The most segments (`.name`, `[0]`, `..name`) in a row.
pub const MAX_SEGMENTS: usize = 32;
/// The most matches that [`JsonPath::find`] collects.
pub const MAX_MATCHES: usize = 100;
/// The most steps of one search.
pub const MAX_STEPS: usize = 2_097_152;
/// The deepest value that `..` reaches.
pub const MAX_DEPTH: usize = 128;

/// A path that parsed and is safe to search with. Cheap to clone; equal if its text is.
#[derive(Clone)]
pub struct JsonPath {
    text: Arc<str>,
    query: Arc<JpQuery>,
}

/// Why a path is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JsonPathError {
    /// Over [`MAX_PATH`].
    #[error("shorten the JSONPath: it may have {MAX_PATH} bytes")]
    TooLong,
    /// Over [`MAX_NESTING`] or [`MAX_SEGMENTS`].
    #[error(
        "simplify the JSONPath: it may nest {MAX_NESTING} brackets and chain {MAX_SEGMENTS} segments"
    )]
    TooComplex,
    /// Not a `JSONPath`.
    #[error("write a JSONPath (RFC 9535), for example `$.user.id`")]
    Syntax(#[source] Box<SyntaxError>),
    /// A function that is not offered.
    #[error("use only the functions `length`, `count` and `value` in the JSONPath")]
    Function,
    /// `[?length(@.a)]`: a function's value where a condition belongs.
    #[error("compare what the JSONPath's function returns, for example `[?length(@.items) > 0]`")]
    Uncompared,
}

impl JsonPath {
    /// Parses `text`; the same as [`str::parse`].
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        if text.len() > MAX_PATH {
            return Err(JsonPathError::TooLong);
        }
        if check::nesting(text) > MAX_NESTING {
            return Err(JsonPathError::TooComplex);
        }
        let query = parse_json_path(text).map_err(|e| JsonPathError::Syntax(Box::new(e)))?;
        check::check(&query.segments)?;
        Ok(Self { text: text.into(), query: Arc::new(query) })
    }

    /// The first `limit` matches, in document order.
    pub fn find_all(&self, payload: &Value, limit: usize) -> Vec<Value> {
        Search::new(payload).copy_matches(&self.query.segments, limit)
    }

    /// The value of one match, a list of several (the first [`MAX_MATCHES`]), `None` of none.
    pub fn find(&self, payload: &Value) -> Option<Value> {
        let mut found = self.find_all(payload, MAX_MATCHES);
        if found.len() > 1 { Some(Value::Array(found)) } else { found.pop() }
    }

    /// Its text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for JsonPath {
    type Err = JsonPathError;

    fn from_str(text: &str) -> Result<Self, JsonPathError> {
        Self::parse(text)
    }
}

impl PartialEq for JsonPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for JsonPath {}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonPath").field(&self.text).finish()
    }
}
