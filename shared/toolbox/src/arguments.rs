//! What a model wrote as the arguments of a call, read.

use serde_json::{Map, Value};

/// The most that a model may write, in bytes; more than any of them writes by intention.
const MAX_ARGUMENTS: usize = 1 << 20;

/// Why arguments cannot be used. Said to the model; repeats nothing of what it wrote.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the arguments are longer than {MAX_ARGUMENTS} bytes")]
    TooLong,
    #[error("the arguments are not valid JSON: {0}")]
    NoJson(serde_json::Error),
    #[error("the arguments must be a JSON object, not {0}")]
    NoObject(&'static str),
}

/// The arguments as an object; no text is none. Characters U+0000, which nobody means and nobody
/// can store, are left out.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, Unreadable> {
    if text.len() > MAX_ARGUMENTS {
        return Err(Unreadable::TooLong);
    }
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text).map_err(Unreadable::NoJson)? {
        Value::Object(arguments) if text.contains("\\u0000") => Ok(without_nul(arguments)),
        Value::Object(arguments) => Ok(arguments),
        Value::Array(_) => Err(Unreadable::NoObject("a list")),
        Value::String(_) => Err(Unreadable::NoObject("a text")),
        Value::Number(_) => Err(Unreadable::NoObject("a number")),
        Value::Bool(_) => Err(Unreadable::NoObject("a boolean")),
        // Some models say so where there is nothing to say.
        Value::Null => Ok(Map::new()),
    }
}

fn without_nul(object: Map<String, Value>) -> Map<String, Value> {
    object.into_iter().map(|(key, value)| (key.replace('\0', ""), clean(value))).collect()
}

fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "")),
        Value::Array(items) => items.into_iter().map(clean).collect(),
        Value::Object(fields) => Value::Object(without_nul(fields)),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_written_is_no_arguments() {
        for text in ["", "  \n", "null", "{}"] {
            assert_eq!(read(text).unwrap(), Map::new(), "{text:?}");
        }
    }

    #[test]
    fn anything_but_an_object_is_refused_in_words() {
        let told = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(told("[1]"), "the arguments must be a JSON object, not a list");
        assert_eq!(told("\"{}\""), "the arguments must be a JSON object, not a text");
        assert!(told("{\"a\": ").starts_with("the arguments are not valid JSON: EOF"));
        assert!(told("{\"secret\": hunter2}").contains("line 1 column"));
        assert!(!told("{\"secret\": hunter2}").contains("hunter2"));
        assert!(told(&"[".repeat(10_000)).contains("recursion limit"));
        assert!(told(&" ".repeat(MAX_ARGUMENTS + 1)).contains("longer than"));
    }

    #[test]
    fn nul_is_left_out_of_names_and_values() {
        let read = read(r#"{"a\u0000b": ["x\u0000", {"\u0000": "\u0000"}]}"#).unwrap();
        assert_eq!(Value::Object(read), json!({"ab": ["x", {"": ""}]}));
    }
}
