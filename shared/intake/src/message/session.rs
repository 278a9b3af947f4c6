//! Which conversation a message belongs to.
//!
//! A value that is missing is an error that names it. Anything else, an empty text for instance,
//! would put strangers into one conversation.

use recado_types::field_path::FieldPath;
use recado_types::trigger::{ContextField, SessionStrategy, TriggerConfig};
use recado_types::{MessageId, SessionId};
use serde_json::{Map, Value};

use super::identity::exact_text;
use super::value_at;
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;

/// The session of a message.
pub(super) fn of(
    trigger: &CompiledTrigger,
    message: MessageId,
    context: &Map<String, Value>,
    payload: &Value,
) -> Result<SessionId, Refusal> {
    let TriggerConfig { session_strategy, context_mapping, .. } = &trigger.config;
    match session_strategy {
        SessionStrategy::Ephemeral => Ok(SessionId::ephemeral(message)),
        SessionStrategy::Shared => {
            Ok(SessionId::derived(trigger.tenant_id, trigger.id, &[] as &[&str]))
        }
        SessionStrategy::Derive(fields) => {
            let values: Vec<String> = fields
                .iter()
                .map(|field| value_of(field, context_mapping, context, payload))
                .collect::<Result<_, _>>()?;
            Ok(SessionId::derived(trigger.tenant_id, trigger.id, &values))
        }
    }
}

/// A field's value, which must be there.
fn value_of(
    field: &FieldPath,
    mapping: &[ContextField],
    context: &Map<String, Value>,
    payload: &Value,
) -> Result<String, Refusal> {
    let name = field.to_string();
    let value = value_at(field, mapping, context, payload);
    let refuse = |reason: &str| Refusal::InvalidInput {
        field: name.clone(),
        reason: format!("{reason}; the session is derived from it"),
    };
    match value {
        None | Some(Value::Null) => Err(refuse("is missing")),
        Some(value) => match exact_text(value) {
            None => Err(refuse("must be a text or a whole number")),
            Some(text) if text.trim().is_empty() => Err(refuse("is empty")),
            Some(text) => Ok(text),
        },
    }
}
