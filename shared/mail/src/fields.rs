//! The header of a mail or of a part of one: those of its fields that mean something here.
//!
//! Lines are joined here and each field is then read by `mail-parser`. A field is read up to a
//! bound, and so is their number, so that no header takes longer than its length.

use chrono::{DateTime, FixedOffset};
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use crate::mail::Mailbox;
use crate::{clean, decode};

/// The longest value that is read, and the most of them, in bytes.
const MAX_VALUE: usize = 16 * 1_024;
const MAX_FIELDS: usize = 256;

/// The fields that are kept.
const KEPT: [&str; 18] = [
    "auto-submitted",
    "cc",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "from",
    "in-reply-to",
    "list-id",
    "message-id",
    "precedence",
    "references",
    "reply-to",
    "return-path",
    "subject",
    "to",
    "x-auto-response-suppress",
    "x-loop",
];

/// What a header says.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Values without line breaks, but for one at their end.
    values: Vec<(&'static str, String)>,
}

impl Fields {
    /// The header at the beginning of `bytes`, and what follows it.
    pub(crate) fn split(bytes: &[u8]) -> (Self, &[u8]) {
        let mut values: Vec<(&'static str, Vec<u8>)> = Vec::new();
        let mut rest = bytes;
        let (mut is_first, mut is_kept) = (true, false);
        while let Some((line, after)) = next_line(rest) {
            if line.is_empty() {
                rest = after;
                // What stands before a header is skipped.
                if is_first {
                    continue;
                }
                break;
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                if let Some((_, value)) = values.last_mut().filter(|_| is_kept) {
                    append(value, line);
                }
            } else if let Some((name, value)) = named(line) {
                let kept = KEPT.into_iter().find(|kept| name.eq_ignore_ascii_case(kept));
                is_kept = kept.is_some() && values.len() < MAX_FIELDS;
                if let Some(kept) = kept.filter(|_| is_kept) {
                    values.push((kept, Vec::new()));
                    values.last_mut().into_iter().for_each(|(_, it)| append(it, value));
                }
            } else if !(is_known_field(after) || is_first && line.starts_with(b"From ")) {
                // Within a header it is a mistake of somebody; else the header has no end.
                break;
            }
            is_first = false;
            rest = after;
        }
        let values = values.into_iter().map(|(name, value)| (name, finished(&value)));
        (Self { values: values.collect() }, rest)
    }

    /// Adds a field that a provider tells apart from the header, unless the header has it.
    pub(crate) fn add_if_absent(&mut self, name: &'static str, value: &str) {
        if self.first(name).is_none() && !value.trim().is_empty() {
            self.add(name, value);
        }
    }

    /// Adds a field, if it means something.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        let kept = KEPT.into_iter().find(|kept| name.eq_ignore_ascii_case(kept));
        if let Some(kept) = kept.filter(|_| self.values.len() < MAX_FIELDS) {
            let mut joined = Vec::new();
            append(&mut joined, value.as_bytes());
            self.values.push((kept, finished(&joined)));
        }
    }

    /// Takes away a field.
    pub(crate) fn remove(&mut self, name: &str) {
        self.values.retain(|(it, _)| *it != name);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The first value of that name, as it is written.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of that name, as they are written.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.iter().filter(move |(it, _)| *it == name).map(|(_, value)| value.as_str())
    }

    /// A text for people, on one line of at most `most` characters.
    pub(crate) fn text(&self, name: &str, most: usize) -> String {
        self.first(name).map(|value| clean::line(&unstructured(value), most)).unwrap_or_default()
    }

    /// Those addresses of a field that are addresses, at most `most` of them.
    pub(crate) fn mailboxes(&self, name: &str, most: usize) -> Vec<Mailbox> {
        let values = self.all(name).map(|value| stream(value).parse_address());
        let mut mailboxes = Vec::new();
        for addresses in values {
            let HeaderValue::Address(addresses) = addresses else { continue };
            let found = addresses
                .iter()
                .filter_map(|it| Mailbox::of(it.address.as_deref()?, it.name.as_deref()));
            mailboxes.extend(found.take(most - mailboxes.len()));
        }
        mailboxes
    }

    /// Those ids of a field that are ids, at most `most`: the first, and the last of the others.
    pub(crate) fn message_ids(&self, name: &str, most: usize) -> Vec<String> {
        let value = self.first(name).unwrap_or_default();
        let pieces = value.split_inclusive('>').filter_map(|piece| {
            let start = piece.rfind('<')?;
            clean::message_id(&piece[start..])
        });
        let mut ids: Vec<String> = Vec::new();
        for id in pieces {
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
            if ids.len() > most {
                ids.remove(1.min(most));
            }
        }
        ids
    }

    pub(crate) fn date(&self) -> Option<DateTime<FixedOffset>> {
        let HeaderValue::DateTime(date) = stream(self.first("date")?).parse_date() else {
            return None;
        };
        let date = date.is_valid().then(|| date.to_rfc3339())?;
        DateTime::parse_from_rfc3339(&date).ok()
    }

