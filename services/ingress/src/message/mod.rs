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
use recado_messages::Inbound;
use serde_json::Value;

use crate::channel::Hints;
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;

/// The message that `payload` holds.
pub(crate) fn normalise(
    trigger: &CompiledTrigger,
    headers: &HeaderMap,
    payload: &Value,
    hints: Hints,
    clock: &dyn Clock,
) -> Result<Inbound, Refusal> {
    let config = &trigger.config;
    let text = text::extract(&config.query_extraction, payload, hints.description)?;
    let context = context::map(&config.context_mapping, payload)?;
    let id = identity::of(trigger.id, &config.idempotency, headers, payload, hints.provider_id)?
        .unwrap_or_else(|| clock.fresh_id().into());
    let session_id = session::of(trigger, id, &config.session_strategy, &context, payload)?;
    Ok(Inbound {
        id,
        tenant_id: trigger.tenant_id,
        trigger_id: trigger.id,
        session_id,
        accepted_at: clock.now(),
        text,
        context,
        fingerprint: None,
    })
}

#[cfg(test)]
mod tests;
