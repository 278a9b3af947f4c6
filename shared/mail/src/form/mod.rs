//! Mails that are posted: as they are, or taken apart by a provider.
//!
//! What a provider has taken apart is put together to the same [`Mail`] that its bytes would have
//! given, as far as the provider tells. Nothing that is attached is decoded or kept.

mod fields;
mod mailgun;
mod postmark;
mod sendgrid;
#[cfg(test)]
mod tests;

use recado_types::trigger::email::MailProvider;

use crate::fields::Fields;
use crate::mail::Mail;
use crate::parse::assemble;
use crate::structure::{self, Content, Text};
use crate::{clean, html};

/// Why a request holds no mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Another content type than the provider sends.
    #[error("the content type must be {0}")]
    ContentType(&'static str),
    /// A body that is not of that type.
    #[error("the body is no {0}")]
    Malformed(&'static str),
    /// A body of that type that holds no mail.
    #[error("the body holds no mail: {0}")]
    NoMail(&'static str),
}

/// Reads the mail that a provider has posted.
///
/// # Errors
/// If there is none.
pub fn read(
    provider: MailProvider,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Mail, FormError> {
    match provider {
        MailProvider::Raw => read_raw(content_type, body),
        MailProvider::Sendgrid => sendgrid::read(content_type, body),
        MailProvider::Mailgun => mailgun::read(content_type, body),
        MailProvider::Postmark => postmark::read(content_type, body),
    }
}

fn read_raw(content_type: Option<&str>, body: &[u8]) -> Result<Mail, FormError> {
    let is_other = |media_type: String| OTHER_TYPES.contains(&media_type.as_str());
    if content_type.map(media_type).is_some_and(is_other) {
        return Err(FormError::ContentType("message/rfc822"));
    }
    mail_of(body, None)
}

/// What other providers send.
const OTHER_TYPES: [&str; 3] =
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];

/// In lower case, without parameters.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The mail with these bytes, and the sender that the provider's own server was told.
fn mail_of(raw: &[u8], sender: Option<&str>) -> Result<Mail, FormError> {
    let (mut fields, body) = Fields::split(raw);
    let content = structure::read(&fields, body);
    returned_to(&mut fields, sender);
    finish(&fields, content, None)
}

/// A notice about another mail is sent by nobody (RFC 5321, 4.5.5).
fn returned_to(fields: &mut Fields, sender: Option<&str>) {
    if sender.is_some_and(|sender| matches!(sender.trim(), "" | "<>")) {
        fields.remove("return-path");
        fields.add("return-path", "<>");
    }
}

fn finish(fields: &Fields, content: Content, new: Option<&str>) -> Result<Mail, FormError> {
    if fields.is_empty() {
        return Err(FormError::NoMail("it has no header"));
    }
    Ok(assemble(fields, content, new))
}

/// The texts that a provider has found: the plain one, unless it says nothing.
fn texts(plain: Option<&str>, html: Option<&str>) -> Vec<Text> {
    let says_something = |text: &&str| !text.trim().is_empty();
    if let Some(plain) = plain.filter(says_something) {
        return vec![Text::Plain(plain.to_owned())];
    }
    let html = html.filter(says_something).map(|html| Text::Html(html::convert(html)));
    html.into_iter().collect()
}

/// A media type as a provider names it.
fn attached_type(content_type: Option<&str>) -> String {
    let media_type = media_type(content_type.unwrap_or_default());
    let is_type = media_type.contains('/') && media_type.bytes().all(|it| it.is_ascii_graphic());
    let usual = || "application/octet-stream".to_owned();
    if is_type { clean::line(&media_type, 255) } else { usual() }
}