    /// A media type or a disposition.
    pub(crate) fn structured(&self, name: &str) -> Option<ContentType<'_>> {
        stream(self.first(name)?).parse_content_type().into_content_type()
    }
}

/// A parameter that is meant for people. Many write it like a subject, which they should not.
pub(crate) fn readable_parameter(of: &ContentType<'_>, name: &str) -> Option<String> {
    let value = of.attribute(name)?;
    Some(if value.contains("=?") { unstructured(&format!("{value}\n")) } else { value.to_owned() })
}

fn stream(value: &str) -> MessageStream<'_> {
    MessageStream::new(value.as_bytes())
}

fn unstructured(value: &str) -> String {
    match stream(value).parse_unstructured() {
        HeaderValue::Text(text) => text.into_owned(),
        _ => String::new(),
    }
}

/// A line without its end, and what follows.
pub(crate) fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let (line, rest) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

fn named(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().take(256).position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&line[..colon]).ok()?.trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then_some((name, &line[colon + 1..]))
}

/// Whether `bytes` begin with a field that is kept.
fn is_known_field(bytes: &[u8]) -> bool {
    let name = next_line(bytes).and_then(|(line, _)| named(line)).map(|(name, _)| name);
    name.is_some_and(|name| KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)))
}

/// Joins a line to a value: what breaks lines, here or for a parser, becomes a space.
fn append(value: &mut Vec<u8>, line: &[u8]) {
    let room = MAX_VALUE.saturating_sub(value.len());
    let joined = line.iter().map(|byte| match byte {
        b'\r' | b'\n' | 0 => b' ',
        byte => *byte,
    });
    value.extend(joined.take(room));
}

fn finished(value: &[u8]) -> String {
    let mut value = decode::text(value, None);
    value.push('\n');
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::split(text.as_bytes()).0
    }

    #[test]
    fn a_header_ends_where_it_ends() {
        let (read, rest) =
            Fields::split(b"\r\nFrom x Mon\r\nSubject: a\r\n b\r\nX-Y: z\r\n c\r\n\r\nbody\n");
        assert_eq!(read.text("subject", 99), "a b");
        assert_eq!(rest, b"body\n");
        assert_eq!(Fields::split(b"SUBJECT : a\nno field\n").1, b"no field\n");
        let (read, rest) = Fields::split(b"To: a@b\na mistake\nSubject: a\n\nbody\n");
        assert_eq!((read.text("subject", 99).as_str(), rest), ("a", &b"body\n"[..]));
        assert!(Fields::split(b"only text").0.is_empty());
        assert!(Fields::split(b"").0.is_empty());
    }

    #[test]
    fn texts_are_decoded() {
        let read = fields("Subject: =?utf-8?q?Ol=C3=A1?= =?iso-8859-1?B?4eE=?=\n\t=?x?y?z?=\0\n");
        assert_eq!(read.text("subject", 99), "Olááá =?x?y?z?=");
        let (read, _) = Fields::split(b"Subject: Ol\xe1\n");
        assert_eq!(read.text("subject", 99), "Olá");
        assert_eq!(read.text("subject", 2), "Ol");
    }

    #[test]
    fn addresses_are_those_that_can_be_written_to() {
        let read = fields(
            "To: =?utf-8?q?Jo=C3=A3o?= <joao@b.example>, undisclosed:;, broken, \
             \"a\r\n Bcc: x\" <A@B>, g: c@d, e@f;\n",
        );
        let shown = read.mailboxes("to", 50);
        let shown: Vec<(&str, Option<&str>)> =
            shown.iter().map(|it| (it.address.as_str(), it.name.as_deref())).collect();
        assert_eq!(shown[0], ("joao@b.example", Some("João")));
        assert!(shown.contains(&("A@B", Some("a Bcc: x"))), "{shown:?}");
        assert!(shown.iter().all(|(address, _)| address.contains('@')));
        assert_eq!(read.mailboxes("to", 1).len(), 1);
        assert_eq!(read.mailboxes("cc", 1), []);
    }

    #[test]
    fn of_many_ids_the_first_and_the_last_stay() {
        let ids: String = (0..60).map(|n| format!("<{n}@a>")).collect::<Vec<_>>().join("\r\n ");
        let read =
            fields(&format!("References: junk {ids}\nIn-Reply-To: <a@b\r\nMessage-ID: x@y\n"));
        let ids = read.message_ids("references", 50);
        assert_eq!((ids.len(), ids[0].as_str(), ids[1].as_str()), (50, "<0@a>", "<11@a>"));
        assert_eq!(ids[49], "<59@a>");
        assert!(read.message_ids("in-reply-to", 1).is_empty());
        assert!(read.message_ids("message-id", 1).is_empty());
    }

    #[test]
    fn dates_are_moments() {
        let date = |text: &str| fields(&format!("Date: {text}\n")).date().map(|it| it.to_rfc3339());
        assert_eq!(
            date("Tue, 1 Jul 2003 10:52:37 +0200 (CEST)").as_deref(),
            Some("2003-07-01T10:52:37+02:00")
        );
        for bad in ["", "yesterday", "31 Feb 2024 10:00:00 +0000", "1 Jul 2003 99:99:99 +9999"] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
