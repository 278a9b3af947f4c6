//! What a trigger takes from the payload for the agent, its tools and its callback.

use recado_types::json_path::Subject;
use recado_types::trigger::ContextField;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The largest context, in bytes of its texts. A mapping may point at the same part of a body many
/// times over; without this, one request could become a message of a hundred times its size.
pub(super) const MAX_CONTEXT: usize = 256 * 1024;

/// Maps `payload`. What is not in it is not in the context; what takes too many steps to be looked
/// for, all fields together, refuses the request, because a field that is left out looks the same as
/// one that is not there.
pub fn map(mapping: &[ContextField], payload: &Value) -> Result<Map<String, Value>, Refusal> {
    let mut context = Map::new();
    if mapping.is_empty() {
        return Ok(context);
    }
    let mut size = 0;
    let mut subject = Subject::new(payload);
    for field in mapping {
        let found = field.find(&mut subject).map_err(|error| refused(field, error.to_string()))?;
        let Some(value) = found else { continue };
        size += size_of(&value);
        if size > MAX_CONTEXT {
            let reason = format!("the mapped context is larger than {MAX_CONTEXT} bytes");
            return Err(refused(field, reason));
        }
        context.insert(field.name.clone(), value);
    }
    Ok(context)
}

fn refused(field: &ContextField, reason: String) -> Refusal {
    Refusal::InvalidInput { field: format!("context_mapping.{}", field.name), reason }
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
