//! Paths into JSON: `Body`, `user.id`, `items[0].text`, `items.0.text`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// The most bytes and the most steps a path may have.
const MAX_LEN: usize = 512;
const MAX_STEPS: usize = 32;

/// A path of names separated by dots, with indices after a dot or in brackets: `items.0.text` is
/// `items[0].text`. An index counts in an array from 0 and is a key in an object. Where the steps
/// lead nowhere, an object that has the whole path as one key (forms do: `a.b=1`) is found too:
/// only then, or else a stranger's key could hide the field that was meant. Brackets around
/// anything but a number belong to the name, as in the forms' `data[email]`. `$.` in front of it is
/// what a `JSONPath` begins with, and means the payload itself.
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
    /// A bracket without its other half, a negative or quoted index, or text after an index.
    #[error(
        "an index is a whole number from 0 in brackets, followed by a dot, another index or \
         nothing, for example `items[0].text`"
    )]
    BadIndex,
    /// Over 512 bytes or 32 steps.
    #[error("a path has at most {MAX_LEN} bytes and {MAX_STEPS} steps")]
    TooLong,
}

impl FromStr for FieldPath {
    type Err = FieldPathError;

    fn from_str(text: &str) -> Result<Self, FieldPathError> {
        if text.len() > MAX_LEN {
            return Err(FieldPathError::TooLong);
        }
        let mut steps = Vec::new();
        let below =
            text.strip_prefix("$.").or(text.strip_prefix('$').filter(|it| it.starts_with('[')));
        for (position, part) in below.unwrap_or(text).split('.').enumerate() {
            add_steps(part, position == 0, &mut steps)?;
        }
        if steps.len() > MAX_STEPS {
            return Err(FieldPathError::TooLong);
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

/// Adds what stands between two dots: a name, and the indices in brackets after it. The path as a
/// whole may begin with an index, since a payload may be an array.
fn add_steps(part: &str, first: bool, steps: &mut Vec<String>) -> Result<(), FieldPathError> {
    let (name, brackets) = part.split_at(part.find('[').unwrap_or(part.len()));
    if name.is_empty() && (brackets.is_empty() || !first) {
        return Err(FieldPathError::EmptyStep);
    }
    if name.contains(']') {
        return Err(FieldPathError::BadIndex);
    }
    let contents = bracket_contents(brackets).ok_or(FieldPathError::BadIndex)?;
    if contents.iter().any(|content| content.starts_with(['-', '"', '\''])) {
        return Err(FieldPathError::BadIndex);
    }
    let is_index =
        |content: &&str| !content.is_empty() && content.bytes().all(|byte| byte.is_ascii_digit());
    if contents.iter().all(is_index) {
        let name = (!name.is_empty()).then_some(name);
        steps.extend(name.into_iter().chain(contents).map(str::to_owned));
    } else {
        steps.push(part.to_owned());
    }
    Ok(())
}

/// What is in each of `[…][…]`, if that is all there is.
fn bracket_contents(mut brackets: &str) -> Option<Vec<&str>> {
    let mut contents = Vec::new();
    while !brackets.is_empty() {
        let (content, rest) = brackets.strip_prefix('[')?.split_once(']')?;
        if content.contains('[') {
            return None;
        }
        contents.push(content);
        brackets = rest;
    }
    Some(contents)
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FieldPath {
    /// Its names and indices, one after the other.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(String::as_str)
    }

    /// What stands at the path, if anything does.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let stepped = self.steps.iter().try_fold(value, |value, step| match value {
            Value::Object(object) => object.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        });
        stepped.or_else(|| value.as_object()?.get(&self.text))
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
    use proptest::prelude::*;
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
    fn what_a_json_path_begins_with_is_the_payload() {
        let value = json!({"id": 7, "items": [{"text": "x"}], "$type": "order", "$": {"id": 8}});
        assert_eq!(find("$.id", &value), Some(json!(7)));
        assert_eq!(find("$.items[0].text", &value), Some(json!("x")));
        assert_eq!(find("$[0].text", &value["items"]), Some(json!("x")));
        assert_eq!(find("$type", &value), Some(json!("order")));
        assert_eq!(find("$", &value), Some(json!({"id": 8})));
        assert_eq!("$.".parse::<FieldPath>(), Err(FieldPathError::EmptyStep));
    }

    #[test]
    fn a_key_with_dots_hides_no_field() {
        let forged = json!({"user.id": "ceo", "user": {"id": "me"}, "a.b": 1, "a": {"c": 2}});
        assert_eq!(find("user.id", &forged), Some(json!("me")));
        assert_eq!(find("a.b", &forged), Some(json!(1)));
        assert_eq!(find("x[0]", &json!({"x[0]": "forged", "x": ["real"]})), Some(json!("real")));
        assert_eq!(
            find("user.id", &json!({"user.id": 1, "user": {"id": null}})),
            Some(json!(null))
        );
    }

    #[test]
    fn brackets_hold_indices() {
        let value = json!({"items": [{"text": "x"}, [1, [2, 3]]], "m": {"7": "key"}});
        assert_eq!(find("items[0].text", &value), Some(json!("x")));
        assert_eq!(find("items[1][1][0]", &value), Some(json!(2)));
        assert_eq!(find("items[1].1[1]", &value), Some(json!(3)));
        assert_eq!(find("m[7]", &value), Some(json!("key")));
        assert_eq!(find("items[2]", &value), None);
        assert_eq!(find("items[99999999999999999999]", &value), None);
        assert_eq!(find("[1].a", &json!([0, {"a": 5}])), Some(json!(5)));
    }

    #[test]
    fn brackets_of_a_form_belong_to_the_name() {
        let value = json!({"data[email]": "a@b", "list[]": 1, "deep": {"x[y][0]": 2}});
        assert_eq!(find("data[email]", &value), Some(json!("a@b")));
        assert_eq!(find("list[]", &value), Some(json!(1)));
        assert_eq!(find("deep.x[y][0]", &value), Some(json!(2)));
    }

    #[test]
    fn a_path_shows_as_it_was_given() {
        for text in ["a[0].b", "a.0.b", "data[email]"] {
            assert_eq!(text.parse::<FieldPath>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn broken_brackets_are_refused() {
        for bad in
            ["a[0", "a]", "a0]", "a[0]b", "a[-1]", r#"a["b.c"]"#, "a['b']", "a[[0]]", "a[0]]"]
        {
            assert_eq!(bad.parse::<FieldPath>(), Err(FieldPathError::BadIndex), "{bad:?}");
        }
    }

    #[test]
    fn empty_and_endless_paths_are_refused() {
        for bad in ["", ".", "a.", "a..b", "a.[0]", "[0]."] {
            assert_eq!(bad.parse::<FieldPath>(), Err(FieldPathError::EmptyStep), "{bad:?}");
        }
        assert!(["a"; 32].join(".").parse::<FieldPath>().is_ok());
        assert_eq!(["a"; 33].join(".").parse::<FieldPath>(), Err(FieldPathError::TooLong));
        assert_eq!(
            format!("a{}", "[0]".repeat(32)).parse(),
            Err::<FieldPath, _>(FieldPathError::TooLong)
        );
        assert!("a".repeat(512).parse::<FieldPath>().is_ok());
        assert_eq!("a".repeat(513).parse::<FieldPath>(), Err(FieldPathError::TooLong));
    }

    proptest! {
        #[test]
        fn dots_and_brackets_find_the_same(steps in prop::collection::vec(0_usize..3, 1..6)) {
            let value = json!([[[[1, 2, 3], [4]], [5, [6, 7]]], [[8], 9], {"0": [10], "1": {"2": 11}}]);
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            let (dotted, bracketed) = (steps.join("."), format!("[{}]", steps.join("][")));
            prop_assert_eq!(find(&dotted, &value), find(&bracketed, &value));
        }

        #[test]
        fn parsing_never_panics(text in r#"[a.\[\]0-9"'é-]{0,40}"#) {
            if let Ok(path) = text.parse::<FieldPath>() {
                let _ = path.find(&json!({"a": [[{"a": 0}]]}));
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
