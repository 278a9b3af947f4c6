//! How an answer to a mail is written.
//!
//! It goes back to where the mail came from, in its thread, and says that a machine wrote it
//! (RFC 3834). Whatever stands in its header is one line, whoever wrote it: an id that is none is
//! left out, and of texts everything goes that would end a line.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use lettre::address::Envelope;
use lettre::message::header::{
    ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0,
};
use lettre::message::{Body, Mailbox};
use lettre::{Address, Message};
use recado_types::trigger::email::MailAddress;
use url::Host;

use crate::clean;
use crate::mail::{self, Thread};

/// The longest subject, in characters, and the longest id: with the name of its field each fits
/// in a line of 998 characters, which is the longest that servers take.
const MAX_SUBJECT: usize = 900;
const MAX_ID: usize = 900;
/// How many earlier mails an answer names.
const MAX_REFERENCES: usize = 20;

/// What an answer is made of.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The trigger's own address.
    pub from: &'a MailAddress,
    /// The name beside it.
    pub from_name: Option<&'a str>,
    /// The mail that is answered.
    pub thread: &'a Thread,
    /// The answer's own id, `<…@…>`: the same whenever it is sent again.
    pub message_id: &'a str,
    /// When it is sent.
    pub date: DateTime<Utc>,
    /// What it says.
    pub text: &'a str,
}

/// A mail as it is sent.
#[derive(Clone, Debug)]
pub struct Written {
    /// From whom, to whom.
    pub envelope: Envelope,
    /// Header and body.
    pub bytes: Vec<u8>,
}

/// Why an answer cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The mail says nowhere where it came from.
    #[error("the mail has no address to answer to")]
    NoRecipient,
    /// An address that no server takes, or not every server.
    #[error("the mail's address is none that can be answered to")]
    Recipient,
    /// The answer's own id is none.
    #[error("the message id of the answer is not of the form <…@…>")]
    MessageId,
    /// Something else.
    #[error("failed to write the answer")]
    Write(#[from] lettre::error::Error),
}

/// Writes an answer. The same answer is always written in the same way.
///
/// # Errors
/// If the mail cannot be answered.
pub fn write(answer: &Answer<'_>) -> Result<Written, AnswerError> {
    let message_id = usable_id(answer.message_id).ok_or(AnswerError::MessageId)?;
    let own = Address::new_dangerous(answer.from.local_part(), answer.from.domain());
    let answered = answer.thread.reply_to.as_ref().ok_or(AnswerError::NoRecipient)?;
    let recipient = recipient(&answered.address)?;
    let envelope = Envelope::new(Some(own.clone()), vec![recipient.clone()])?;
    let mut message = Message::builder()
        .envelope(envelope.clone())
        .date(SystemTime::from(answer.date).max(SystemTime::UNIX_EPOCH))
        .from(Mailbox::new(name(answer.from_name), own))
        .to(Mailbox::new(name(answered.name.as_deref()), recipient))
        .subject(subject(&answer.thread.subject))
        .message_id(Some(message_id.to_owned()));
    if let Some(id) = answer.thread.message_id.as_deref().and_then(usable_id) {
        message = message.in_reply_to(id.to_owned());
    }
    if let Some(references) = references(answer.thread) {
        message = message.references(references);
    }
    for (header, value) in [AUTO_SUBMITTED, UNWANTED_ANSWERS] {
        let header = HeaderName::new_from_ascii_str(header);
        message = message.raw_header(HeaderValue::new(header, value.to_owned()));
    }
    let text = clean::lines(answer.text);
    let message = message.header(MIME_VERSION_1_0).header(ContentType::TEXT_PLAIN);
    let written = message.body(quoted_printable(text))?;
    Ok(Written { envelope, bytes: written.formatted() })
}

const AUTO_SUBMITTED: (&str, &str) = ("Auto-Submitted", "auto-replied");
const UNWANTED_ANSWERS: (&str, &str) = ("X-Auto-Response-Suppress", "All");

/// Every text survives every server in it.
fn quoted_printable(text: String) -> Body {
    let encoding = ContentTransferEncoding::QuotedPrintable;
    Body::new_with_encoding(text, encoding)
        .unwrap_or_else(|bytes| Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::Binary))
}

fn usable_id(id: &str) -> Option<&str> {
    clean::message_id(id).filter(|id| id.len() <= MAX_ID)
}

fn name(name: Option<&str>) -> Option<String> {
    let name = clean::line(name?, 255);
    (!name.is_empty()).then_some(name)
}

/// An address whose domain is in ASCII. One that has anything else before its `@` needs servers
/// that all know SMTPUTF8, so it is refused here and not on its way.
fn recipient(address: &str) -> Result<Address, AnswerError> {
    let (local, domain) = address.rsplit_once('@').ok_or(AnswerError::Recipient)?;
    let domain = match Host::parse(domain) {
        Ok(Host::Domain(domain)) => domain,
        _ => domain.to_owned(),
    };
    let is_plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>')
    };
    let address = (is_plain(local) && is_plain(&domain)).then(|| Address::new(local, domain).ok());
    address.flatten().ok_or(AnswerError::Recipient)
}

/// `Re: ` before what the mail was about, once.
fn subject(answered: &str) -> String {
    let mut about = answered.trim();
    while let Some(rest) = without_prefix(about) {
        about = rest;
    }
    clean::line(&format!("Re: {about}"), MAX_SUBJECT)
}

/// `re` in some languages.
fn without_prefix(subject: &str) -> Option<&str> {
    let (prefix, rest) = subject.split_once(':')?;
    let prefix = prefix.trim_end();
    PREFIXES.iter().any(|known| prefix.eq_ignore_ascii_case(known)).then(|| rest.trim_start())
}

const PREFIXES: [&str; 5] = ["re", "res", "aw", "antw", "sv"];

/// The mails before the answer, if any: the first one and the last ones.
fn references(thread: &Thread) -> Option<String> {
    let ids = thread.references.iter().chain(&thread.message_id);
    let mut known: Vec<String> = Vec::new();
    for id in ids.filter_map(|id| usable_id(id)) {
        if !known.iter().any(|it| it == id) {
            known.push(id.to_owned());
        }
    }
    (!known.is_empty()).then(|| mail::ends_of(known, MAX_REFERENCES).join(" "))
}

#[cfg(test)]
mod tests;
