//! From a batch to its messages.
//!
//! A batch is `entry[]`, of accounts, with `changes[]`, of which those of the field `messages` have
//! `value.messages[]`. Each message gets a payload of the same shape with no other message in it,
//! so a path such as `entry[0].changes[0].value.messages[0].from` finds its own.
//!
//! Whatever a body holds, the work is in proportion to its length: what stands around messages is
//! weighed once, and only where there is a message, and nothing is made beyond [`MAX_MESSAGES`].

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::content::{self, Content};
use super::scale::Scale;
use super::{Incoming, text_at};

/// What Meta puts into one request at most.
pub(super) const MAX_MESSAGES: usize = 1_000;

/// Where the message is in the payload that is made for it.
pub(super) const MESSAGE: &str = "/entry/0/changes/0/value/messages/0";

/// A batch is longer than any of Meta's. Nothing of it is taken: a part would be lost in silence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// The messages of people in a batch, in order. What has another shape holds none.
pub(super) fn messages(payload: Value) -> Result<Vec<Incoming>, TooMany> {
    let mut scale = Scale::default();
    let messages = messages_by(&mut scale, payload)?;
    let (n_messages, n_weighed) = (messages.len(), scale.n_looked_at());
    tracing::debug!(n_messages, n_weighed, "a batch of Meta's is taken apart");
    Ok(messages)
}

/// The messages, with `scale` saying what is light enough to be around each of them.
pub(super) fn messages_by(scale: &mut Scale, payload: Value) -> Result<Vec<Incoming>, TooMany> {
    let mut messages = Vec::new();
    let mut body = fields(payload);
    let entries = items(body.remove("entry"));
    let body = kept(scale, body, &["object"]);
    for entry in entries {
        let mut entry = fields(entry);
        let changes = items(entry.remove("changes"));
        let entry = kept(scale, entry, &["id", "time"]);
        for written in changes.into_iter().filter_map(Written::of) {
            let said = written.said;
            let around = Around::of(scale, &body, &entry, written.value, written.n_messages);
            for (message, content) in said {
                if messages.len() == MAX_MESSAGES {
                    return Err(TooMany);
                }
                messages.push(around.incoming(message, content));
            }
        }
    }
    Ok(messages)
}

/// A change in which people wrote something.
struct Written {
    /// At least one message, and what it says.
    said: Vec<(Value, Content)>,
    /// How many messages there were, those that say nothing included.
    n_messages: usize,
    /// What else there is.
    value: Map<String, Value>,
}

impl Written {
    fn of(change: Value) -> Option<Self> {
        let mut change = fields(change);
        if change.get("field").and_then(Value::as_str) != Some("messages") {
            return None;
        }
        let mut value = fields(change.remove("value")?);
        let messages = items(value.remove("messages"));
        let n_messages = messages.len();
        let with_content = |message| {
            let content = content::of(&message)?;
            Some((message, content))
        };
        // One more than is taken, to see that there are more.
        let said = messages.into_iter().filter_map(with_content).take(MAX_MESSAGES + 1);
        let said: Vec<_> = said.collect();
        (!said.is_empty()).then_some(Self { said, n_messages, value })
    }
}

/// What stands around the messages of one change.
struct Around {
    body: Map<String, Value>,
    entry: Map<String, Value>,
    value: Map<String, Value>,
    contacts: Contacts,
}

impl Around {
    fn of(
        scale: &mut Scale,
        body: &Map<String, Value>,
        entry: &Map<String, Value>,
        mut value: Map<String, Value>,
        n_messages: usize,
    ) -> Self {
        let contacts = Contacts::of(scale, items(value.remove("contacts")), n_messages);
        let value = kept(scale, value, &["messaging_product", "metadata"]);
        Self { body: body.clone(), entry: entry.clone(), value, contacts }
    }

    fn incoming(&self, message: Value, content: Content) -> Incoming {
        let Content { says, description } = content;
        let owned = |pointer| text_at(&message, pointer).map(str::to_owned);
        let provider_id = owned("/id");
        // People who show a user name instead of their number have an id.
        let sender = owned("/from").or_else(|| owned("/from_user_id"));
        let payload = self.payload(message, sender.as_deref());
        Incoming { provider_id, says, description, sender, ..Incoming::of(payload) }
    }

    /// The whole batch, with this message only.
    fn payload(&self, message: Value, sender: Option<&str>) -> Value {
        let mut value = self.value.clone();
        value.insert("messages".to_owned(), list_of(message));
        if let Some(contact) = self.contacts.of_sender(sender) {
            value.insert("contacts".to_owned(), list_of(contact.clone()));
        }
        let change = Map::from_iter([
            ("field".to_owned(), "messages".into()),
            ("value".to_owned(), value.into()),
        ]);
        let mut entry = self.entry.clone();
        entry.insert("changes".to_owned(), list_of(change.into()));
        let mut body = self.body.clone();
        body.insert("entry".to_owned(), list_of(entry.into()));
        body.into()
    }
}

/// Who the senders of a change are.
struct Contacts {
    all: Vec<Value>,
    /// Where each is, by its ids.
    places: HashMap<String, usize>,
    /// Whether the one contact can only be the sender of the one message.
    is_certain: bool,
}

impl Contacts {
    /// There are no more senders than messages.
    fn of(scale: &mut Scale, mut contacts: Vec<Value>, n_messages: usize) -> Self {
        let is_certain = contacts.len() == 1 && n_messages == 1;
        contacts.truncate(MAX_MESSAGES);
        contacts.retain(|contact| scale.is_light(contact));
        let mut places = HashMap::new();
        for (place, contact) in contacts.iter().enumerate() {
            let ids = ["wa_id", "user_id"].map(|id| contact.get(id).and_then(Value::as_str));
            for id in ids.into_iter().flatten() {
                places.entry(id.to_owned()).or_insert(place);
            }
        }
        Self { all: contacts, places, is_certain }
    }

    /// A number in `from` may be written otherwise than in `wa_id`; if there is only one of each,
    /// they belong together all the same.
    fn of_sender(&self, sender: Option<&str>) -> Option<&Value> {
        let place = sender.and_then(|sender| self.places.get(sender).copied());
        self.all.get(place.or(self.is_certain.then_some(0))?)
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

/// The fields of these names, but for heavy ones.
fn kept(scale: &mut Scale, mut fields: Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let there = names.iter().filter_map(|name| fields.remove_entry(*name));
    there.filter(|(_, value)| scale.is_light(value)).collect()
}
