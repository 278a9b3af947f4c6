//! JSON out of arbitrary bytes: made from nothing, or of a sample with some of it changed. Bytes
//! that are cut and glued as a text are hardly ever JSON.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use serde_json::{Map, Number, Value};

/// How deep a made value nests.
const LEVELS: usize = 6;

/// Names and texts that mean something to somebody.
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    const WORDS: &str = "\
        $defs $ref #/$defs/a # a actions additionalProperties algorithm allOf anyOf async \
        attachments auth Body body challenge changes channel componentJoin context_mapping \
        derive entry enum event execution field fields From from generic header hex id \
        inputSchema items jmespath jmespath $..a key literal maxItems message \
        messageTemplate messages minimum mode not object objectTransformation oneOf pattern \
        patternProperties payload properties regex ([0-9]+) required schema sender_access \
        session_strategy source string sync template text type uniqueItems url_verification \
        value {{a}}";
    WORDS.split(' ').collect()
});

/// Any JSON.
#[derive(Clone, Debug)]
pub struct Json(pub Value);

impl<'a> Arbitrary<'a> for Json {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        value(bytes, LEVELS).map(Self)
    }
}

/// `bytes` as JSON if they are some, or else whatever can be made of them.
pub fn from_bytes(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_no_json| {
        Json::arbitrary(&mut Unstructured::new(bytes)).map_or(Value::Null, |Json(value)| value)
    })
}

/// `sample` with up to four changes.
pub fn changed(mut sample: Value, bytes: &mut Unstructured<'_>) -> Value {
    for _ in 0..bytes.int_in_range(1..=4).unwrap_or(1) {
        let mut left = bytes.choose_index(size(&sample)).unwrap_or_default();
        // Without any bytes left, there is nothing more to change.
        if nth(&mut sample, &mut left).is_none_or(|node| change(node, bytes).is_err()) {
            break;
        }
    }
    sample
}

fn change(node: &mut Value, bytes: &mut Unstructured<'_>) -> Result<()> {
    match (bytes.int_in_range(0..=3)?, node) {
        (0, Value::Object(fields)) => {
            fields.insert(text(bytes)?, value(bytes, 3)?);
        }
        (1, Value::Object(fields)) if !fields.is_empty() => {
            let at = bytes.choose_index(fields.len())?;
            let name = fields.keys().nth(at).cloned().unwrap_or_default();
            fields.remove(&name);
        }
        (0 | 1, Value::Array(items)) => items.push(value(bytes, 3)?),
        (0..=2, Value::String(old)) => {
            let cut = old.floor_char_boundary(bytes.int_in_range(0..=old.len())?);
            old.insert_str(cut, &text(bytes)?);
        }
        (_, node) => *node = value(bytes, 3)?,
    }
    Ok(())
}

fn value(bytes: &mut Unstructured<'_>, levels: usize) -> Result<Value> {
    let kinds = if levels == 0 { 6 } else { 9 };
    Ok(match bytes.int_in_range(0..=kinds)? {
        0 => Value::Null,
        1 => bool::arbitrary(bytes)?.into(),
        2 => i64::arbitrary(bytes)?.into(),
        3 => Number::from_f64(f64::arbitrary(bytes)?).map_or(Value::Null, Value::Number),
        4 => bytes.int_in_range(-3_i64..=300)?.into(),
        5 | 6 => text(bytes)?.into(),
        7 => {
            let items = (0..bytes.int_in_range(0..=4)?).map(|_| value(bytes, levels - 1));
            Value::Array(items.collect::<Result<_>>()?)
        }
        _ => {
            let mut fields = Map::new();
            for _ in 0..bytes.int_in_range(0..=5)? {
                fields.insert(text(bytes)?, value(bytes, levels - 1)?);
            }
            Value::Object(fields)
        }
    })
}

fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    if bytes.ratio(3, 4)? {
        return Ok((*bytes.choose(&WORDS)?).to_owned());
    }
    String::arbitrary(bytes)
}

/// How many values there are in a value, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum::<usize>(),
        _ => 0,
    }
}

fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, left)),
        _ => None,
    }
}
