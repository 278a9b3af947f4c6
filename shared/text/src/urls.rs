//! Bare URLs in a text: they are neither cut nor read as Markdown.

use std::ops::Range;

const SCHEMES: [&str; 2] = ["https://", "http://"];

/// The longest scheme, with its slashes.
const SCHEME_LEN: usize = "https://".len();

/// All URLs in `text`, in order.
pub fn find_all(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = next_start(text, from) {
        let end = end_of(text, start, usize::MAX);
        found.push(start..end);
        from = end;
    }
    found
}

/// The URL that `at` would cut, if there is one that begins in `text[from..]` and is at most
/// `max_len` bytes long.
pub fn around(text: &str, from: usize, at: usize, max_len: usize) -> Option<Range<usize>> {
    let searched_to = text.floor_char_boundary((at + SCHEME_LEN).min(text.len()));
    let searched = &text[from..searched_to];
    // A scheme inside a URL (`https://a/?to=https://b`) belongs to the URL that began before it.
    let word_start = text[from..at].rfind(is_end).map_or(from, |space| {
        from + space + text[from + space..].chars().next().map_or(0, char::len_utf8)
    });
    let starts = SCHEMES.iter().filter_map(|scheme| searched[word_start - from..].find(scheme));
    let start = word_start + starts.min()?;
    if start >= at {
        return None;
    }
    let end = end_of(text, start, max_len);
    (at < end && end - start <= max_len).then_some(start..end)
}

fn next_start(text: &str, from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let start = from + text[from..].find("http")?;
        if SCHEMES.iter().any(|scheme| text[start..].starts_with(scheme)) {
            return Some(start);
        }
        from = start + "http".len();
    }
}

/// Where the URL that begins at `start` ends, looked for in somewhat more than `max_len` bytes.
/// Punctuation at its end belongs to the sentence around it.
fn end_of(text: &str, start: usize, max_len: usize) -> usize {
    let searched_to = start.saturating_add(max_len).saturating_add(1).min(text.len());
    let url = &text[start..text.ceil_char_boundary(searched_to)];
    let url = &url[..url.find(is_end).unwrap_or(url.len())];
    start + url.trim_end_matches(is_punctuation).len()
}

fn is_end(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '<' | '>' | '"' | '`' | '。' | '，' | '、' | '！' | '？' | '）' | '」')
}

fn is_punctuation(c: char) -> bool {
    matches!(c, '*' | '_' | '~' | '.' | ',' | ':' | ';' | '!' | '?' | '\'' | ')' | ']' | '}' | '|')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        find_all(text).into_iter().map(|url| &text[url]).collect()
    }

    #[test]
    fn the_sentence_around_a_url_is_no_part_of_it() {
        let text = "Veja **https://a.b/_c_d**, (http://x.y/z?q=1). 请看https://例え.jp/路径。好";
        assert_eq!(found(text), ["https://a.b/_c_d", "http://x.y/z?q=1", "https://例え.jp/路径"]);
        assert_eq!(found("http: https https:/x"), [""; 0]);
        assert_eq!(found("https://a/?to=https://b/"), ["https://a/?to=https://b/"]);
    }

    #[test]
    fn a_cut_inside_a_url_is_noticed_anywhere_in_it() {
        let text = "a https://x.y/z?to=http://w b";
        let url = 2..text.len() - 2;
        for at in 0..=text.len() {
            let expected = (url.start < at && at < url.end).then(|| url.clone());
            assert_eq!(around(text, 0, at, 100), expected, "at {at}");
        }
        assert_eq!(around(text, 0, 10, 20), None, "too long to be kept whole");
    }
}
