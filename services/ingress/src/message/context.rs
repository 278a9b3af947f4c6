//! What a trigger takes from the payload for the agent, its tools and its callback.

use recado_types::trigger::ContextField;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The largest context, in bytes of its texts. A mapping may point at the same part of a body many
/// times over; without this, one request could become a message of a hundred times its size.
pub(super) const MAX_CONTEXT: usize = 256 * 1024;

/// Maps `payload`. What is not in it is not in the context.
pub(crate) fn map(
    mapping: &[ContextField],
    payload: &Value,
) -> Result<Map<String, Value>, Refusal> {
    let mut context = Map::new();
    let mut size = 0;
    for field in mapping {
        let Some(value) = field.find(payload) else { continue };
        size += size_of(&value);
        if size > MAX_CONTEXT {
            return Err(Refusal::InvalidInput {
                field: format!("context_mapping.{}", field.name),
                reason: format!("the mapped context is larger than {MAX_CONTEXT} bytes"),
            });
        }
        context.insert(field.name.clone(), value);
    }
    Ok(context)
}

/// About as many bytes as the value has in JSON.
fn size_of(value: &Value) -> usize {
    const SCALAR: usize = 8;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => SCALAR,
        Value::String(text) => text.len() + SCALAR,
        Value::Array(items) => items.iter().map(size_of).sum::<usize>() + SCALAR,
        Value::Object(object) => {
            object.iter().map(|(key, value)| key.len() + size_of(value)).sum::<usize>() + SCALAR
        }
    }
}
