//! `SendGrid`'s Inbound Parse: with "POST the raw, full MIME message" the mail is in the field
//! `email`; without, its header is in `headers` and its texts are in `text` and `html`, each in a
//! charset of its own.

use serde_json::Value;

use super::fields::Form;
use super::{FormError, finish, mail_of, returned_to, texts};
use crate::fields::Fields;
use crate::mail::Mail;
use crate::structure::Content;

pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Mail, FormError> {
    let form = Form::read(content_type, body, false)?;
    let envelope = json_of(&form, "envelope");
    let sender = envelope.get("from").and_then(Value::as_str);
    if let Some(raw) = form.bytes("email") {
        return mail_of(raw, sender);
    }
    let (mut fields, _) = Fields::split(form.bytes("headers").unwrap_or_default());
    for name in ["from", "to", "cc", "subject"] {
        fields.add_if_absent(name, &form.text(name).unwrap_or_default());
    }
    returned_to(&mut fields, sender);
    let charsets = json_of(&form, "charsets");
    let text = |name: &str| form.text_in(name, charsets.get(name).and_then(Value::as_str));
    let (plain, html) = (text("text"), text("html"));
    let mut content =
        Content { texts: texts(plain.as_deref(), html.as_deref()), ..Content::default() };
    form.files().for_each(|file| content.attach(file));
    finish(&fields, content, None)
}

fn json_of(form: &Form<'_>, name: &str) -> Value {
    form.bytes(name).and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
}
