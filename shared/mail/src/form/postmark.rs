//! Postmark's inbound webhook: a JSON object. If the server is set to include it, the mail itself
//! is in `RawEmail`.

use std::borrow::Cow;

use serde::Deserialize;

use super::{FormError, attached_type, finish, mail_of, media_type, texts};
use crate::clean;
use crate::fields::Fields;
use crate::mail::{Attachment, Mail, Mailbox};
use crate::structure::Content;

/// What of it means something here. The content of attachments is not even unescaped.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inbound<'a> {
    #[serde(borrow, default)]
    from: Option<Cow<'a, str>>,
    from_full: Option<Person>,
    to_full: Option<Vec<Person>>,
    cc_full: Option<Vec<Person>>,
    #[serde(borrow, default)]
    reply_to: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    date: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text_body: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    html_body: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    stripped_text_reply: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    raw_email: Option<Cow<'a, str>>,
    headers: Option<Vec<Header>>,
    attachments: Option<Vec<Attached>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Person {
    email: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attached {
    name: Option<String>,
    content_type: Option<String>,
    content_length: Option<u64>,
}

/// How many addresses of a field are kept.
const MAX_PEOPLE: usize = 50;

pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Mail, FormError> {
    if content_type.map(media_type).as_deref() != Some("application/json") {
        return Err(FormError::ContentType("application/json"));
    }
    let malformed = |_what_it_holds_is_not_shown| FormError::Malformed("JSON as Postmark sends it");
    let inbound: Inbound<'_> = serde_json::from_slice(body).map_err(malformed)?;
    if let Some(raw) = inbound.raw_email.as_deref().filter(|raw| !raw.trim().is_empty()) {
        return mail_of(raw.as_bytes(), None);
    }
    let fields = header(&inbound);
    let content = content(&inbound);
    let mut mail = finish(&fields, content, inbound.stripped_text_reply.as_deref())?;
    // The addresses are told apart already.
    let people = |of: &Option<Vec<Person>>| -> Option<Vec<Mailbox>> {
        Some(of.as_ref()?.iter().filter_map(mailbox).take(MAX_PEOPLE).collect())
    };
    mail.from = inbound.from_full.as_ref().and_then(mailbox).or(mail.from);
    mail.to = people(&inbound.to_full).unwrap_or(mail.to);
    mail.cc = people(&inbound.cc_full).unwrap_or(mail.cc);
    Ok(mail)
}

fn header(inbound: &Inbound<'_>) -> Fields {
    let mut fields = Fields::default();
    for header in inbound.headers.iter().flatten() {
        fields.add(&header.name, &header.value);
    }
    let told = [
        ("from", &inbound.from),
        ("reply-to", &inbound.reply_to),
        ("subject", &inbound.subject),
        ("date", &inbound.date),
    ];
    for (name, value) in told {
        fields.add_if_absent(name, value.as_deref().unwrap_or_default());
    }
    fields
}

fn content(inbound: &Inbound<'_>) -> Content {
    let texts = texts(inbound.text_body.as_deref(), inbound.html_body.as_deref());
    let mut content = Content { texts, ..Content::default() };
    for attached in inbound.attachments.iter().flatten() {
        content.attach(Attachment {
            name: attached.name.as_deref().and_then(clean::file_name),
            content_type: attached_type(attached.content_type.as_deref()),
            size: attached.content_length.unwrap_or(0),
        });
    }
    content
}

fn mailbox(person: &Person) -> Option<Mailbox> {
    Mailbox::of(person.email.as_deref()?, person.name.as_deref())
}
