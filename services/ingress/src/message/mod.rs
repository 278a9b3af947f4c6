//! From a payload to a message: whose it is, what it says, and what it is called.
//!
//! Pure: the same request under the same configuration is the same message, its id included
//! wherever the provider has one.

mod context;
pub(crate) mod identity;
mod session;
mod text;

use actix_web::http::header::HeaderMap;
use recado_clock::Clock;
use recado_messages::Inbound;
use recado_types::Fingerprint;
use recado_types::field_path::FieldPath;
use recado_types::trigger::ContextField;
use serde_json::{Map, Value};

pub(crate) use context::map as context_of;

use crate::channel::Incoming;
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;

/// The message that `incoming` is, with the context that was made of it.
pub(crate) fn normalise(
    trigger: &CompiledTrigger,
    headers: &HeaderMap,
    incoming: &Incoming,
    context: Map<String, Value>,
    clock: &dyn Clock,
) -> Result<Inbound, Refusal> {
    let config = &trigger.config;
    let payload = &incoming.payload;
    let text = text::extract(&config.query_extraction, &config.context_mapping, incoming)?;
    let of_channel = incoming.provider_id.clone();
    let named = identity::of(trigger.id, &config.idempotency, headers, payload, of_channel)?;
    let id = named.unwrap_or_else(|| clock.fresh_id().into());
    let session_id = session::of(trigger, id, &context, payload)?;
    Ok(Inbound {
        id,
        tenant_id: trigger.tenant_id,
        trigger_id: trigger.id,
        session_id,
        accepted_at: clock.now(),
        text,
        context,
        fingerprint: named.map(|_| fingerprint(&trigger.channel.essence(incoming.as_sent()))),
    })
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

/// That of a content, however it was spelled: keys in order, no spaces.
fn fingerprint(essence: &Value) -> Fingerprint {
    Fingerprint::of(essence.to_string().as_bytes())
}

#[cfg(test)]
mod tests;
