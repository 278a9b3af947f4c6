//! From HTML to a text.
//!
//! A small reader of tags, which takes any text and looks at every byte a bounded number of times.
//! What is not meant to be read goes: scripts, styles, comments, what is not displayed. Blocks
//! become lines, and what is quoted gets the marks that it has in plain mails.

use mail_parser::decoders::html::add_html_token;

/// A text, and how much of it stands before what a mail program has marked as quoted.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) text: String,
    pub(crate) quoted_from: Option<usize>,
}

/// The deepest quotation that is shown as such.
const MAX_QUOTES: usize = 5;

/// What `html` says.
pub(crate) fn convert(html: &str) -> Converted {
    let converted = Writer::default().read(html, true);
    if converted.text.trim().is_empty() {
        // An element that is hidden and never closed hides everything.
        return Writer::default().read(html, false);
    }
    converted
}

#[derive(Default)]
struct Writer {
    text: String,
    quoted_from: Option<usize>,
    /// Line breaks that come before whatever comes next.
    breaks: usize,
    has_space: bool,
    quotes: usize,
    preformatted: usize,
    /// The element that is not displayed, and how many of its name are open.
    hidden: Option<(String, usize)>,
}

impl Writer {
    fn read(mut self, html: &str, is_hiding: bool) -> Converted {
        let mut rest = html;
        while !rest.is_empty() {
            let plain = rest.find('<').unwrap_or(rest.len());
            self.say(&rest[..plain]);
            rest = &rest[plain..];
            match Tag::read(rest) {
                Read::Tag(tag, after) => {
                    rest = after;
                    if !tag.is_closing && RAW.contains(&tag.name.as_str()) {
                        rest = after_raw(rest, &tag.name);
                    } else {
                        self.tag(&tag, is_hiding);
                    }
                }
                Read::Nothing(after) => rest = after,
                Read::NoTag if rest.is_empty() => {}
                Read::NoTag => {
                    self.say("<");
                    rest = &rest[1..];
                }
            }
        }
        Converted { text: self.text, quoted_from: self.quoted_from }
    }

    fn tag(&mut self, tag: &Tag, is_hiding: bool) {
        if let Some((name, open)) = &mut self.hidden {
            if *name == tag.name {
                *open = if tag.is_closing { *open - 1 } else { *open + 1 };
            }
            if *open == 0 {
                self.hidden = None;
            }
            return;
        }
        let is_void = VOID.contains(&tag.name.as_str());
        if is_hiding && tag.is_hidden && !is_void {
            self.hidden = Some((tag.name.clone(), 1));
            return;
        }
        if tag.is_quotation && !tag.is_closing && self.quoted_from.is_none() {
            self.quoted_from = Some(self.text.len());
        }
        match tag.name.as_str() {
            "br" => self.breaks += 1,
            "td" | "th" => self.has_space = true,
            "pre" if tag.is_closing => self.preformatted = self.preformatted.saturating_sub(1),
            "pre" => self.preformatted += 1,
            "blockquote" if tag.is_closing => self.quotes = self.quotes.saturating_sub(1),
            "blockquote" => self.quotes += 1,
            _ => {}
        }
        if PARAGRAPHS.contains(&tag.name.as_str()) {
            self.breaks = self.breaks.max(2);
        } else if BLOCKS.contains(&tag.name.as_str()) {
            self.breaks = self.breaks.max(1);
        }
        if tag.name == "li" && !tag.is_closing {
            self.token("- ", false);
        }
    }

    /// Writes a text in which nothing is a tag.
    fn say(&mut self, text: &str) {
        if self.hidden.is_some() {
            return;
        }
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let length = entity(rest).unwrap_or(char.len_utf8());
            let (token, after) = rest.split_at(length);
            rest = after;
            if length > char.len_utf8() {
                let mut decoded = String::new();
                add_html_token(&mut decoded, token.as_bytes(), false);
                self.token(&decoded, decoded == "\u{a0}");
            } else if self.preformatted > 0 && char == '\n' {
                self.breaks += 1;
            } else {
                self.token(token, char.is_whitespace() && self.preformatted == 0);
            }
        }
    }

    fn token(&mut self, token: &str, is_space: bool) {
        if is_space {
            self.has_space = true;
            return;
        }
        let marks = self.quotes.min(MAX_QUOTES);
        if self.text.is_empty() {
            self.text.push_str(&"> ".repeat(marks));
        } else if self.breaks > 0 {
            for _ in 0..self.breaks.min(2) {
                self.text.push('\n');
                self.text.push_str(&"> ".repeat(marks));
            }
        } else if self.has_space {
            self.text.push(' ');
        }
        (self.breaks, self.has_space) = (0, false);
        self.text.push_str(token);
    }
}

/// The length of the entity that `text` begins with.
fn entity(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'&') {
        return None;
    }
    let end = bytes.iter().take(34).position(|byte| *byte == b';')?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'#';
    (end > 1 && bytes[1..end].iter().all(is_name)).then_some(end + 1)
}

struct Tag {
    /// In lower case.
    name: String,
    is_closing: bool,
    /// It, and all there is up to its end.
    is_hidden: bool,
    is_quotation: bool,
}

