//! Dotted paths into JSON: `Body`, `user.id`, `items.0.text`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// The most characters and the most steps a path may have.
const MAX_LEN: usize = 512;
const MAX_STEPS: usize = 32;

/// A dotted path. A number is an index in an array and a key in an object; an object that has the
/// whole path as one key (forms do: `a.b=1`) is found too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    text: String,
    steps: Vec<String>,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldPathError {
    /// Nothing in it, or nothing between two dots.
    #[error("a path is made of names separated by single dots, for example `user.id`")]
    EmptyStep,
    /// Over 512 characters or 32 steps.
    #[error("a path has at most {MAX_LEN} characters and {MAX_STEPS} steps")]
    TooLong,
}

impl FromStr for FieldPath {
    type Err = FieldPathError;

    fn from_str(text: &str) -> Result<Self, FieldPathError> {
        let steps: Vec<String> = text.split('.').map(str::to_owned).collect();
        if text.len() > MAX_LEN || steps.len() > MAX_STEPS {
            return Err(FieldPathError::TooLong);
        }
        if steps.iter().any(String::is_empty) {
            return Err(FieldPathError::EmptyStep);
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FieldPath {
    /// What stands at the path, if anything does.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        if let Some(found) = value.as_object().and_then(|object| object.get(&self.text)) {
            return Some(found);
        }
        self.steps.iter().try_fold(value, |value, step| match value {
            Value::Object(object) => object.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// The text of a scalar; `None` for null, objects and arrays.
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(path: &str, value: &Value) -> Option<Value> {
        path.parse::<FieldPath>().unwrap().find(value).cloned()
    }

    #[test]
    fn steps_go_into_objects_and_arrays() {
        let value = json!({"a": {"b": [{"c": 7}]}, "x.y": "whole", "0": "key"});
        assert_eq!(find("a.b.0.c", &value), Some(json!(7)));
        assert_eq!(find("x.y", &value), Some(json!("whole")));
        assert_eq!(find("0", &value), Some(json!("key")));
        assert_eq!(find("a.b.1.c", &value), None);
        assert_eq!(find("a.b.c", &value), None);
    }

    #[test]
    fn empty_and_endless_paths_are_refused() {
        for bad in ["", ".", "a.", "a..b"] {
            assert_eq!(bad.parse::<FieldPath>(), Err(FieldPathError::EmptyStep), "{bad:?}");
        }
        assert_eq!("a.".repeat(400).parse::<FieldPath>(), Err(FieldPathError::TooLong));
    }
}
