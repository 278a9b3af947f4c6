//! Answers by mail: each chunk is one, in the thread of the mail that it answers.
//!
//! * `compose` writes the mail: the same one, with the same id, whenever it is sent again.
//! * `session` hands it to the tenant's mail server, through the guard.
//! * `report` says what came of it, in the words that callbacks have for it too.

mod compose;
mod report;
mod session;
mod wire;

use chrono::{DateTime, Utc};
use recado_callback::sent::SentSecret;
use recado_http::guard::GuardedClient;
use recado_mail::answer::Written;
use recado_types::hosts::DestinationHosts;
use recado_types::trigger::Email;
use recado_types::trigger::email::Smtp;

use crate::callback::answer::Report;
pub(crate) use compose::{Uncomposed, Which};
use session::{Login, Server};

/// How the answers of a trigger are sent: what it says of its mailbox, and what is read for each
/// delivery.
pub(crate) struct Mailer {
    email: Box<Email>,
    smtp: Smtp,
    login: Option<Login>,
    helo: String,
}

/// A mail that can be sent.
pub(crate) struct Composed {
    /// As servers know it.
    message_id: String,
    written: Written,
}

/// The secret that the trigger names cannot be logged in with.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum NoLogin {
    /// It is not there.
    #[error("the secret of email.smtp is not there")]
    Missing,
    /// It is no user and password.
    #[error("the secret of email.smtp is not of the form user:password")]
    Invalid,
}

impl NoLogin {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Missing => "secret_missing",
            Self::Invalid => "secret_invalid",
        }
    }
}

impl Mailer {
    /// `secret` is the value of what `email.smtp` names.
    pub(crate) fn new(
        email: Box<Email>,
        smtp: Smtp,
        secret: Option<&str>,
    ) -> Result<Self, NoLogin> {
        let login = match (&smtp.secret_ref, secret) {
            (None, _) => None,
            (Some(_), None) => return Err(NoLogin::Missing),
            (Some(_), Some(secret)) => Some(Login::of(secret).ok_or(NoLogin::Invalid)?),
        };
        let helo = email.address.domain().to_owned();
        Ok(Self { email, smtp, login, helo })
    }

    /// How it is sent.
    pub(crate) fn smtp(&self) -> &Smtp {
        &self.smtp
    }

    /// What servers must not be seen to say of its secret.
    pub(crate) fn sent_secret(&self) -> SentSecret {
        self.login.as_ref().map(Login::sent).unwrap_or_default()
    }

    /// Writes one chunk as a mail.
    pub(crate) fn compose(
        &self,
        which: &Which<'_>,
        date: DateTime<Utc>,
    ) -> Result<Composed, Uncomposed> {
        compose::compose(&self.email, self.smtp.from_name.as_deref(), which, date)
    }

    /// Sends it once, within the trigger's `timeout_ms`.
    pub(crate) async fn send(
        &self,
        client: &GuardedClient,
        destinations: &DestinationHosts,
        sent: &SentSecret,
        mail: &Composed,
    ) -> Report {
        let server = Server {
            client,
            destinations,
            smtp: &self.smtp,
            helo: &self.helo,
            login: self.login.as_ref(),
        };
        let result = session::send(&server, &mail.written).await;
        report::read(result, sent, &mail.message_id)
    }
}
