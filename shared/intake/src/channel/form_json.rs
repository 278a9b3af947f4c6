//! JSON in a form: GitHub's webhooks of the older kind, and Slack's interactions, are the field
//! `payload` of a form that has no other.

use serde_json::Value;

use crate::payload::{self, PayloadLimits};
use crate::refusal::Refusal;

/// What is in the form, checked as if it were the body; anything else as it is.
pub(super) fn opened(payload: Value, limits: PayloadLimits) -> Result<Value, Refusal> {
    match inner(&payload) {
        Some(json) => payload::parse(Some("application/json"), json.as_bytes(), false, limits),
        None => Ok(payload),
    }
}

fn inner(payload: &Value) -> Option<&str> {
    let fields = payload.as_object().filter(|fields| fields.len() == 1)?;
    fields.get("payload")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn opened(payload: Value) -> Result<Value, Refusal> {
        super::opened(payload, PayloadLimits::default())
    }

    #[test]
    fn the_only_field_of_a_form_is_what_it_is_about() {
        assert_eq!(opened(json!({"payload": r#"{"a": 1}"#})).unwrap(), json!({"a": 1}));
    }

    #[test]
    fn anything_else_is_left_as_it_is() {
        for payload in [
            json!({"payload": "{}", "other": ""}),
            json!({"payload": {"a": 1}}),
            json!({"text": "{}"}),
            json!(["payload"]),
            json!("payload"),
        ] {
            assert_eq!(opened(payload.clone()).unwrap(), payload);
        }
    }

    #[test]
    fn what_no_body_may_hold_is_refused_here_too() {
        let malformed = opened(json!({"payload": "{"}));
        assert!(matches!(malformed, Err(Refusal::MalformedBody { .. })), "{malformed:?}");
        let nul = opened(json!({"payload": r#"{"a": "\u0000"}"#}));
        assert!(matches!(nul, Err(Refusal::InvalidInput { .. })), "{nul:?}");
    }
}
