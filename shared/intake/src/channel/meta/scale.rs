//! How much memory a value takes, looked into only as far as it matters.

use serde_json::Value;

/// The most memory, in bytes, that a value may take which is repeated around each message. Meta's
/// take some hundred. With six of them around each of a thousand messages, a body of a megabyte
/// becomes one of thirty at most.
pub(super) const MAX_AROUND: usize = 4 << 10;

/// A node of the tree that an object is: it has room for eleven fields.
const NODE: usize = 11 * size_of::<(String, Value)>();

/// All nodes of a tree but the topmost have at least so many fields.
const FIELDS_OF_NODE: usize = 5;

/// Tells light values from heavy ones, and counts what that costs.
#[derive(Debug, Default)]
pub(super) struct Scale {
    n_looked_at: usize,
}

impl Scale {
    /// Whether `value` takes at most [`MAX_AROUND`]. Each value in it takes some bytes, so no more
    /// than a few hundred are looked at, however many there are.
    pub(super) fn is_light(&mut self, value: &Value) -> bool {
        self.room_beside(value, MAX_AROUND).is_some()
    }

    /// How many values it has looked at.
    pub(super) fn n_looked_at(&self) -> usize {
        self.n_looked_at
    }

    /// What is left of `room` with `value` in it.
    fn room_beside(&mut self, value: &Value, room: usize) -> Option<usize> {
        self.n_looked_at += 1;
        let room = room.checked_sub(size_of::<Value>())?;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(room),
            Value::String(text) => room.checked_sub(text.len()),
            Value::Array(items) => {
                items.iter().try_fold(room, |room, item| self.room_beside(item, room))
            }
            Value::Object(fields) => {
                let n_nodes = fields.len().div_ceil(FIELDS_OF_NODE);
                let room = room.checked_sub(n_nodes * NODE)?;
                fields.iter().try_fold(room, |room, (name, value)| {
                    self.room_beside(value, room.checked_sub(name.len())?)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Whether `value` is light, and how many values that took.
    fn weighed(value: &Value) -> (bool, usize) {
        let mut scale = Scale::default();
        (scale.is_light(value), scale.n_looked_at())
    }

    #[test]
    fn what_meta_puts_around_a_message_is_light() {
        let metadata = json!({"display_phone_number": "15550783881", "phone_number_id": "1065403"});
        let contact = json!({
            "profile": {"name": "Ana Maria de Souza Albuquerque", "username": "ana"},
            "wa_id": "5511987654321", "user_id": "BR.1234567890123456", "identity_key_hash": "a0b1",
        });
        assert_eq!(weighed(&metadata), (true, 3));
        assert_eq!(weighed(&contact), (true, 7));
    }

    #[test]
    fn the_limit_is_exact_for_a_text() {
        let text = |length| Value::from("x".repeat(length));
        let longest = MAX_AROUND - size_of::<Value>();
        assert_eq!(weighed(&text(longest)), (true, 1));
        assert_eq!(weighed(&text(longest + 1)), (false, 1));
    }

    #[test]
    fn what_is_short_in_json_may_be_heavy_in_memory() {
        let objects = json!([{"a": 0}, {"a": 0}, {"a": 0}, {"a": 0}, {"a": 0}, {"a": 0}, {"a": 0}]);
        assert!(!weighed(&objects).0);
        assert!(!weighed(&json!(vec![0; 128])).0);
        assert!(!weighed(&json!({"x".repeat(MAX_AROUND): 0})).0);
    }

    #[test]
    fn no_more_is_looked_at_than_the_limit_has_room_for() {
        let many: Value = (0..100_000).map(|n| (n.to_string(), Value::Null)).collect();
        assert_eq!(weighed(&many), (false, 1));
        let (is_light, n_looked_at) = weighed(&json!(vec![0; 100_000]));
        assert!(!is_light && n_looked_at <= 1 + MAX_AROUND / size_of::<Value>(), "{n_looked_at}");
    }
}
