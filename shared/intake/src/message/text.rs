//! What the agent is asked.

use recado_types::field_path::scalar_text;
use recado_types::hidden::without_hidden_names;
use recado_types::template::text_of;
use recado_types::trigger::{ContextField, QueryExtraction, shown_body};
use serde_json::Value;

use crate::channel::{Incoming, Says};
use crate::refusal::Refusal;

/// The longest text, in bytes, that a template or an expression may make of a body.
pub(super) const MAX_MADE: usize = 1 << 20;

/// The text of a message, or its description if it has none. A message without either starts
/// nothing.
///
/// What is hidden from models is not in it: names that are hidden never, and of a whole body not
/// what the hidden fields of `mapping` point at either. An expression may name the latter: then it
/// was meant.
pub(super) fn extract(
    extraction: &QueryExtraction,
    mapping: &[ContextField],
    message: &Incoming,
) -> Result<String, Refusal> {
    let payload = &message.payload;
    let (field, text) = match extraction {
        QueryExtraction::Channel => match &message.says {
            Says::Text(text) => ("text".to_owned(), text.clone()),
            Says::Payload => ("body".to_owned(), whole(mapping, payload)?),
        },
        QueryExtraction::Field(path) => {
            let field = path.to_string();
            let text = scalar_or_nothing(path.find(payload).unwrap_or(&Value::Null), &field)?;
            (field, text)
        }
        QueryExtraction::Jmespath(expression) => {
            let field = "query_extraction.expression";
            let refuse = |reason: String| refused(field, reason);
            let made = expression.evaluate(&without_hidden_names(payload));
            let made = made.map_err(|error| refuse(error.to_string()))?;
            let text = text_of(&made);
            if text.len() > MAX_MADE {
                return Err(refuse(format!("makes more than {MAX_MADE} bytes of this body")));
            }
            (field.to_owned(), text)
        }
        QueryExtraction::Template(template) => {
            let field = "query_extraction.template";
            let text = template.render_within(&without_hidden_names(payload), MAX_MADE);
            (field.to_owned(), text.map_err(|error| refused(field, error.to_string()))?)
        }
        QueryExtraction::FullBody => ("body".to_owned(), whole(mapping, payload)?),
    };
    // A payload has none; an expression can make one.
    if text.contains('\0') {
        return Err(refused(&field, "contains U+0000".into()));
    }
    if !text.trim().is_empty() {
        return Ok(text);
    }
    message.description.clone().ok_or_else(|| refused(&field, "is missing or empty".into()))
}

fn whole(mapping: &[ContextField], payload: &Value) -> Result<String, Refusal> {
    let shown = shown_body(mapping, payload);
    shown.map(|body| text_of(&body)).map_err(|error| refused("context_mapping", error.to_string()))
}

fn scalar_or_nothing(found: &Value, field: &str) -> Result<String, Refusal> {
    match found {
        Value::Null => Ok(String::new()),
        found => scalar_text(found).ok_or_else(|| refused(field, "must be a text".into())),
    }
}

fn refused(field: &str, reason: String) -> Refusal {
    Refusal::InvalidInput { field: field.to_owned(), reason }
}
