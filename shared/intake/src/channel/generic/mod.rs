//! A webhook that its trigger describes (seed 001).
//!
//! What it checks, it checks whatever `auth` says, and before the payload is read. Then the payload
//! goes through the input schema and the output transform, and what comes out is the payload to
//! everything after this, except where two tries are compared.

mod signature;

#[cfg(test)]
mod tests;

use std::error::Error;

use recado_types::hidden::without_hidden_names;
use recado_types::trigger;
use recado_types::trigger::generic::TransformError;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Arrival, Channel, Incoming, Says, Secrets, as_it_is};
use crate::auth::{Keys, Proof, Received};
use crate::refusal::Refusal;

/// The longest text that a template may make, in bytes.
const MAX_MADE: usize = 1 << 20;

/// The adapter, with the keys of one trigger.
#[derive(Debug)]
pub(super) struct Generic {
    described: trigger::Generic,
    signing_keys: Keys,
    headers: Vec<SecretHeader>,
}

/// A header that has to hold one of these values.
#[derive(Debug)]
struct SecretHeader {
    name: String,
    values: Keys,
}

impl SecretHeader {
    /// Compares hashes, which have one length, so nothing can be told from the time it takes.
    fn is_in(&self, request: &Received<'_>) -> bool {
        let Some(value) = request.only_value(&self.name) else { return false };
        let given = Sha256::digest(value.as_bytes());
        self.values.any(request.at, |expected| {
            Sha256::digest(expected).as_slice().ct_eq(given.as_slice()).into()
        })
    }
}

impl Generic {
    pub(super) fn new(channel: &trigger::Channel, secrets: &Secrets) -> Self {
        let described = channel.generic.as_deref().cloned().unwrap_or_default();
        let signing_keys = secrets.keys(described.signing_secret_ref.as_deref(), as_it_is);
        let header = |header: &trigger::generic::HeaderSecret| SecretHeader {
            name: header.name.clone(),
            values: secrets.keys(Some(&header.secret_ref), as_it_is),
        };
        let headers = described.headers.iter().map(header).collect();
        Self { described, signing_keys, headers }
    }
}

impl Channel for Generic {
    fn is_authentic(&self, request: &Received<'_>) -> bool {
        let is_signed = |rules| signature::is_authentic(rules, &self.signing_keys, request);
        self.described.is_guarded()
            && self.headers.iter().all(|header| header.is_in(request))
            && self.described.signature.as_ref().is_none_or(is_signed)
    }

    fn proof(&self) -> Proof {
        match (&self.described.signature, self.headers.is_empty()) {
            (_, true) => Proof::Signature,
            (None, false) => Proof::HeaderSecret,
            (Some(_), false) => Proof::SignatureAndHeaderSecret,
        }
    }

    fn always_checks(&self) -> bool {
        self.described.is_guarded()
    }

    fn interpret(&self, _request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        if let Some(schema) = &self.described.input_schema {
            schema.check(&payload).map_err(|misfit| Refusal::InvalidInput {
                field: misfit.path,
                reason: misfit.reason,
            })?;
        }
        let (payload, original) = match &self.described.output_transform {
            Some(transform) => {
                let made = transform.apply(&payload).map_err(|error| untransformed(&error))?;
                (made, Some(payload))
            }
            None => (payload, None),
        };
        let says = match &self.described.message_template {
            Some(template) => {
                let made = template.render_within(&without_hidden_names(&payload), MAX_MADE);
                Says::Text(made.map_err(|error| Refusal::InvalidInput {
                    field: "messageTemplate".into(),
                    reason: error.to_string(),
                })?)
            }
            None => Says::Payload,
        };
        Ok(Arrival::Messages(vec![Incoming { original, says, ..Incoming::of(payload) }]))
    }
}

fn untransformed(error: &TransformError) -> Refusal {
    let reason = match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    Refusal::InvalidInput { field: "outputTransform".into(), reason }
}
