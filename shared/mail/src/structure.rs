//! The parts of a mail (RFC 2046): which of them are its text, and which are attached.
//!
//! The parts are told apart here and not by `mail-parser`: it nests what is nested without a
//! bound, looks for each boundary up to the end, and decodes every attachment. Here every byte is
//! looked at once for each level, there are few levels, and of an attachment only its size is
//! found out.

use mail_parser::ContentType;

use crate::decode::{self, Encoding};
use crate::fields::{Fields, next_line, readable_parameter};
use crate::mail::Attachment;
use crate::{clean, html};

/// How deep parts are nested, and how many are looked at.
const MAX_DEPTH: usize = 16;
const MAX_PARTS: usize = 1_000;
/// How much of all texts of a mail is decoded, in bytes.
const MAX_DECODED: usize = 4 * 1_024 * 1_024;
/// How many attachments are listed.
const MAX_ATTACHMENTS: usize = 50;

/// A text of a mail.
#[derive(Debug)]
pub(crate) enum Text {
    Plain(String),
    Html(html::Converted),
}

impl Text {
    fn is_blank(&self) -> bool {
        let text = match self {
            Self::Plain(text) => text,
            Self::Html(converted) => &converted.text,
        };
        text.trim().is_empty()
    }
}

/// What a mail holds.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) texts: Vec<Text>,
    pub(crate) attachments: Vec<Attachment>,
    /// All of them, also those that are not listed.
    pub(crate) attachment_count: usize,
    /// Whether something of its text is not here.
    pub(crate) is_cut: bool,
}

impl Content {
    pub(crate) fn attach(&mut self, attachment: Attachment) {
        self.attachment_count += 1;
        if self.attachments.len() < MAX_ATTACHMENTS {
            self.attachments.push(attachment);
        }
    }
}

/// What the mail with this header and this body holds.
pub(crate) fn read(fields: &Fields, body: &[u8]) -> Content {
    let mut walk = Walk { content: Content::default(), parts: 0, decoded: 0 };
    walk.part(fields, body, Place { depth: 0, is_companion: false, usual: "text/plain" });
    walk.content
}

/// The bodies between the lines of a boundary, in order. Linear; the last may lack its end.
pub(crate) fn split<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let (mut rest, mut begin) = (body, None);
    while let Some((line, after)) = next_line(rest) {
        let after_boundary =
            line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes()));
        let is_end = after_boundary.is_some_and(|it| it.starts_with(b"--"));
        let is_boundary = after_boundary.is_some_and(<[u8]>::is_empty)
            || after_boundary.is_some_and(|it| it.iter().all(u8::is_ascii_whitespace));
        if is_end || is_boundary {
            let here = body.len() - rest.len();
            parts.extend(begin.map(|begin| without_line_end(&body[begin..here.max(begin)])));
            begin = is_boundary.then_some(body.len() - after.len());
        }
        if is_end || parts.len() > MAX_PARTS {
            return parts;
        }
        rest = after;
    }
    parts.extend(begin.map(|begin| &body[begin..]));
    parts
}

/// The line break before a boundary belongs to the boundary.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

struct Walk {
    content: Content,
    parts: usize,
    decoded: usize,
}

/// Where a part stands.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// Whether it is there for the sake of another part, as pictures of a page are.
    is_companion: bool,
    /// What it is if it does not say.
    usual: &'static str,
}

impl Walk {
    fn part(&mut self, fields: &Fields, body: &[u8], place: Place) {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            self.content.is_cut = true;
            return;
        }
        let content_type = fields.structured("content-type");
        let media_type = content_type.as_ref().map_or(place.usual.to_owned(), media_type);
        if let Some(subtype) = media_type.strip_prefix("multipart/") {
            let boundary = content_type.as_ref().and_then(|it| it.attribute("boundary"));
            let parts = boundary.filter(|it| !it.is_empty()).map(|it| split(body, it));
            match parts {
                Some(parts) if !parts.is_empty() && place.depth < MAX_DEPTH => {
                    return self.parts_of(subtype, &parts, place.depth + 1);
                }
                // Without its parts a mail is at least a text.
                _ if place.depth == 0 => return self.text(fields, body, None, false),
                _ => {}
            }
        }
        let name = name(fields, content_type.as_ref());
        let disposition = fields.structured("content-disposition");
        let is_attached = disposition.is_some_and(|it| it.is_attachment());
        let is_html = media_type == "text/html";
        let is_text = is_html || media_type == "text/plain";
        if is_text && !is_attached && !place.is_companion && (name.is_none() || place.depth == 0) {
            let charset = content_type.as_ref().and_then(|it| it.attribute("charset"));
            return self.text(fields, body, charset, is_html);
        }
        let size = encoding(fields).decoded_size(body);
        self.content.attach(Attachment { name, content_type: media_type, size });
    }

    fn parts_of(&mut self, subtype: &str, parts: &[&[u8]], depth: usize) {
        let usual = if subtype == "digest" { "message/rfc822" } else { "text/plain" };
        let texts_before = self.content.texts.len();
        for (index, part) in parts.iter().enumerate() {
            let is_companion = subtype == "related" && index > 0;
            let (fields, body) = part_fields(part);
            self.part(&fields, body, Place { depth, is_companion, usual });
        }
        if subtype == "alternative" {
            let alternatives = self.content.texts.split_off(texts_before);
            self.content.texts.extend(preferred(alternatives));
        }
    }

    fn text(&mut self, fields: &Fields, body: &[u8], charset: Option<&str>, is_html: bool) {
        let room = MAX_DECODED.saturating_sub(self.decoded);
        let taken = &body[..body.len().min(room)];
        self.content.is_cut |= taken.len() < body.len();
        self.decoded += taken.len();
        let text = decode::text(&encoding(fields).decode(taken), charset);
        let text = if is_html { Text::Html(html::convert(&text)) } else { Text::Plain(text) };
        self.content.texts.push(text);
    }
}

