//! Any system without rules of its own: n8n, Zapier, an ERP, your own app.

use serde_json::Value;

use super::{Arrival, Channel, Incoming};
use crate::auth::Received;
use crate::refusal::Refusal;

/// The adapter of triggers that name no channel.
#[derive(Debug)]
pub(super) struct Plain;

impl Channel for Plain {
    /// It has no signature of its own; the native one is checked with the `webhook_secret`.
    fn is_authentic(&self, _request: &Received<'_>) -> bool {
        false
    }

    fn interpret(&self, _request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        Ok(Arrival::Messages(vec![Incoming::of(payload)]))
    }
}
