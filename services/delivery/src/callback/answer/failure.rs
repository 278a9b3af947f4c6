//! What a channel can say is wrong: the same few words for all of them.
//!
//! The codes are stable, and each message says what whoever configures the trigger can do. A
//! channel's own words are never repeated in it: they may hold a phone number or a token. They can
//! be read in the kept body.

use std::borrow::Cow;
use std::time::Duration;

use super::Problem;
use crate::callback::retry::Outcome;

/// A message that a channel did not take, and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) problem: Problem,
    pub(super) hope: Hope,
}

/// Whether the same request may fare better later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hope {
    /// No: something has to be changed.
    None,
    /// Yes, and so will others to this destination: it cannot take any now.
    ForAll,
    /// Yes, but others are not held up: only this recipient cannot be written to now.
    ForThisOne,
}

impl Failure {
    /// What follows, if the answer asks for a pause of `retry_after`.
    pub(super) fn outcome(&self, retry_after: Option<Duration>) -> Outcome {
        match self.hope {
            Hope::None => Outcome::Refused,
            Hope::ForAll | Hope::ForThisOne => Outcome::Unsettled { retry_after },
        }
    }

    /// Whether it gives the reason for a 4xx, and as much hope as that status by itself.
    pub(super) fn refines(&self, status: u16) -> bool {
        let has_hope = self.hope != Hope::None;
        (400..=499).contains(&status) && has_hope == Outcome::of_status(status, None).has_hope()
    }

    fn new(code: &'static str, message: impl Into<Cow<'static, str>>, hope: Hope) -> Self {
        Self { problem: Problem { code: code.into(), message: message.into() }, hope }
    }

    /// The text is empty, too long or malformed; `limits` says what the channel takes.
    pub(super) fn body_invalid(limits: &'static str) -> Self {
        Self::new("message_body_invalid", limits, Hope::None)
    }

    /// WhatsApp's 24 hours are over.
    pub(super) fn outside_messaging_window() -> Self {
        let message = "WhatsApp takes free-form messages for 24 hours after the user's last one \
                       only: wait for the user to write, or send an approved template";
        Self::new("outside_messaging_window", message, Hope::None)
    }

    /// Too much at once, for everybody.
    pub(super) fn rate_limited(channel: &str) -> Self {
        let message = format!(
            "{channel} takes fewer messages than were sent: ask for a higher limit, or let \
             `inter_chunk_delay_ms` and `retry` leave more time"
        );
        Self::new("rate_limited", message, Hope::ForAll)
    }

    /// Too much at once, for one recipient.
    pub(super) fn recipient_rate_limited(channel: &str) -> Self {
        let message = format!(
            "{channel} takes fewer messages for one recipient than were sent: make fewer chunks \
             with `split_config`, or leave more time between them with `inter_chunk_delay_ms`"
        );
        Self::new("recipient_rate_limited", message, Hope::ForThisOne)
    }

    /// As many as the account may send a day.
    pub(super) fn daily_limit_reached(channel: &str) -> Self {
        let message = format!(
            "the account has sent as many messages as {channel} allows a day: wait, or ask for a \
             higher limit"
        );
        Self::new("daily_limit_reached", message, Hope::ForAll)
    }

    /// Nobody that can be written to.
    pub(super) fn recipient_invalid(channel: &str) -> Self {
        let message = format!(
            "{channel} knows no such recipient: check the placeholder that names it in \
             `body_template` or `url`, and that it can be reached by this channel"
        );
        Self::new("recipient_invalid", message, Hope::None)
    }

    /// Somebody who wants no messages.
    pub(super) fn recipient_unsubscribed(channel: &str) -> Self {
        let message = format!(
            "the recipient has told {channel} to take no more messages from this sender, and has \
             to subscribe again first"
        );
        Self::new("recipient_unsubscribed", message, Hope::None)
    }

    /// Somebody whom no message reaches.
    pub(super) fn recipient_unreachable(channel: &str) -> Self {
        let message = format!(
            "{channel} cannot deliver to this recipient: the number may not have the app, have an \
             old version of it, or not be served from this sender"
        );
        Self::new("recipient_unreachable", message, Hope::None)
    }

    /// Somebody whom this account may not write to.
    pub(super) fn recipient_not_allowed(channel: &str) -> Self {
        let message = format!(
            "the account may not write to this recipient: check in {channel} which recipients or \
             regions are open to it, and whether it is a trial or test account"
        );
        Self::new("recipient_not_allowed", message, Hope::None)
    }

    /// The number or page that sends.
    pub(super) fn sender_invalid(channel: &str) -> Self {
        let message = format!(
            "{channel} does not let the account send from this number: check the sender in `url` \
             or `body_template`"
        );
        Self::new("sender_invalid", message, Hope::None)
    }

    /// A credential that is wrong, has expired or allows too little.
    pub(super) fn credentials_rejected(channel: &str) -> Self {
        let message = format!(
            "{channel} does not take the callback's credential, or it allows too little: renew \
             the secret that `auth` names, and check its permissions"
        );
        Self::new("credentials_rejected", message, Hope::None)
    }

    /// The account is closed, locked or has not paid.
    pub(super) fn account_restricted(channel: &str) -> Self {
        let message = format!(
            "{channel} has restricted the account: look there for what is to be settled, such as \
             a policy or a payment"
        );
        Self::new("account_restricted", message, Hope::None)
    }

    /// A fault of the channel's own.
    pub(super) fn channel_unavailable(channel: &str) -> Self {
        let message = format!("{channel} has a problem of its own: see its status page");
        Self::new("channel_unavailable", message, Hope::ForAll)
    }

    /// Something else.
    pub(super) fn message_refused(channel: &str) -> Self {
        let message = format!("{channel} did not take the message: its answer says why");
        Self::new("message_refused", message, Hope::None)
    }

    /// What a status says that came inside a body.
    pub(super) fn of_inner_status(status: u16) -> Self {
        let problem = Problem::of_status(status);
        let has_hope = Outcome::of_status(status, None).has_hope();
        Self { problem, hope: if has_hope { Hope::ForAll } else { Hope::None } }
    }
}
