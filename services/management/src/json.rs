//! JSON, read strictly: every field is given once, and no text holds U+0000.
//!
//! Of a field that is given twice, parsers keep one or the other, and so whoever looked at the
//! document before may have seen another one than we do.

use std::fmt;

use recado_http::{ApiError, Problem};
use recado_types::shape::Problems;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::failure::invalid;

/// How much of a field's name is shown.
const MAX_SHOWN: usize = 64;

/// The document.
///
/// # Errors
/// 400 for what is no JSON, or is more than 128 levels deep; for fields that are given more than
/// once; and for U+0000, which the database cannot keep.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    let problems = Problems::default();
    let mut document = serde_json::Deserializer::from_slice(bytes);
    let read = Reader { at: Place::Document, problems: &problems }.deserialize(&mut document);
    let value = read.and_then(|value| document.end().map(|()| value));
    let value = value
        .map_err(|error| ApiError::new(Problem::MalformedBody, format!("no JSON: {error}")))?;
    problems.finish(value).map_err(invalid)
}

/// Where in the document. It becomes a text only where something is wrong: a path is as long as
/// the names in it, and there are as many as there are values.
#[derive(Clone, Copy)]
enum Place<'a> {
    Document,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => Ok(()),
            Self::Field(Place::Document, name) => write!(f, "{name:.MAX_SHOWN$}"),
            Self::Field(of, name) => write!(f, "{of}.{name:.MAX_SHOWN$}"),
            Self::Item(of, index) => write!(f, "{of}[{index}]"),
        }
    }
}

impl From<Place<'_>> for String {
    fn from(place: Place<'_>) -> Self {
        place.to_string()
    }
}

/// Reads the value at a place.
#[derive(Clone, Copy)]
struct Reader<'a> {
    at: Place<'a>,
    problems: &'a Problems,
}

impl<'a> Reader<'a> {
    fn refuse(&self, reason: &str) {
        self.problems.add(self.at, reason);
    }

    fn at(self, place: Place<'a>) -> Self {
        Self { at: place, ..self }
    }

    fn judge_text(&self, text: &str) {
        if text.contains('\0') {
            self.refuse("must not contain U+0000");
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Value, D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Bool(is))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        self.judge_text(&text);
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            list.next_element_seed(self.at(Place::Item(&self.at, items.len())))?
        {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if name.contains('\0') {
                self.refuse("has a field whose name contains U+0000");
            }
            let field = self.at(Place::Field(&self.at, &name));
            if fields.contains_key(&name) {
                field.refuse("is given more than once");
            }
            let value = object.next_value_seed(field)?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mistakes(body: &str) -> Vec<(String, String)> {
        let error = parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.problem(), Problem::InvalidInput);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let fields = error.details().unwrap()["fields"].as_array().unwrap().clone();
        fields.iter().map(|field| (text(&field["path"]), text(&field["reason"]))).collect()
    }

    fn paths(body: &str) -> Vec<String> {
        mistakes(body).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_field_is_given_once() {
        let twice = |path: &str| (path.to_owned(), "is given more than once".to_owned());
        assert_eq!(mistakes(r#"{"name": "a", "name": "a"}"#), [twice("name")]);
        // However it is written, and however deep it is; all of them at once.
        let deep = r#"{"a": [{}, {"b": {"x": 1, "\u0078": 2}}], "a": 1, "b": {"x": 1}}"#;
        assert_eq!(mistakes(deep), [twice("a[1].b.x"), twice("a")]);
        assert!(parse(br#"[{"x": 1}, {"x": 1}, {"X": 1, "x": {"x": 1}}]"#).is_ok());
    }

    #[test]
    fn a_nul_is_refused_wherever_it_is() {
        let body = r#"{"name": "a\u0000", "list": [{"x": "b\u0000"}], "fine": "c", "\u0000": 1}"#;
        assert_eq!(paths(body), ["name", "list[0].x", ""]);
    }

    #[test]
    fn malformed_and_bottomless_documents_are_refused() {
        let deep = "[".repeat(100_000);
        for body in ["", "{", "{} {}", "\u{feff}{}", "1e999", "[1,]", "nul", &deep] {
            assert_eq!(parse(body.as_bytes()).unwrap_err().problem(), Problem::MalformedBody);
        }
        assert_eq!(parse(b"\"\xff\"").unwrap_err().problem(), Problem::MalformedBody);
    }

    #[test]
    fn a_document_made_to_be_slow_is_not() {
        // Each item has a path of 500 KB: a text for each would be 100 GB.
        let (name, items) = ("n".repeat(500_000), "0,".repeat(200_000));
        assert!(parse(format!(r#"{{"{name}": [{items}0]}}"#).as_bytes()).is_ok());
        let same = "\"k\":0,".repeat(150_000);
        let found = paths(&format!(r#"{{"{name}": {{{same}"k":0}}}}"#));
        assert_eq!(found.len(), 64);
        assert_eq!(found[0], format!("{}.k", "n".repeat(MAX_SHOWN)));
    }

    #[test]
    fn names_that_mean_something_to_serde_mean_nothing_here() {
        let body =
            json!({"$serde_json::private::RawValue": "1", "$serde_json::private::Number": 2});
        assert_eq!(parse(body.to_string().as_bytes()).unwrap(), body);
    }

    proptest! {
        #[test]
        fn numbers_and_texts_are_read_as_anywhere(
            texts in proptest::collection::btree_map("[^\0]{0,8}", "[^\0]{0,8}", 0..4),
            (whole, below, fraction) in (any::<u64>(), i64::MIN..0, -1e300..1e300_f64),
        ) {
            let value = json!({"t": texts, "n": [whole, below, fraction, null, true, [], {}]});
            let text = value.to_string();
            let expected: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(parse(text.as_bytes()).unwrap(), expected);
        }
    }
}
