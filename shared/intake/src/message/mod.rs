//! From a payload to a message: whose it is, what it says, and what it is called.
//!
//! Pure: the same request under the same configuration is the same message, its id included
//! wherever the provider has one.

mod context;
mod identity;
mod session;
mod text;

use actix_web::http::header::HeaderMap;
use recado_clock::Clock;
use recado_messages::{Inbound, Payload};
use recado_types::field_path::FieldPath;
use recado_types::trigger::{ChannelKind, ContextField};
use recado_types::{Fingerprint, MessageId, SessionId};
use serde_json::{Map, Value};

pub use context::map as context_of;
pub(crate) use identity::exact_text;

use crate::channel::Incoming;
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;

/// The message that `incoming` is, with the context that was made of it.
///
/// # Errors
/// When it says nothing, or when its id or its session cannot be told.
pub fn normalise(
    trigger: &CompiledTrigger,
    headers: &HeaderMap,
    incoming: &Incoming,
    mut context: Map<String, Value>,
    clock: &dyn Clock,
) -> Result<Inbound, Refusal> {
    context.extend(incoming.hidden.clone());
    let text = text_of(trigger, incoming)?;
    let named = named_id(trigger, headers, incoming)?;
    let id = named.unwrap_or_else(|| clock.fresh_id().into());
    let session_id = session_of(trigger, id, &context, incoming)?;
    Ok(Inbound {
        id,
        tenant_id: trigger.tenant_id,
        trigger_id: trigger.id,
        session_id,
        accepted_at: clock.now(),
        text,
        context,
        fingerprint: named.map(|_| fingerprint(trigger, incoming)),
        payload: payload_of(trigger, incoming),
    })
}

/// The message that a happening is: nobody sent a request. Its id has to tell it from every other
/// one, as there is nobody who could be told that it does not.
///
/// # Errors
/// As [`normalise`].
pub fn of_happening(
    trigger: &CompiledTrigger,
    incoming: &Incoming,
    context: Map<String, Value>,
    clock: &dyn Clock,
) -> Result<Inbound, Refusal> {
    let message = normalise(trigger, &HeaderMap::new(), incoming, context, clock)?;
    Ok(Inbound { fingerprint: None, ..message })
}

/// What is kept for those who look the message up: of generic channels only, as seed 001 has it.
fn payload_of(trigger: &CompiledTrigger, incoming: &Incoming) -> Option<Payload> {
    let channel = trigger.config.channel.as_ref()?;
    let is_kept = channel.kind == ChannelKind::Generic;
    is_kept.then(|| Payload {
        request: incoming.as_sent().clone(),
        transformed: incoming.original.as_ref().map(|_| incoming.payload.clone()),
    })
}

/// What the agent is asked.
///
/// # Errors
/// When that is nothing, or no text.
pub fn text_of(trigger: &CompiledTrigger, incoming: &Incoming) -> Result<String, Refusal> {
    let config = &trigger.config;
    text::extract(&config.query_extraction, &config.context_mapping, incoming)
}

/// The id that derives from what its provider calls the message; `None` if it calls it nothing.
///
/// # Errors
/// When what the trigger points at cannot be a name.
pub fn named_id(
    trigger: &CompiledTrigger,
    headers: &HeaderMap,
    incoming: &Incoming,
) -> Result<Option<MessageId>, Refusal> {
    let (configured, of_channel) = (&trigger.config.idempotency, incoming.provider_id.clone());
    identity::of(trigger.id, configured, headers, &incoming.payload, of_channel)
}

/// The conversation of the message `id`.
///
/// # Errors
/// When a value that it is derived from is missing.
pub fn session_of(
    trigger: &CompiledTrigger,
    id: MessageId,
    context: &Map<String, Value>,
    incoming: &Incoming,
) -> Result<SessionId, Refusal> {
    session::of(trigger, id, context, &incoming.payload)
}

/// That of what was sent, however it was spelled: keys in order, no spaces. All tries of a message
/// have the same, and no other message with its id.
pub fn fingerprint(trigger: &CompiledTrigger, incoming: &Incoming) -> Fingerprint {
    let essence = trigger.channel.essence(incoming.as_sent());
    Fingerprint::of(essence.to_string().as_bytes())
}

/// A value that tells senders or conversations apart: of the context, if the trigger maps
/// something to that name, and otherwise of the payload, by its path. What is mapped and not there
/// is not looked for elsewhere: a field of the same name may be anybody's to write.
pub(crate) fn value_at<'v>(
    field: &FieldPath,
    mapping: &[ContextField],
    context: &'v Map<String, Value>,
    payload: &'v Value,
) -> Option<&'v Value> {
    let name = field.to_string();
    let is_mapped = mapping.iter().any(|mapped| mapped.name == name);
    match context.get(&name) {
        None if !is_mapped => field.find(payload),
        of_context => of_context,
    }
}

#[cfg(test)]
mod tests;
