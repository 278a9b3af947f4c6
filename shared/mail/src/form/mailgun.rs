//! Mailgun's routes: a URL that ends in `mime` gets the mail in the field `body-mime`; any other,
//! and `store(notify=…)`, get its header as a list of pairs in `message-headers`, and its texts in
//! `body-plain`, `stripped-text` and `body-html`.

use serde::Deserialize;

use super::fields::Form;
use super::{FormError, attached_type, finish, mail_of, returned_to, texts};
use crate::clean;
use crate::fields::Fields;
use crate::mail::{Attachment, Mail};
use crate::structure::Content;

/// What `store(notify=…)` says of an attachment.
#[derive(Deserialize)]
struct Stored {
    name: Option<String>,
    #[serde(rename = "content-type")]
    content_type: Option<String>,
    #[serde(default)]
    size: u64,
}

pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Mail, FormError> {
    let form = Form::read(content_type, body, true)?;
    let sender = form.text("sender");
    if let Some(raw) = form.bytes("body-mime") {
        return mail_of(raw, sender.as_deref());
    }
    let mut fields = header(&form);
    returned_to(&mut fields, sender.as_deref());
    let (plain, html) = (form.text("body-plain"), form.text("body-html"));
    let mut content =
        Content { texts: texts(plain.as_deref(), html.as_deref()), ..Content::default() };
    attach(&mut content, &form);
    finish(&fields, content, form.text("stripped-text").as_deref())
}

/// The fields of the header are there as a list; most of them are fields of the form too.
fn header(form: &Form<'_>) -> Fields {
    let mut fields = Fields::default();
    let pairs = form.bytes("message-headers").unwrap_or_default();
    let pairs: Vec<(String, String)> = serde_json::from_slice(pairs).unwrap_or_default();
    for (name, value) in &pairs {
        fields.add(name, value);
    }
    for name in FIELDS {
        fields.add_if_absent(name, &form.text(name).unwrap_or_default());
    }
    fields
}

const FIELDS: [&str; 12] = [
    "from",
    "to",
    "cc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "auto-submitted",
    "precedence",
    "list-id",
];

fn attach(content: &mut Content, form: &Form<'_>) {
    form.files().for_each(|file| content.attach(file));
    let stored = form.bytes("attachments").unwrap_or_default();
    let stored: Vec<Stored> = serde_json::from_slice(stored).unwrap_or_default();
    for it in stored {
        content.attach(Attachment {
            name: it.name.as_deref().and_then(clean::file_name),
            content_type: attached_type(it.content_type.as_deref()),
            size: it.size,
        });
    }
    let counted = form.text("attachment-count").and_then(|count| count.trim().parse().ok());
    content.attachment_count = content.attachment_count.max(counted.unwrap_or(0).min(MAX_COUNT));
}

/// What is counted by somebody else is believed up to here.
const MAX_COUNT: usize = 10_000;
