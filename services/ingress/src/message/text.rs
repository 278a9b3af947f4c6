//! What the agent is asked.

use recado_types::field_path::scalar_text;
use recado_types::template::text_of;
use recado_types::trigger::QueryExtraction;
use serde_json::Value;

use crate::refusal::Refusal;

/// The text of a message, or `description` if it has none. A message without either starts
/// nothing.
pub(super) fn extract(
    extraction: &QueryExtraction,
    payload: &Value,
    description: Option<String>,
) -> Result<String, Refusal> {
    let (field, text) = match extraction {
        QueryExtraction::Field(path) => {
            let field = path.to_string();
            let found = path.find(payload).unwrap_or(&Value::Null);
            let text = match found {
                Value::Null => String::new(),
                found => scalar_text(found).ok_or_else(|| Refusal::InvalidInput {
                    field: field.clone(),
                    reason: "must be a text".into(),
                })?,
            };
            (field, text)
        }
        QueryExtraction::FullBody => ("body".to_owned(), text_of(payload)),
    };
    if !text.trim().is_empty() {
        return Ok(text);
    }
    let reason = || "is missing or empty".into();
    description.ok_or_else(|| Refusal::InvalidInput { field, reason: reason() })
}
