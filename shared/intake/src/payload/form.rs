//! `application/x-www-form-urlencoded`, read strictly.
//!
//! The decoders of the usual crates replace what is not UTF-8 by `U+FFFD`; a message would be
//! changed on its way, and two different senders could become one.

use serde_json::{Map, Value};

/// Why a body is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    #[error("a form has at most {0} fields")]
    TooManyPairs(usize),
    #[error("field {0} of the form is not UTF-8")]
    NotUtf8(usize),
}

/// At most `most` names and values, decoded, in the order of the body.
pub(crate) fn pairs(body: &[u8], most: usize) -> Result<Vec<(String, String)>, FormError> {
    let parts = body.split(|&byte| byte == b'&').filter(|part| !part.is_empty());
    let mut pairs = Vec::new();
    for part in parts {
        if pairs.len() == most {
            return Err(FormError::TooManyPairs(most));
        }
        let equals = part.iter().position(|&byte| byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &b""[..]),
        };
        let text = |encoded| {
            String::from_utf8(decode(encoded))
                .map_err(|_not_shown| FormError::NotUtf8(pairs.len() + 1))
        };
        let pair = (text(name)?, text(value)?);
        pairs.push(pair);
    }
    Ok(pairs)
}

/// The form as an object of texts; a name that repeats becomes an array, in order.
pub(crate) fn to_value(pairs: Vec<(String, String)>) -> Value {
    let mut object = Map::new();
    for (name, value) in pairs {
        let value = Value::String(value);
        match object.get_mut(&name) {
            None => {
                object.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object)
}

/// Plus signs are spaces, `%41` is a byte, and a percent sign without two digits is itself (WHATWG
/// URL, "percent-decode").
fn decode(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match (byte, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => byte,
        });
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pairs(body: &[u8]) -> Result<Vec<(String, String)>, FormError> {
        super::pairs(body, 1_000)
    }

    #[test]
    fn names_and_values_are_decoded() {
        let pairs =
            pairs(b"From=whatsapp%3A%2B5511&Body=Ol%C3%A1+%2b1&empty=&&flag&a=b=c").unwrap();
        let expected = [
            ("From", "whatsapp:+5511"),
            ("Body", "Olá +1"),
            ("empty", ""),
            ("flag", ""),
            ("a", "b=c"),
        ];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn half_an_escape_is_text() {
        assert_eq!(pairs(b"a=100%&b=%4&c=%zz").unwrap()[0].1, "100%");
        assert_eq!(pairs(b"b=%4").unwrap()[0].1, "%4");
        assert_eq!(pairs(b"c=%zz%41").unwrap()[0].1, "%zzA");
    }

    #[test]
    fn what_is_not_utf8_is_refused_and_counted() {
        assert_eq!(pairs(b"a=1&b=%ff"), Err(FormError::NotUtf8(2)));
        assert_eq!(pairs(b"\xff=1"), Err(FormError::NotUtf8(1)));
    }

    #[test]
    fn a_thousand_fields_are_a_form_and_one_more_is_not() {
        let form = |n: usize| vec!["a=1"; n].join("&").into_bytes();
        assert_eq!(pairs(&form(1_000)).unwrap().len(), 1_000);
        assert_eq!(pairs(&form(1_001)), Err(FormError::TooManyPairs(1_000)));
    }

    #[test]
    fn a_name_that_repeats_is_an_array() {
        let value = to_value(pairs(b"a=1&b=2&a=3&a=4").unwrap());
        assert_eq!(value, json!({"a": ["1", "3", "4"], "b": "2"}));
    }

    proptest! {
        #[test]
        fn what_a_browser_encodes_is_read_back(
            fields in prop::collection::vec(("\\PC{1,8}", "\\PC{0,16}"), 0..8),
        ) {
            let encoded = serde_urlencoded::to_string(&fields).unwrap();
            prop_assert_eq!(pairs(encoded.as_bytes()).unwrap(), fields);
        }

        #[test]
        fn reading_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(pairs) = pairs(&body) {
                let _ = to_value(pairs);
            }
        }
    }
}
