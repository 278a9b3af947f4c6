//! Channels: what differs between the outside systems that send webhooks.
//!
//! Each is an adapter in a file of its own, behind [`Channel`]. To add one: write the adapter,
//! give it a [`ChannelKind`] in `recado_types`, and name it in [`adapter`].

mod plain;
mod twilio;

use std::fmt::Debug;

use recado_types::trigger::{self, inbound::ChannelKind};
use serde_json::Value;

use crate::answer::Answer;
use crate::auth::Received;

/// A provider's own rules.
pub(crate) trait Channel: Debug + Send + Sync {
    /// The part of the channel's secret that requests are signed with; `None` if the secret is not
    /// in the form that the channel's documentation asks for.
    fn signing_key<'s>(&self, secret: &'s str) -> Option<&'s str>;

    /// Whether the provider made `request`: judged by the raw bytes, in constant time.
    fn is_authentic(&self, request: &Received<'_>, key: &str) -> bool;

    /// What an authentic request is about.
    fn interpret(&self, payload: &Value) -> Arrival;
}

/// What a request is about.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Somebody wrote something.
    Message(Hints),
    /// Something that only needs an answer, a delivery report for example.
    Notice(Answer),
}

/// What the channel knows about a message beyond what the trigger's configuration asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// What the provider calls the message; the same for a retry of it.
    pub(crate) provider_id: Option<String>,
    /// What stands in for the text of a message that has none.
    pub(crate) description: Option<String>,
}

/// The adapter of a trigger's channel.
pub(crate) fn adapter(channel: Option<&trigger::Channel>) -> &'static dyn Channel {
    match channel.map(|channel| channel.kind) {
        None => &plain::Plain,
        Some(ChannelKind::TwilioWhatsapp | ChannelKind::TwilioSms) => &twilio::Twilio,
    }
}
