//! By what the chunks of a delivery travel: requests of the trigger's callback, or mails.

use recado_callback::sent::SentSecret;
use recado_types::trigger::email::Smtp;
use recado_types::trigger::{Callback, Email, RetryPolicy, Source, Transform, TriggerConfig};

use crate::smtp::{Mailer, NoLogin};

/// What a trigger says of how its answers travel.
pub(super) enum Way {
    Callback(Box<Callback>),
    Mail { email: Box<Email>, smtp: Box<Smtp> },
}

/// A way, with the value of the secret that it names. That is looked up for each delivery, so that
/// a changed secret counts from the next one on.
pub(super) enum Carrier {
    Callback { callback: Box<Callback>, secret: Option<String> },
    Mail(Box<Mailer>),
}

impl Way {
    /// `None` where answers go nowhere.
    pub(super) fn of(config: &TriggerConfig) -> Option<Self> {
        if let Some(callback) = &config.execution.callback {
            return Some(Self::Callback(Box::new(callback.clone())));
        }
        let Source::Email(email) = &config.source else { return None };
        let smtp = Box::new(email.smtp.clone()?);
        Some(Self::Mail { email: email.clone(), smtp })
    }

    /// What happens to a text before it is split.
    pub(super) fn transform(&self) -> Transform {
        match self {
            Self::Callback(callback) => callback.transform,
            Self::Mail { smtp, .. } => smtp.transform,
        }
    }

    pub(super) fn secret_ref(&self) -> Option<&str> {
        match self {
            Self::Callback(callback) => callback.auth.secret_ref(),
            Self::Mail { smtp, .. } => smtp.secret_ref.as_deref(),
        }
    }

    pub(super) fn with_secret(self, secret: Option<String>) -> Result<Carrier, NoLogin> {
        match self {
            // Whether it does without a secret is found out when a request is written.
            Self::Callback(callback) => Ok(Carrier::Callback { callback, secret }),
            Self::Mail { email, smtp } => {
                let mailer = Mailer::new(email, *smtp, secret.as_deref())?;
                Ok(Carrier::Mail(Box::new(mailer)))
            }
        }
    }
}

impl Carrier {
    /// What answers must not show of the secret.
    pub(super) fn sent_secret(&self) -> SentSecret {
        match self {
            Self::Callback { callback, secret } => {
                SentSecret::of(&callback.auth, secret.as_deref())
            }
            Self::Mail(mailer) => mailer.sent_secret(),
        }
    }

    /// How often a chunk is tried.
    pub(super) fn retry(&self) -> &RetryPolicy {
        match self {
            Self::Callback { callback, .. } => &callback.retry,
            Self::Mail(mailer) => &mailer.smtp().retry,
        }
    }
}
