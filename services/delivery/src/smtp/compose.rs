//! Writes a chunk as a mail.

use chrono::{DateTime, Utc};
use recado_mail::Thread;
use recado_mail::answer::{self, Answer, AnswerError};
use recado_types::DeliveryId;
use recado_types::hidden::MAIL_THREAD;
use recado_types::trigger::Email;
use serde_json::{Map, Value};

use super::Composed;

/// Which chunk of what.
pub(crate) struct Which<'a> {
    /// The context of the message that is answered.
    pub(crate) context: &'a Map<String, Value>,
    /// What the chunk says.
    pub(crate) text: &'a str,
    /// Which it is, from 1.
    pub(crate) number: u32,
    /// The delivery that it is of.
    pub(crate) delivery_id: DeliveryId,
    /// The round in which that was last to be sent as a whole.
    pub(crate) whole_round: u32,
}

/// Why there is no mail. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Uncomposed {
    /// The message that is answered was no mail.
    #[error("the message that is answered has nothing of a mail")]
    NoMail,
    /// It cannot be answered.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl Uncomposed {
    /// A short, stable name.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoMail => "missing_value",
            Self::Answer(AnswerError::NoRecipient | AnswerError::Recipient) => "recipient_invalid",
            Self::Answer(AnswerError::MessageId | AnswerError::Write(_)) => "invalid_body",
        }
    }
}

/// `date` has to be the same, too, whenever the mail is sent again.
pub(super) fn compose(
    email: &Email,
    from_name: Option<&str>,
    which: &Which<'_>,
    date: DateTime<Utc>,
) -> Result<Composed, Uncomposed> {
    let thread = which.context.get(MAIL_THREAD).ok_or(Uncomposed::NoMail)?;
    let thread: Thread =
        serde_json::from_value(thread.clone()).map_err(|_not_ours| Uncomposed::NoMail)?;
    let message_id = message_id(which, email.address.domain());
    let written = answer::write(&Answer {
        from: &email.address,
        from_name,
        thread: &thread,
        message_id: &message_id,
        date,
        text: which.text,
    })?;
    Ok(Composed { message_id, written })
}

/// As the `Idempotency-Key` of a callback: another one only if the whole answer is asked for again.
fn message_id(which: &Which<'_>, domain: &str) -> String {
    let Which { delivery_id, number, whole_round, .. } = which;
    match whole_round {
        0 | 1 => format!("<{delivery_id}-{number}@{domain}>"),
        round => format!("<{delivery_id}-{number}-{round}@{domain}>"),
    }
}
