//! Old and new code side by side, as during an upgrade or after a rollback: what the release before
//! wrote is read, what the release after writes is read, and what cannot be read is refused rather
//! than guessed at.
//!
//! What a release has written is in `golden/`. A new optional field gets a file of its own,
//! `<routing key>+<field>.json`; the older files stay as they are, and so stand for the older code.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use recado_messages::{
    DeliveryRequested, ExecutionFinished, ExecutionRequested, Message, MessageReceived,
    ObjectiveEvent,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// What was published may still be in a queue, or in a dead-letter queue for months.
const FROZEN: &[(&str, &str)] = &[
    ("delivery.requested.json", "c23bf7cc9af9a623b49e80bd7009e5dfce4c62f44134b303f79a447c815ab2ba"),
    ("execution.finished.json", "bb75a0e59c16d266e5dedc3123dd0e04e91a1bc5371fbd7c7e7509ccb0949c3d"),
    (
        "execution.requested+payload.json",
        "363d67362a476e90584a5f1d95b96685d1b9680e179224725e11c4877792992f",
    ),
    (
        "execution.requested+reply_to.json",
        "ea58a70e7800606a768899400f01d6d13216c3c17a5b7d5b3b0de8373c2e07a7",
    ),
    (
        "execution.requested.json",
        "613283d4af11cd3ab2bca5019508be93bf57c69213628ab7e8e0290d5927966e",
    ),
    ("message.received.json", "dce3ccec4095596df4f35ae27cada4fe92bb7fc7a0c1d71bb59e4ef0095f48b8"),
    ("objective_event.json", "ee6cd6fb8d8936b6084ec7557d2962dcd317f8bff35c1b67efdf90ebcfada5ef"),
];

/// What must be there, at all times: code that wants more does not read what the release before
/// wrote, and code that writes less is not read by it.
const REQUIRED: &[(&str, &[&str])] = &[
    ("delivery.requested", &["delivery_id", "session_id", "tenant_id"]),
    ("execution.finished", &["execution_id", "session_id"]),
    (
        "execution.requested",
        &[
            "messages",
            "messages.0.accepted_at",
            "messages.0.context",
            "messages.0.id",
            "messages.0.payload.request",
            "messages.0.session_id",
            "messages.0.tenant_id",
            "messages.0.text",
            "messages.0.trigger_id",
            "separator",
        ],
    ),
    (
        "message.received",
        &[
            "buffer",
            "buffer.max_messages",
            "buffer.max_wait_ms",
            "buffer.window_ms",
            "message",
            "message.accepted_at",
            "message.context",
            "message.id",
            "message.session_id",
            "message.tenant_id",
            "message.text",
            "message.trigger_id",
        ],
    ),
    (
        "objective_event",
        &[
            "agent_id",
            "endpoint",
            "event_id",
            "event_type",
            "execution_id",
            "occurred_at",
            "payload",
            "session_id",
            "tenant_id",
        ],
    ),
];

/// What may hold any JSON: it is somebody else's.
const FOREIGN: &[&str] = &["payload", "messages.0.payload.request"];

/// The golden files, by routing key and name.
fn golden() -> BTreeMap<(String, String), String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = fs::read_dir(directory).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let key = name.strip_suffix(".json").unwrap();
        let key = key.split_once('+').map_or(key, |(key, _with)| key).to_owned();
        ((key, name), fs::read_to_string(path).unwrap())
    });
    files.collect()
}

/// What today's code reads, written by it again.
fn reread(key: &str, wire: &Value) -> serde_json::Result<Value> {
    fn through<M: Message>(wire: &Value) -> serde_json::Result<Value> {
        let message: M = serde_json::from_slice(&serde_json::to_vec(wire)?)?;
        serde_json::to_value(message)
    }
    match key {
        MessageReceived::ROUTING_KEY => through::<MessageReceived>(wire),
        ExecutionRequested::ROUTING_KEY => through::<ExecutionRequested>(wire),
        DeliveryRequested::ROUTING_KEY => through::<DeliveryRequested>(wire),
        ExecutionFinished::ROUTING_KEY => through::<ExecutionFinished>(wire),
        ObjectiveEvent::ROUTING_KEY => through::<ObjectiveEvent>(wire),
        _ => panic!("no message is called {key}"),
    }
}