enum Read<'a> {
    Tag(Tag, &'a str),
    /// A comment, a declaration, or something that never ends.
    Nothing(&'a str),
    NoTag,
}

impl Tag {
    /// Reads what `text`, which begins with `<` unless it is empty, begins with.
    fn read(text: &str) -> Read<'_> {
        let bytes = text.as_bytes();
        if let Some(comment) = text.strip_prefix("<!--") {
            return Read::Nothing(comment.find("-->").map_or("", |end| &comment[end + 3..]));
        }
        let is_closing = bytes.get(1) == Some(&b'/');
        match bytes.get(1 + usize::from(is_closing)) {
            Some(byte) if byte.is_ascii_alphabetic() => {}
            Some(b'!' | b'?') => {
                return Read::Nothing(text.find('>').map_or("", |end| &text[end + 1..]));
            }
            _ => return Read::NoTag,
        }
        let begin = 1 + usize::from(is_closing);
        let Some(end) = end_of_tag(bytes) else { return Read::Nothing("") };
        let inside = &text[begin..end];
        let is_name = |char: char| !char.is_whitespace() && char != '/';
        let name_end = inside.find(|char| !is_name(char)).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at(name_end);
        let tag = Self {
            name: name.chars().take(32).collect::<String>().to_ascii_lowercase(),
            is_closing,
            is_hidden: !is_closing && !inside.ends_with('/') && is_hidden(attributes),
            is_quotation: is_quotation(attributes),
        };
        Read::Tag(tag, &text[end + 1..])
    }
}

/// Where a tag ends, unless it does not. `>` in quotes is no end.
fn end_of_tag(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut before = b' ';
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            // Only a value is quoted.
            (None, b'"' | b'\'') if before == b'=' => quote = Some(*byte),
            (Some(open), byte) if *byte == open => quote = None,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = *byte;
        }
    }
    None
}

/// What follows the end of an element that holds no tags.
fn after_raw<'a>(text: &'a str, name: &str) -> &'a str {
    let bytes = text.as_bytes();
    let begins = |at: usize| {
        let inside = bytes.get(at + 2..at + 2 + name.len());
        bytes[at..].starts_with(b"</")
            && inside.is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
    };
    let end = (0..bytes.len()).find(|at| bytes[*at] == b'<' && begins(*at));
    end.map_or("", |end| text[end..].find('>').map_or("", |close| &text[end + close + 1..]))
}

fn is_hidden(attributes: &str) -> bool {
    let squeezed = attributes.chars().take(2_000).filter(|char| !char.is_whitespace());
    squeezed.collect::<String>().to_ascii_lowercase().contains("display:none")
}

/// How mail programs mark what they quote.
fn is_quotation(attributes: &str) -> bool {
    let has = |mark: &&str| attributes.contains(*mark);
    QUOTATIONS.iter().any(has)
}

const QUOTATIONS: [&str; 8] = [
    "gmail_quote",
    "yahoo_quoted",
    "moz-cite-prefix",
    "divRplyFwdMsg",
    "appendonsend",
    "OLK_SRC_BODY_SECTION",
    "protonmail_quote",
    "zmail_extra",
];

/// Elements whose content is not to be read.
const RAW: [&str; 6] = ["script", "style", "title", "textarea", "template", "xmp"];
const VOID: [&str; 8] = ["br", "hr", "img", "input", "meta", "link", "col", "wbr"];
const PARAGRAPHS: [&str; 13] =
    ["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "pre", "dl", "blockquote"];
const BLOCKS: [&str; 20] = [
    "div", "tr", "li", "hr", "section", "article", "header", "footer", "center", "address", "form",
    "fieldset", "aside", "main", "nav", "figure", "dt", "dd", "body", "caption",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        convert(html).text
    }

    #[test]
    fn blocks_become_lines() {
        for (html, expected) in [
            ("a<br>b<BR/>\n c", "a\nb\nc"),
            ("<p>a</p>\n<p>b</p>", "a\n\nb"),
            ("<div>a<div>b</div></div><div>c</div>", "a\nb\nc"),
            ("<ul><li>a<li>b</ul>c", "- a\n- b\n\nc"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
            ("<pre>a\n  b</pre>", "a\n  b"),
            ("a<br><br><br><br>b", "a\n\nb"),
            (
                "<blockquote>a<br>b<blockquote>c</blockquote></blockquote>d",
                "> a\n> b\n> > \n> > c\n\nd",
            ),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }

    #[test]
    fn what_is_not_to_be_read_goes() {
        for html in [
            "<script>if (a < b) x('</p>')</script>a",
            "<STYLE>p > a {}</style >a",
            "<head><title>t</title><meta x></head>a",
            "<!-- <b>x</b> -->a<!---->",
            "<!DOCTYPE html><?xml x?>a<![endif]>",
            "<div style=\"x:y; Display : none\"><div>x</div></div>a",
            "a<script>never closed",
            "a<!-- never closed",
            "a<b title=\"never closed",
        ] {
            assert_eq!(text(html).trim(), "a", "{html}");
        }
        assert_eq!(text("<div style='display:none'>all that there is"), "all that there is");
    }

    #[test]
    fn the_rest_is_read_as_it_is_meant() {
        for (html, expected) in [
            ("a &lt;b&gt; &amp;amp; &eacute;&#233;&#xE9;&nbsp;c", "a <b> &amp; ééé c"),
            ("1 < 2 &unknown; & &;", "1 < 2 &unknown; & &;"),
            ("see <a href=\"https://x.y/?a>b\">the <b>page</b></a>.", "see the page."),
            ("<x-y>a</x-y>", "a"),
            ("<p title='a > b'>c", "c"),
            ("don't <b class=x>it's</b>", "don't it's"),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }

    #[test]
    fn what_is_marked_as_quoted_is_known() {
        let converted = convert("<p>new</p><div class=\"gmail_quote\">On Monday<blockquote>old");
        assert_eq!(&converted.text[..converted.quoted_from.unwrap()], "new");
    }
}
