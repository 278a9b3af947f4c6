//! From the bytes of a mail to what it says.

use crate::fields::Fields;
use crate::loops::Signs;
use crate::mail::Mail;
use crate::structure::{self, Content, Text};
use crate::{clean, quotes};

/// The longest text, in bytes, and the longest subject, in characters.
const MAX_TEXT: usize = 256 * 1_024;
const MAX_SUBJECT: usize = 998;
/// The most addresses and the most earlier mails.
const MAX_MAILBOXES: usize = 50;
const MAX_REFERENCES: usize = 50;

/// Reads a mail (RFC 5322). Any bytes are one; most of its fields may be missing.
pub fn parse(raw: &[u8]) -> Mail {
    let (fields, body) = Fields::split(raw);
    let content = structure::read(&fields, body);
    assemble(&fields, content, None)
}

/// Puts a mail together; `new` is what its provider holds for new in it.
pub(crate) fn assemble(fields: &Fields, content: Content, new: Option<&str>) -> Mail {
    let (whole, before_quotes) = join(&content.texts);
    let new = new.filter(|new| !new.trim().is_empty()).map(clean::lines);
    let new = quotes::new_part(&new.or(before_quotes).unwrap_or_else(|| whole.clone()));
    let mut text = if new.is_empty() { quotes::new_part(&whole) } else { new };
    let mut whole_text = whole.trim().to_owned();
    let is_cut = clean::cut(&mut text, MAX_TEXT) | clean::cut(&mut whole_text, MAX_TEXT);
    let first = |name: &str| fields.mailboxes(name, 1).pop();
    Mail {
        message_id: fields.message_ids("message-id", 1).pop(),
        in_reply_to: fields.message_ids("in-reply-to", 1).pop(),
        references: fields.message_ids("references", MAX_REFERENCES),
        from: first("from"),
        reply_to: first("reply-to"),
        to: fields.mailboxes("to", MAX_MAILBOXES),
        cc: fields.mailboxes("cc", MAX_MAILBOXES),
        subject: fields.text("subject", MAX_SUBJECT),
        date: fields.date(),
        text,
        whole_text,
        attachments: content.attachments,
        attachment_count: content.attachment_count,
        truncated: is_cut || content.is_cut,
        signs: Signs::of(fields),
    }
}

/// All texts one after the other; and what stands before that which a mail program marked as
/// quoted, if it did so and that is not a mail passed on.
fn join(texts: &[Text]) -> (String, Option<String>) {
    let (mut whole, mut before_quotes) = (String::new(), None);
    for text in texts {
        let (text, quoted_from) = match text {
            Text::Plain(text) => (text, None),
            Text::Html(html) => (&html.text, html.quoted_from),
        };
        if text.trim().is_empty() {
            continue;
        }
        if !whole.is_empty() {
            whole.truncate(whole.trim_end().len());
            whole.push_str("\n\n");
        }
        let is_forward = |from: usize| text[from..].trim_start().starts_with("----------");
        if let Some(from) = quoted_from.filter(|from| before_quotes.is_none() && !is_forward(*from))
        {
            before_quotes = Some(clean::lines(&format!("{whole}{}", &text[..from])));
        }
        whole.push_str(&clean::lines(text));
    }
    (whole, before_quotes)
}