/// The paths of all fields, as JSON pointers; of lists, those of the first item.
fn fields(value: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| {
        let here = format!("/{name}");
        let deeper = fields(value).into_iter().map(|path| format!("{here}{path}"));
        deeper.collect::<Vec<_>>()
    };
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(name, value)| {
                let mut all = vec![format!("/{name}")];
                all.extend(below(name, value));
                all
            })
            .collect(),
        Value::Array(items) => items.first().map(|item| below("0", item)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The object that a field is in, and the field's name.
fn holder<'v>(message: &'v mut Value, field: &str) -> (&'v mut Map<String, Value>, String) {
    let (holder, name) = field.rsplit_once('/').unwrap();
    let holder = message.pointer_mut(holder).and_then(Value::as_object_mut);
    (holder.unwrap_or_else(|| panic!("{field} is in no object")), name.to_owned())
}

fn without(message: &Value, field: &str) -> Value {
    let mut less = message.clone();
    let (holder, name) = holder(&mut less, field);
    holder.remove(&name).unwrap();
    less
}

/// As people write it: `messages.0.text`.
fn dotted(field: &str) -> String {
    field.trim_start_matches('/').replace('/', ".")
}

/// The fields without which a message is not read.
fn required(key: &str, message: &Value) -> Vec<String> {
    let missed = |field: &String| reread(key, &without(message, field)).is_err();
    fields(message).into_iter().filter(missed).collect()
}

#[test]
fn a_golden_file_is_never_changed() {
    let found: BTreeMap<String, String> = golden()
        .into_iter()
        .map(|((_key, name), text)| (name, hex::encode(Sha256::digest(text))))
        .collect();
    let frozen: BTreeMap<String, String> =
        FROZEN.iter().map(|(name, digest)| ((*name).into(), (*digest).into())).collect();
    assert_eq!(
        found, frozen,
        "golden files are what releases have written: they are neither changed nor removed. \
         A new optional field gets a file of its own, `<routing key>+<field>.json`, and a line here"
    );
}

#[test]
fn what_must_be_there_neither_grows_nor_shrinks() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((key, _name), text) in golden() {
        let message = serde_json::from_str(&text).unwrap();
        let all = found.entry(key.clone()).or_default();
        all.extend(required(&key, &message).iter().map(|field| dotted(field)));
        all.sort();
        all.dedup();
    }
    let pinned: BTreeMap<String, Vec<String>> = REQUIRED
        .iter()
        .map(|(key, fields)| {
            ((*key).into(), fields.iter().map(|field| (*field).to_owned()).collect())
        })
        .collect();
    assert_eq!(found, pinned, "add optional fields, or another message under another routing key");
}

#[test]
fn a_message_with_nothing_but_what_must_be_there_is_read_and_nothing_is_made_up() {
    for ((key, name), text) in golden() {
        let mut least: Value = serde_json::from_str(&text).unwrap();
        let needed = required(&key, &least);
        // From the end, so that what is in a field goes before the field.
        for field in fields(&least).iter().rev() {
            let is_kept = needed
                .iter()
                .any(|needed| needed == field || needed.starts_with(&format!("{field}/")));
            if !is_kept {
                least = without(&least, field);
            }
        }
        let read = reread(&key, &least).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read, least, "{name}");
    }
}

#[test]
fn fields_from_the_future_are_ignored_wherever_they_are() {
    for ((key, name), text) in golden() {
        let message: Value = serde_json::from_str(&text).unwrap();
        let mut places = fields(&message);
        places.push(String::new());
        for place in places {
            let mut newer = message.clone();
            let Some(object) = newer.pointer_mut(&place).and_then(Value::as_object_mut) else {
                continue;
            };
            object.insert("of_tomorrow".into(), json!({"at": ["once", 1, null]}));
            let read =
                reread(&key, &newer).unwrap_or_else(|error| panic!("{name}{place}: {error}"));
            // What is somebody else's is kept as it came.
            assert!(read == message || read == newer, "{name}{place}: {read}");
        }
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    for ((key, name), text) in golden() {
        let message: Value = serde_json::from_str(&text).unwrap();
        for field in required(&key, &message) {
            if FOREIGN.contains(&dotted(&field).as_str()) {
                continue;
            }
            let mut other = message.clone();
            let (holder, last) = holder(&mut other, &field);
            let value = holder.get_mut(&last).unwrap();
            *value = if value.is_object() { json!("v2") } else { json!({"v2": value}) };
            assert!(reread(&key, &other).is_err(), "{name}: {field} may be anything");
        }
    }
}
