//! `WhatsApp` by Meta's Cloud API. A GET asks who we are; a POST, signed by `X-Hub-Signature-256`,
//! brings up to a thousand messages of several people, and reports on ours, to the same URL.
//!
//! There is no time in the signature. A recorded request that is sent again has the ids of the
//! messages it was, and so starts nothing.

mod batch;
mod content;
mod scale;

use std::borrow::Cow;

use recado_types::trigger;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::signed::has_hub_signature;
use super::{Arrival, Challenge, Channel, Incoming, Secrets, echo, success, text_at};
use crate::answer::Answer;
use crate::auth::{Keys, Received};
use crate::payload::form;
use crate::refusal::Refusal;

/// More than Meta's challenge has, which is three.
const MAX_QUERY_FIELDS: usize = 20;

/// The adapter of `meta_whatsapp`.
#[derive(Debug)]
pub(super) struct Meta {
    keys: Keys,
    verify_tokens: Keys,
}

impl Meta {
    pub(super) fn new(channel: &trigger::Channel, secrets: &Secrets) -> Self {
        Self {
            keys: secrets.keys_or_own(channel.signing_secret_ref.as_deref()),
            verify_tokens: secrets.keys_or_own(channel.verify_token_ref.as_deref()),
        }
    }

    /// The answer to somebody who knows the verify token.
    fn answer_to_challenge(&self, request: &Received<'_>) -> Option<Answer> {
        let query = form::pairs(request.query().as_bytes(), MAX_QUERY_FIELDS).ok()?;
        let is_known = |token: &str| {
            self.verify_tokens.any(request.at, |known| known.ct_eq(token.as_bytes()).into())
        };
        let passes =
            only(&query, "hub.mode")? == "subscribe" && is_known(only(&query, "hub.verify_token")?);
        echo(only(&query, "hub.challenge")?).filter(|_| passes)
    }
}

impl Channel for Meta {
    fn is_authentic(&self, request: &Received<'_>) -> bool {
        has_hub_signature(request, &self.keys)
    }

    fn challenge(&self, request: &Received<'_>) -> Challenge {
        self.answer_to_challenge(request).map_or(Challenge::Failed, Challenge::Passed)
    }

    /// Refusing what is no message would have it sent again for a week.
    fn interpret(&self, _request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        let messages = batch::messages(payload).map_err(|_too_many| Refusal::InvalidInput {
            field: "entry".to_owned(),
            reason: format!("holds more than {} messages", batch::MAX_MESSAGES),
        })?;
        if messages.is_empty() {
            tracing::debug!("a webhook of Meta holds no message of a person");
            return Ok(Arrival::Notice(success()));
        }
        Ok(Arrival::Messages(messages))
    }

    fn sends_batches(&self) -> bool {
        true
    }

    /// The message alone: what Meta sends again it may put into another batch, with another time
    /// and the name that the person has by then.
    fn essence<'p>(&self, payload: &'p Value) -> Cow<'p, Value> {
        Cow::Borrowed(payload.pointer(batch::MESSAGE).unwrap_or(payload))
    }
}

/// The value of a field that is there once.
fn only<'q>(query: &'q [(String, String)], wanted: &str) -> Option<&'q str> {
    let mut values = query.iter().filter(|(name, _)| name == wanted);
    let (_, only) = values.next()?;
    values.next().is_none().then_some(only.as_str())
}

#[cfg(test)]
mod tests;
