//! What a model writes, made fit to be kept and to be sent back to any provider.

use recado_types::LlmCallId;
use serde_json::Value;

/// The longest name that a tool can have, at every provider.
const MAX_NAME_CHARS: usize = 64;
/// The longest id of a call that is kept as the model has it.
const MAX_ID_CHARS: usize = 64;

/// The id of a call that the model gave none: the same each time the same answer is read.
pub(super) fn made_up_id(call_id: LlmCallId, position: usize) -> String {
    format!("call_{}_{position}", call_id.0.simple())
}

/// Whether an id of a call can be kept as the model has it.
pub(super) fn is_usable_id(id: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A name as every provider takes it back. Those of real tools are so already, and what is called
/// otherwise is no tool of ours, whatever it is called.
pub(super) fn usable_name(name: &str) -> String {
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name: String =
        name.chars().take(MAX_NAME_CHARS).map(|c| if usable(c) { c } else { '_' }).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// Arguments without U+0000, also where it is escaped. A call without arguments has an empty
/// object.
pub(super) fn usable_arguments(arguments: &str) -> String {
    if arguments.trim().is_empty() {
        return "{}".to_owned();
    }
    if arguments.contains("\\u0000")
        && let Ok(mut value) = serde_json::from_str(arguments)
    {
        remove_nul(&mut value);
        return value.to_string();
    }
    storable(arguments)
}

fn remove_nul(value: &mut Value) {
    match value {
        Value::String(text) => *text = storable(text),
        Value::Array(items) => items.iter_mut().for_each(remove_nul),
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            fields.extend(old.into_iter().map(|(name, mut value)| {
                remove_nul(&mut value);
                (storable(&name), value)
            }));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `PostgreSQL` keeps no U+0000, and no channel shows one.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "")
}
