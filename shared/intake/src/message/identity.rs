//! What a message is called: by its provider, if the provider has a name for it.
//!
//! The message's id derives from the provider's, so a retry is the same message to every instance
//! and to the database, whose uniqueness does the rest.

use actix_web::http::header::HeaderMap;
use recado_types::field_path::scalar_text;
use recado_types::trigger::Idempotency;
use recado_types::{MessageId, TriggerId};
use serde_json::Value;

use crate::refusal::Refusal;

/// The longest id of a provider, in bytes.
pub(super) const MAX_PROVIDER_ID: usize = 256;

/// The id that derives from the provider's: from the configured header, else from the configured
/// field, else from what the channel knows. `None` if there is none of them.
pub(super) fn of(
    trigger: TriggerId,
    configured: &Idempotency,
    headers: &HeaderMap,
    payload: &Value,
    of_channel: Option<String>,
) -> Result<Option<MessageId>, Refusal> {
    let named = match in_header(configured, headers)? {
        Some(named) => Some(named),
        None => in_payload(configured, payload)?,
    };
    let of_channel = || of_channel.map(|id| ("the channel's message id".to_owned(), id));
    let Some((field, id)) = named.or_else(of_channel) else { return Ok(None) };
    if id.is_empty() || id.len() > MAX_PROVIDER_ID {
        let reason = format!("must have 1 to {MAX_PROVIDER_ID} bytes; it identifies the message");
        return Err(Refusal::InvalidInput { field, reason });
    }
    Ok(Some(MessageId::derived(trigger, &id)))
}

type Named = Option<(String, String)>;

fn in_header(configured: &Idempotency, headers: &HeaderMap) -> Result<Named, Refusal> {
    let Some(name) = configured.header.as_deref() else { return Ok(None) };
    let Some(value) = headers.get(name) else { return Ok(None) };
    let id = value.to_str().map_err(|_not_shown| Refusal::InvalidInput {
        field: name.to_owned(),
        reason: "must be visible ASCII; it identifies the message".into(),
    })?;
    Ok(Some((name.to_owned(), id.trim().to_owned())))
}

fn in_payload(configured: &Idempotency, payload: &Value) -> Result<Named, Refusal> {
    let Some(path) = &configured.path else { return Ok(None) };
    let Some(value) = path.find(payload).filter(|value| !value.is_null()) else { return Ok(None) };
    let field = path.to_string();
    match exact_text(value) {
        Some(id) => Ok(Some((field, id))),
        None => Err(Refusal::InvalidInput {
            field,
            reason: "must be a text or a whole number; it identifies the message".into(),
        }),
    }
}

/// The text of a value that is to tell things apart. A number that is not kept exactly (more than
/// 64 bits, or a fraction) would make two things one, so it has none.
pub(crate) fn exact_text(value: &Value) -> Option<String> {
    if value.is_f64() {
        return None;
    }
    scalar_text(value)
}
