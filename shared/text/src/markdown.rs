//! Markdown, for channels that do not know it: taken out, or said with the marks that they know.
//!
//! A real parser decides what is a mark, so `2 * 3 * 4`, `snake_case` and code stay as they are.
//! Three things are kept that `CommonMark` alone does not promise to keep: bare URLs (it would see
//! emphasis in `https://x/_a_/`), identifiers as in `__init__.py`, and asterisks as in `2*3*4` and
//! `a*b`.
//!
//! Both ways have the same shape, since one walker makes it: links become `text (url)`, bullets
//! `- item`, the cells of a table `a | b`; line breaks stay where they were, and so do blank lines
//! between blocks. HTML stays, except for `<br>`: a tag may as well be a placeholder.
//!
//! Promises: any text is taken. There is no U+0000 in what comes out. It is at most
//! [`MAX_GROWTH`] times as long as the text, and [`MAX_EXTRA`] bytes longer. The time it takes is
//! linear, for which a text that nests deeper than anybody means to is left as it is.

mod source;
mod styles;
#[cfg(test)]
mod tests;
mod walker;
mod whatsapp;

use std::borrow::Cow;

/// Blocks within blocks on one line. The parser looks at all of them for each line that follows.
const MAX_NESTING: usize = 64;

/// How much longer a text can become, at worst: each of its lines is indented as its list is.
pub const MAX_GROWTH: usize = walker::MAX_INDENT + 8;

/// How many bytes a text can gain besides: the parser fills up the rows of tables and expands
/// references, and has limits for both.
pub const MAX_EXTRA: usize = 1 << 20;

/// `text` without Markdown's marks.
pub fn strip(text: &str) -> String {
    let text = readable(text);
    if nests_too_deep(&text) {
        return text.into_owned();
    }
    walker::walk(&text, walker::Code::Bare).text
}

/// `text` with `WhatsApp`'s marks in place of Markdown's: `*bold*`, `_italic_`, `~struck~`,
/// ```` ```code``` ```` and `> quote`; a heading is bold.
///
/// Its marks hug words and end with their line, so spaces go out of them, and they are closed and
/// opened again at line breaks. Where a mark would be shown as it is (in the middle of a word)
/// there is none. A character of the text that would be taken for a mark is replaced by one that
/// looks like it, since `WhatsApp` has no escapes: `∗`, `＿`, `∼`; not so in URLs and identifiers
/// such as `__all__`, which stay as they are.
pub fn to_whatsapp(text: &str) -> String {
    let text = readable(text);
    if nests_too_deep(&text) {
        return text.into_owned();
    }
    whatsapp::render(&walker::walk(&text, walker::Code::Fenced))
}

/// U+0000 has no place in a text; `CommonMark` says what to put there.
fn readable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

fn nests_too_deep(text: &str) -> bool {
    text.split('\n').any(|line| nesting(line.as_bytes()) > MAX_NESTING)
}

/// How many marks of quotes and list items `line` begins with.
fn nesting(line: &[u8]) -> usize {
    let mut rest = line;
    let mut depth = 0;
    loop {
        rest = rest.trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let len = match rest.get(digits) {
            Some(b'>' | b'-' | b'*' | b'+') if digits == 0 => 1,
            Some(b'.' | b')') if digits > 0 => digits + 1,
            _ => return depth,
        };
        // A rule is a line of marks and nests in nothing, so only marks before spaces count.
        let is_mark = rest[0] == b'>' || rest.get(len).is_none_or(u8::is_ascii_whitespace);
        if !is_mark {
            return depth;
        }
        depth += 1;
        rest = &rest[len..];
    }
}
