//! The little HTML that Teams writes messages in, as the text that a person reads.

/// What was said to the webhook: `html` without its mention of us, as plain text.
pub(super) fn said(html: &str) -> String {
    to_text(&without_our_mention(html)).trim().to_owned()
}

/// Nobody tells the webhook its own name. But who calls it mentions it, mostly first: so a mention
/// is ours if there is no other, or if nothing stands before it.
fn without_our_mention(html: &str) -> String {
    let Some((before, after)) = around_mention(html) else { return html.to_owned() };
    let is_ours = around_mention(after).is_none() || to_text(before).trim().is_empty();
    if is_ours { [before, after].concat() } else { html.to_owned() }
}

/// What stands before and after the first `<at>…</at>`.
fn around_mention(html: &str) -> Option<(&str, &str)> {
    let is_start = |at: &usize| html[*at..].starts_with(['>', ' ']);
    let start = html.match_indices("<at").find(|(at, tag)| is_start(&(at + tag.len())))?.0;
    let (_mention, after) = html[start..].split_once("</at>")?;
    Some((&html[..start], after))
}

/// Without tags, with line breaks where a browser has some, and with characters for entities.
/// What only looks like a tag or an entity is text.
fn to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((tag, after)) = leading_tag(rest) {
            if breaks_line(tag) {
                text.push('\n');
            }
            rest = after;
        } else if let Some((character, after)) = leading_entity(rest) {
            text.push(character);
            rest = after;
        } else {
            text.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    text.push_str(rest);
    text
}

/// The inside of a tag that `html` begins with, and what follows it. It ends before another tag
/// begins, so that text full of `<` is looked at once.
fn leading_tag(html: &str) -> Option<(&str, &str)> {
    let inside = html.strip_prefix('<')?;
    if !inside.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/') {
        return None;
    }
    let end = inside.find(['<', '>'])?;
    let after = inside[end..].strip_prefix('>')?;
    Some((&inside[..end], after))
}

fn breaks_line(tag: &str) -> bool {
    let is_name_end = |character: char| !character.is_ascii_alphanumeric() && character != '/';
    let name = tag.split(is_name_end).next().unwrap_or_default().to_ascii_lowercase();
    matches!(name.trim_end_matches('/'), "br" | "/p" | "/div" | "/li")
}

/// The character of an entity that `html` begins with, and what follows it.
fn leading_entity(html: &str) -> Option<(char, &str)> {
    /// With the `&` and the `;`: `&#1114111;`.
    const LONGEST: usize = 10;
    let end = html.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let name = html[..end].strip_prefix('&')?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => numbered(name.strip_prefix('#')?)?,
    };
    Some((character, &html[end + 1..]))
}

/// A control character is none: U+0000 above all, which bodies may not hold.
fn numbered(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    match char::from_u32(code)? {
        '\u{a0}' => Some(' '),
        character if character.is_control() && !matches!(character, '\n' | '\t') => None,
        character => Some(character),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn our_mention_is_left_out_and_others_are_names() {
        for (html, text) in [
            ("<at>Recado</at> hello", "hello"),
            ("<div><div><at id=\"0\">Recado</at>&nbsp;hello</div></div>", "hello"),
            ("hello <at>Recado</at>", "hello"),
            ("<at>Recado</at> ask <at>Ana</at> please", "ask Ana please"),
            ("ask <at>Ana</at> or <at>Recado</at>", "ask Ana or Recado"),
            ("<at>Recado</at>", ""),
            ("<at>Recado", "Recado"),
            ("<attach>a</attach>", "a"),
            ("no mention", "no mention"),
        ] {
            assert_eq!(said(html), text, "{html}");
        }
    }

    #[test]
    fn tags_are_left_out_and_entities_are_characters() {
        for (html, text) in [
            ("<p>one</p><p>two<br/>three<br>four</p>", "one\ntwo\nthree\nfour"),
            ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
            ("a <b class=\"x\">bold</b> word", "a bold word"),
            ("5 &lt; 6 &amp;&amp; 7 &gt; 6 &quot;&apos;&#39;&#x27;", "5 < 6 && 7 > 6 \"'''"),
            ("a&nbsp;b&#160;c&#xA0;d", "a b c d"),
            ("&#x1F600;&#233;", "😀é"),
        ] {
            assert_eq!(said(html), text, "{html}");
        }
    }

    #[test]
    fn entities_are_decoded_once() {
        assert_eq!(said("&amp;lt;b&amp;gt;"), "&lt;b&gt;");
        assert_eq!(said("&lt;b&gt;"), "<b>");
    }

    #[test]
    fn what_only_looks_like_markup_is_text() {
        for text in [
            "5 < 6 > 4",
            "a <",
            "<",
            "&",
            "a & b",
            "&unknown;",
            "&;",
            "&#;",
            "&#x;",
            "&#0;",
            "&#x1b;",
            "&#xD800;",
            "&#99999999;",
            "<b",
            "&ampamp",
            "é&é;",
            "<3",
        ] {
            assert_eq!(said(text), text);
        }
    }

    #[test]
    fn much_unfinished_markup_takes_no_more_than_its_length() {
        let begun = Instant::now();
        for unfinished in ["<", "<a", "&", "<at>", "<at ", "&#", "</at>", "<at>x</at>"] {
            said(&unfinished.repeat((1 << 18) / unfinished.len()));
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn any_text_that_is_escaped_is_read_back(text in "\\PC{0,40}") {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            prop_assert_eq!(said(&escaped), text.trim());
        }

        #[test]
        fn nothing_makes_it_panic(html in "(<at>|</at>|<|>|&|;|#|x|[0-9]|\\PC){0,40}") {
            prop_assert!(!said(&html).contains('\0'));
        }
    }
}
