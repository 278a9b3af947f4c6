//! `JSONPath` (RFC 9535): written by tenants, run against what strangers send.
//!
//! The crate `jsonpath-rust` parses. Its own evaluation has no limits: it collects every match
//! with the text of its path (a long key is copied once for each value below it), and compiles the
//! regular expressions of `match` and `search` once for each value. So `search` evaluates the same
//! syntax tree depth first, stops at the wanted number of matches, and spends a step for each value
//! it looks at. What is bounded:
//!
//! - the text ([`MAX_PATH`] bytes), its nesting ([`MAX_NESTING`] brackets, which also keeps the
//!   parser from trying the same text over and over) and its segments ([`MAX_SEGMENTS`]); within
//!   these, parsing and searching fit a stack of 1 MiB in debug builds;
//! - the work: all searches of one [`Subject`] share [`MIN_STEPS`] and [`STEPS_PER_VALUE`] for
//!   each of its values, at most [`MAX_STEPS`]. A step looks at a value or at 16 bytes of text;
//!   copying a value takes eight. `$..name` takes two or three for each value, so one payload of
//!   1 MiB has steps for at least one such path however it is made, and for dozens when it is
//!   ordinary. A search that runs out of them fails, since part of a result looks like all of it;
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
use crate::work::{Work, size_of};

/// The longest path, in bytes.
pub const MAX_PATH: usize = 512;
/// The most brackets inside each other.
pub const MAX_NESTING: usize = 8;
/// The most segments (`.name`, `[0]`, `..name`) in a row.
pub const MAX_SEGMENTS: usize = 32;
/// The most matches that [`JsonPath::find`] collects.
pub const MAX_MATCHES: usize = 100;
/// The steps that the searches of any payload may take together.
pub const MIN_STEPS: usize = 262_144;
/// The steps that each value of a payload, or 16 bytes of its text, adds to them.
pub const STEPS_PER_VALUE: usize = 64;
/// The most steps of all searches of one payload. They were measured to take 0.35 s at most in a
/// debug build, of which a release build takes around a quarter.
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

/// Why a search has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// Over what the payload's size allows, [`MAX_STEPS`] at most.
    #[error(
        "takes too many steps on this payload, together with the paths before it: \
         narrow it down, with names instead of `..` and `*` for example"
    )]
    TooMuchWork,
}

/// A payload that paths are searched in, with the steps that are left for that.
pub struct Subject<'v> {
    payload: &'v Value,
    work: Work,
}

impl<'v> Subject<'v> {
    /// `payload`, with all of its steps.
    pub fn new(payload: &'v Value) -> Self {
        let steps = size_of(payload).saturating_mul(STEPS_PER_VALUE).saturating_add(MIN_STEPS);
        Self { payload, work: Work::new(steps.min(MAX_STEPS)) }
    }
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
    pub fn find_all(
        &self,
        subject: &mut Subject<'_>,
        limit: usize,
    ) -> Result<Vec<Value>, SearchError> {
        Search::new(subject.payload, &mut subject.work).copy_matches(&self.query.segments, limit)
    }

    /// All matches, in place.
    pub fn locate<'v>(&self, subject: &mut Subject<'v>) -> Result<Vec<&'v Value>, SearchError> {
        Search::new(subject.payload, &mut subject.work).matches(&self.query.segments, usize::MAX)
    }

    /// The value of one match, a list of several (the first [`MAX_MATCHES`]), `None` of none.
    pub fn find(&self, subject: &mut Subject<'_>) -> Result<Option<Value>, SearchError> {
        let mut found = self.find_all(subject, MAX_MATCHES)?;
        Ok(if found.len() > 1 { Some(Value::Array(found)) } else { found.pop() })
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
