//! A `generic` channel: a webhook that its trigger describes, field by field as in seed 001.
//!
//! Everything is judged when it is saved and compiled when it is loaded: expressions, patterns and
//! the schema. What they may cost for one request is bounded, since a tenant writes them and a
//! stranger chooses what they run on.

mod headers;
mod pattern;
mod schema;
mod signature;
mod transform;

#[cfg(test)]
pub(super) mod tests;

pub use headers::HeaderSecret;
pub use pattern::{MAX_MATCHED, Pattern, PatternError};
pub use schema::{InputSchema, Misfit, SchemaError};
pub use signature::{Component, Encoding, Part, Place, SignatureVerification, SigningHash, Spot};
pub use transform::{MAX_DEPTH, OutputTransform, TransformError};

use crate::shape::ObjectReader;
use crate::template::PayloadTemplate;
use crate::trigger::inbound::shows_nothing_hidden;

/// What a generic channel checks, and what it makes of a payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generic {
    /// `signatureVerification`: how its requests are signed. There is a `signing_secret_ref` if
    /// there is this, and only then.
    pub signature: Option<SignatureVerification>,
    /// `signingSecretCredentialReferenceId`: the secret that signatures are made with.
    pub signing_secret_ref: Option<String>,
    /// `authentication.headers`: headers that have to hold secrets, all of them.
    pub headers: Vec<HeaderSecret>,
    /// `inputSchema`: what a payload has to look like.
    pub input_schema: Option<InputSchema>,
    /// `outputTransform`: what is made of a payload before anything else looks at it.
    pub output_transform: Option<OutputTransform>,
    /// `messageTemplate`: what the agent is asked.
    pub message_template: Option<PayloadTemplate>,
}

impl Generic {
    /// Reads the fields of `channel` that are its own.
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Self {
        let has_signature = fields.any("signatureVerification").is_some();
        let signature = SignatureVerification::read(fields);
        let secret_ref = fields.string("signingSecretCredentialReferenceId", 1..=128);
        let has_secret = fields.any("signingSecretCredentialReferenceId").is_some();
        // Half of it would check nothing, and look as if it did.
        if has_signature && !has_secret {
            fields.refuse(
                "signingSecretCredentialReferenceId",
                "is required with `signatureVerification`: name the secret that signs",
            );
        }
        if has_secret && !has_signature {
            fields.refuse(
                "signatureVerification",
                "is required with `signingSecretCredentialReferenceId`: \
                 say how that secret signs",
            );
        }
        Self {
            signature,
            signing_secret_ref: secret_ref.map(str::to_owned),
            headers: headers::read(fields),
            input_schema: InputSchema::read(fields),
            output_transform: OutputTransform::read(fields),
            message_template: read_message_template(fields),
        }
    }

    /// Whether it tells its requests from others by itself.
    pub fn is_guarded(&self) -> bool {
        self.signature.is_some() || !self.headers.is_empty()
    }

    /// The secrets it names, each with where it does so.
    pub(super) fn secret_refs(&self) -> Vec<(String, &str)> {
        let signing = self
            .signing_secret_ref
            .iter()
            .map(|name| ("channel.signingSecretCredentialReferenceId".to_owned(), name.as_str()));
        let headers = self.headers.iter().enumerate().map(|(index, header)| {
            let path = format!("channel.authentication.headers[{index}].secret_ref");
            (path, header.secret_ref.as_str())
        });
        signing.chain(headers).collect()
    }
}

fn read_message_template(fields: &mut ObjectReader<'_>) -> Option<PayloadTemplate> {
    const KEY: &str = "messageTemplate";
    let text = fields.string(KEY, 1..=16_384)?;
    if text.trim().is_empty() {
        fields.refuse(KEY, "must not be blank");
        return None;
    }
    let template = fields.accept(KEY, text.parse())?;
    shows_nothing_hidden(fields, KEY, &template).then_some(template)
}
