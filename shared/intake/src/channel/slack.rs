//! Slack: the Events API, slash commands and interactions, all signed by `X-Slack-Signature`.
//!
//! A retry (`X-Slack-Retry-Num`) has the id of the event it repeats, so it needs no rule of its own.
//!
//! An app that subscribes to both `message.channels` and `app_mention` is sent a mention twice,
//! under two ids; Slack means them as two events, and so do we. Subscribe to one of them.

mod event;
mod interaction;

use actix_web::http::StatusCode;
use recado_types::trigger;
use serde_json::Value;

use super::hmac::is_sha256_of;
use super::signed::{hex_after, is_recent};
use super::{Arrival, Channel, Incoming, Says, Secrets, as_it_is, echo, form_json, text_at};
use crate::answer::Answer;
use crate::auth::{Keys, Received};
use crate::refusal::Refusal;

/// The adapter of `slack`.
#[derive(Debug)]
pub(super) struct Slack {
    keys: Keys,
}

impl Slack {
    pub(super) fn new(channel: &trigger::Channel, secrets: &Secrets) -> Self {
        Self { keys: secrets.keys(channel.signing_secret_ref.as_deref(), as_it_is) }
    }
}

impl Channel for Slack {
    /// `v0=<hex>`, over `v0:<timestamp>:<body>`.
    fn is_authentic(&self, request: &Received<'_>) -> bool {
        let timestamp = request.only_header("X-Slack-Request-Timestamp");
        let claimed = request.only_header("X-Slack-Signature");
        let claimed = claimed.and_then(|text| hex_after("v0=", text));
        let (Some(timestamp), Some(claimed)) = (timestamp, claimed) else { return false };
        let (claimed, signed) = ([claimed], [b"v0:", timestamp.as_bytes(), b":", request.body]);
        is_recent(timestamp, request.at)
            && self.keys.any(request.at, |key| is_sha256_of(&claimed, key, &signed))
    }

    fn interpret(&self, request: &Received<'_>, payload: Value) -> Result<Arrival, Refusal> {
        let payload = form_json::opened(payload, request.limits)?;
        let message = match text_at(&payload, "/type") {
            Some("url_verification") => return handshake(&payload),
            Some("event_callback") => event::message(payload),
            Some(_) => interaction::message(payload),
            None => command(payload),
        };
        Ok(match message {
            Some(message) => Arrival::Messages(vec![message]),
            None => Arrival::Notice(nothing_to_say()),
        })
    }
}

/// Slack shows what else there would be to the user.
fn nothing_to_say() -> Answer {
    Answer::new(StatusCode::OK, "text/plain", String::new())
}

/// Slack asks whether the address is ours, when it is entered.
fn handshake(payload: &Value) -> Result<Arrival, Refusal> {
    let answer = text_at(payload, "/challenge").and_then(echo);
    answer.map(Arrival::Notice).ok_or_else(|| Refusal::InvalidInput {
        field: "challenge".to_owned(),
        reason: "must be a short text in visible ASCII".to_owned(),
    })
}

/// A slash command. Without a text, the command itself is what was said. `ssl_check` is Slack's
/// own question whether our certificate is good.
fn command(payload: Value) -> Option<Incoming> {
    let owned = |name| text_at(&payload, name).map(str::to_owned);
    let command = owned("/command").filter(|_| text_at(&payload, "/ssl_check") != Some("1"))?;
    let (provider_id, sender) = (owned("/trigger_id"), owned("/user_id"));
    let (says, description) = (Says::Text(owned("/text").unwrap_or_default()), Some(command));
    Some(Incoming { provider_id, says, description, sender, ..Incoming::of(payload) })
}

#[cfg(test)]
mod tests;
