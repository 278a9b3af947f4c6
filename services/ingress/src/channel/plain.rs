//! Any system without rules of its own: n8n, Zapier, an ERP, your own app.

use serde_json::Value;

use super::{Arrival, Channel, Hints};
use crate::auth::Received;

/// The adapter of triggers that name no channel.
#[derive(Debug)]
pub(super) struct Plain;

impl Channel for Plain {
    /// It has no signature of its own; the native one is checked with the `webhook_secret`.
    fn signing_key<'s>(&self, _secret: &'s str) -> Option<&'s str> {
        None
    }

    fn is_authentic(&self, _request: &Received<'_>, _key: &str) -> bool {
        false
    }

    fn interpret(&self, _payload: &Value) -> Arrival {
        Arrival::Message(Hints::default())
    }
}
