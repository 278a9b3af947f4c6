//! The context of a message as an admin may see it.
//!
//! Fields whose names begin with `_` are shown, since they are hidden from models only. What gives
//! access is not: `token` and `host`, wherever they are, and the user and query of every URL.

use recado_types::MessageId;
use serde_json::{Map, Value, json};
use url::Url;

const REDACTED: &str = "[redacted]";

/// Names of fields that give access (seed 000, "Auto-excluded Fields").
const CREDENTIALS: [&str; 2] = ["token", "host"];

/// What is shown of `context`, with the number of messages where there were several.
pub(super) fn shown(context: &Map<String, Value>, messages: &[MessageId]) -> Map<String, Value> {
    let mut shown = redacted(context);
    if messages.len() > 1 {
        shown.insert("_buffered_messages".to_owned(), json!(messages.len()));
    }
    shown
}

fn redacted(fields: &Map<String, Value>) -> Map<String, Value> {
    let field = |(name, value): (&String, &Value)| {
        let gives_access = CREDENTIALS.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        let value = if gives_access { json!(REDACTED) } else { redacted_value(value) };
        (name.clone(), value)
    };
    fields.iter().map(field).collect()
}

/// What is shown of a value that holds contexts somewhere.
///
/// Parsed JSON is at most 128 levels deep, so this does not go deeper either.
pub(in crate::http) fn redacted_value(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(redacted(fields)),
        Value::Array(items) => items.iter().map(redacted_value).collect(),
        Value::String(text) => Value::String(redacted_text(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// A URL without its credentials; any other text as it is.
fn redacted_text(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return text.to_owned() };
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !url.has_host() || !(has_user || url.query().is_some()) {
        return text.to_owned();
    }
    // Refused only by URLs without a host.
    let hidden = url.set_username("").is_ok() && url.set_password(None).is_ok();
    if !hidden {
        return REDACTED.to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some(REDACTED));
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown_of(context: &Value, n_messages: usize) -> Value {
        let ids =
            vec![MessageId("00000000-0000-0000-0000-000000000001".parse().unwrap()); n_messages];
        Value::Object(shown(context.as_object().unwrap(), &ids))
    }

    #[test]
    fn credentials_are_hidden_at_any_depth_and_the_rest_is_not() {
        let context = json!({
            "token": "t", "host": "h", "userName": "Ana", "_waId": "55",
            "company": {"Token": {"a": 1}, "city": "SP"}, "list": [{"host": 1}, 2],
        });
        let expected = json!({
            "token": "[redacted]", "host": "[redacted]", "userName": "Ana", "_waId": "55",
            "company": {"Token": "[redacted]", "city": "SP"}, "list": [{"host": "[redacted]"}, 2],
        });
        assert_eq!(shown_of(&context, 1), expected);
    }

    #[test]
    fn urls_are_shown_without_what_gives_access() {
        for (url, expected) in [
            ("https://u:p@example.com/a", "https://example.com/a"),
            ("https://example.com/a?key=1#f", "https://example.com/a?[redacted]#f"),
            ("https://example.com/a", "https://example.com/a"),
            ("whatsapp:+5511999990000", "whatsapp:+5511999990000"),
            ("Is it 10:30? yes", "Is it 10:30? yes"),
        ] {
            assert_eq!(redacted_text(url), expected);
        }
    }

    #[test]
    fn the_number_of_messages_is_told_when_there_were_several() {
        assert_eq!(shown_of(&json!({}), 3), json!({"_buffered_messages": 3}));
        assert_eq!(shown_of(&json!({}), 1), json!({}));
    }

    proptest! {
        #[test]
        fn no_token_is_ever_shown(path in prop::collection::vec("[a-z]{1,5}", 0..5)) {
            let secret = json!({"token": "s3cret-canary"});
            let context = path.iter().fold(secret, |inner, name| json!({ name: [inner] }));
            prop_assert!(!shown_of(&context, 1).to_string().contains("s3cret-canary"));
        }
    }
}
