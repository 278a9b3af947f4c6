//! What becomes of a row or a notification.

use recado_intake::channel::Incoming;
use recado_types::jmespath::Expression;
use recado_types::trigger::db_event::Rows;
use serde_json::{Map, Value, json};

use super::Sink;
use super::left_out::LeftOut;

/// A row, by its id.
pub(super) fn of_row(rows: &Rows, row: Value, id: String) -> Incoming {
    let mut payload = Map::new();
    if let Rows::Table(table) = rows {
        payload.insert("table".to_owned(), table.to_string().into());
    }
    payload.insert("row".to_owned(), row);
    Incoming { provider_id: Some(id), ..Incoming::of(payload.into()) }
}

/// A notification. It has no id: the same one may be meant twice.
pub(super) fn of_notification(channel: &str, payload: &str) -> Incoming {
    // U+0000 is a character of JSON, but not of PostgreSQL's.
    let parsed =
        if payload.contains("\\u0000") { None } else { serde_json::from_str(payload).ok() };
    let said: Value = parsed.unwrap_or_else(|| payload.into());
    Incoming::of(json!({ "channel": channel, "payload": said }))
}

/// Whether it is meant: whether the filter is true for it, as `JMESPath` has it.
pub(super) fn is_meant<S: Sink>(
    filter: Option<&Expression>,
    incoming: &Incoming,
    left_out: &mut LeftOut<'_, S>,
) -> bool {
    let Some(filter) = filter else { return true };
    match filter.evaluate(&incoming.payload) {
        Ok(result) => is_true(&result),
        Err(error) => {
            let id = incoming.provider_id.as_deref().unwrap_or("a notification");
            left_out.add("filter_failed", &format!("the filter fails on {id}: {error}"));
            false
        }
    }
}

fn is_true(result: &Value) -> bool {
    match result {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(_) => true,
        Value::String(it) => !it.is_empty(),
        Value::Array(it) => !it.is_empty(),
        Value::Object(it) => !it.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db_event::tests::Memory;

    #[test]
    fn what_the_filter_is_not_true_for_is_left_out() {
        let filter = "payload.total > `10` && payload.open".parse().unwrap();
        let memory = Memory::default();
        let meant = |filter, payload| {
            let mut left_out = LeftOut::to(&memory);
            let meant = is_meant(Some(filter), &of_notification("c", payload), &mut left_out);
            (meant, left_out.log())
        };
        assert_eq!(meant(&filter, r#"{"total": 11, "open": true}"#), (true, false));
        assert_eq!(meant(&filter, r#"{"total": 11, "open": false}"#), (false, false));
        assert_eq!(meant(&filter, r#"{"total": 11}"#), (false, false));
        assert_eq!(meant(&filter, "words"), (false, false));
        let fails = "length(payload) > `1`".parse().unwrap();
        assert_eq!(meant(&fails, "7"), (false, true));
        let told = memory.left_out.lock().unwrap().join("");
        assert!(told.starts_with("the filter fails on a notification: "), "{told}");
    }

    #[test]
    fn a_notification_is_json_or_text() {
        let said = |payload| of_notification("c", payload).payload;
        assert_eq!(said("[1]"), json!({"channel": "c", "payload": [1]}));
        assert_eq!(said("ação"), json!({"channel": "c", "payload": "ação"}));
        assert_eq!(said(""), json!({"channel": "c", "payload": ""}));
        assert_eq!(said(r#""a\u0000""#), json!({"channel": "c", "payload": r#""a\u0000""#}));
    }
}
