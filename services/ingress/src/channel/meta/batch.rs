//! From a batch to its messages.
//!
//! A batch is `entry[]`, of accounts, with `changes[]`, of which those of the field `messages` have
//! `value.messages[]`. Each message gets a payload of the same shape with no other message in it,
//! so a path such as `entry[0].changes[0].value.messages[0].from` finds its own.

use serde_json::{Map, Value};

use super::content::{self, Content};
use super::{Incoming, text_at};

/// What Meta puts into one request at most.
pub(super) const MAX_MESSAGES: usize = 1_000;

/// The longest value, in bytes of JSON, that is repeated around each message. Meta's are some
/// hundred. A longer one is left out, lest a body of a megabyte become a gigabyte of messages.
pub(super) const MAX_AROUND: usize = 4 << 10;

/// The messages of people in a batch, in order. What has another shape holds none.
pub(super) fn messages(payload: Value) -> Vec<Incoming> {
    let mut messages = Vec::new();
    let mut body = fields(payload);
    for entry in items(body.remove("entry")) {
        let mut entry = fields(entry);
        for change in items(entry.remove("changes")) {
            let mut change = fields(change);
            if change.get("field").and_then(Value::as_str) != Some("messages") {
                continue;
            }
            let mut value = fields(change.remove("value").unwrap_or_default());
            let written = items(value.remove("messages"));
            let around = Around::of(&body, &entry, &change, value, written.len());
            messages.extend(written.into_iter().filter_map(|message| around.incoming(message)));
        }
    }
    if messages.len() > MAX_MESSAGES {
        let n_messages = messages.len();
        tracing::warn!(n_messages, "a batch is longer than any of Meta's: its rest is left out");
        messages.truncate(MAX_MESSAGES);
    }
    messages
}

/// What stands around the messages of one change.
struct Around {
    body: Map<String, Value>,
    entry: Map<String, Value>,
    change: Map<String, Value>,
    value: Map<String, Value>,
    contacts: Vec<Value>,
    n_messages: usize,
}

impl Around {
    fn of(
        body: &Map<String, Value>,
        entry: &Map<String, Value>,
        change: &Map<String, Value>,
        mut value: Map<String, Value>,
        n_messages: usize,
    ) -> Self {
        let mut contacts = items(value.remove("contacts"));
        contacts.truncate(MAX_MESSAGES);
        Self {
            body: kept(body, &["object"]),
            entry: kept(entry, &["id", "time"]),
            change: kept(change, &["field"]),
            value: kept(&value, &["messaging_product", "metadata"]),
            contacts,
            n_messages,
        }
    }

    fn incoming(&self, message: Value) -> Option<Incoming> {
        let Content { says, description } = content::of(&message)?;
        let owned = |pointer| text_at(&message, pointer).map(str::to_owned);
        let provider_id = owned("/id");
        // People who show a user name instead of their number have an id.
        let sender = owned("/from").or_else(|| owned("/from_user_id"));
        let payload = self.payload(message, sender.as_deref());
        Some(Incoming { payload, provider_id, says, description, sender })
    }

    /// The whole batch, with this message only.
    fn payload(&self, message: Value, sender: Option<&str>) -> Value {
        let mut value = self.value.clone();
        value.insert("messages".to_owned(), list_of(message));
        if let Some(contact) = self.contact(sender) {
            value.insert("contacts".to_owned(), list_of(contact.clone()));
        }
        let mut change = self.change.clone();
        change.insert("value".to_owned(), value.into());
        let mut entry = self.entry.clone();
        entry.insert("changes".to_owned(), list_of(change.into()));
        let mut body = self.body.clone();
        body.insert("entry".to_owned(), list_of(entry.into()));
        body.into()
    }

    /// Who the sender is. A number in `from` may be written otherwise than in `wa_id`; if there is
    /// only one of each, they belong together all the same.
    fn contact(&self, sender: Option<&str>) -> Option<&Value> {
        let is_of_sender = |contact: &&Value| {
            ["/wa_id", "/user_id"]
                .iter()
                .any(|id| sender.is_some() && text_at(contact, id) == sender)
        };
        let only = match self.contacts.as_slice() {
            [only] if self.n_messages == 1 => Some(only),
            _ => None,
        };
        self.contacts.iter().find(is_of_sender).or(only).filter(|contact| is_short(contact))
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn list_of(only: Value) -> Value {
    Value::Array(vec![only])
}

fn items(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn kept(fields: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let is_kept =
        |(name, value): &(&String, &Value)| names.contains(&name.as_str()) && is_short(value);
    let kept = fields.iter().filter(is_kept);
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_short(value: &Value) -> bool {
    value.to_string().len() <= MAX_AROUND
}