/// Of a part; its header may be missing altogether.
pub(crate) fn part_fields(part: &[u8]) -> (Fields, &[u8]) {
    match part {
        [b'\r', b'\n', body @ ..] | [b'\n', body @ ..] => (Fields::default(), body),
        _ => Fields::split(part),
    }
}

/// Of several ways to say the same: the plain one, unless it says nothing.
fn preferred(alternatives: Vec<Text>) -> Vec<Text> {
    let is_plain = |text: &Text| matches!(text, Text::Plain(_)) && !text.is_blank();
    let has_plain = alternatives.iter().any(is_plain);
    let kept = alternatives.into_iter().filter(|text| !has_plain || is_plain(text));
    kept.filter(|text| !text.is_blank()).collect()
}

fn encoding(fields: &Fields) -> Encoding {
    fields.first("content-transfer-encoding").map_or(Encoding::Identity, Encoding::of)
}

fn media_type(content_type: &ContentType<'_>) -> String {
    let kind = content_type.ctype();
    let usual = if kind.eq_ignore_ascii_case("text") { "plain" } else { "octet-stream" };
    let subtype = content_type.subtype().unwrap_or(usual);
    let joined = format!("{kind}/{subtype}").to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    let is_type = joined.len() <= 255 && joined.bytes().all(plain);
    if is_type { joined } else { "application/octet-stream".to_owned() }
}

fn name(fields: &Fields, content_type: Option<&ContentType<'_>>) -> Option<String> {
    let disposition = fields.structured("content-disposition");
    let of_file = disposition.and_then(|it| readable_parameter(&it, "filename"));
    let name = of_file.or_else(|| readable_parameter(content_type?, "name"))?;
    clean::file_name(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: &[&[u8]]) -> Vec<String> {
        parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    }

    #[test]
    fn parts_stand_between_lines_of_the_boundary() {
        let body = b"preamble\r\n--x\r\na\r\n--xy\r\n-- x\r\n--x  \r\n\r\nb\r\n--x--\r\n--x\r\nc";
        assert_eq!(shown(&split(body, "x")), ["a\r\n--xy\r\n-- x", "\r\nb"]);
        assert_eq!(shown(&split(b"--x\na", "x")), ["a"]);
        assert_eq!(shown(&split(b"--x\n--x\n--x--", "x")), ["", ""]);
        assert!(split(b"a--x\n", "x").is_empty());
    }

    #[test]
    fn nesting_has_an_end() {
        let head = "Content-Type: multipart/mixed; boundary=";
        let level = |n: usize| format!("{head}b{n}\n\n--b{n}\n");
        let mail = (0..50_000).map(level).collect::<Vec<_>>().concat();
        let (fields, body) = Fields::split(mail.as_bytes());
        let content = read(&fields, body);
        assert_eq!(content.attachment_count, 1);
        assert_eq!(content.attachments[0].content_type, "multipart/mixed");
    }

    #[test]
    fn parts_have_an_end() {
        let mail =
            format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n\na\n".repeat(5_000));
        let (fields, body) = Fields::split(mail.as_bytes());
        let content = read(&fields, body);
        assert!(content.is_cut);
        assert!(content.texts.len() <= MAX_PARTS);
    }

    #[test]
    fn attachments_are_counted_beyond_the_list() {
        let part = "--x\nContent-Type: image/png; name=a.png\n\nabc\n";
        let mail = format!("Content-Type: multipart/mixed; boundary=x\n\n{}", part.repeat(60));
        let (fields, body) = Fields::split(mail.as_bytes());
        let content = read(&fields, body);
        assert_eq!((content.attachments.len(), content.attachment_count), (50, 60));
        assert_eq!(content.attachments[49].size, 3);
    }
}
