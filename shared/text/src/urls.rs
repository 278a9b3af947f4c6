//! Bare URLs in a text: they are neither cut nor read as Markdown.

use std::ops::Range;

/// What a URL begins with. A word before it would make it something else, but for `http`, which
/// texts without spaces have in their middle.
const SCHEMES: [&str; 2] = ["https://", "http://"];
const WITHOUT_SCHEME: &str = "www.";

/// All URLs in `text`, in order. The punctuation and the brackets around one are no part of it.
pub fn find_all(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = next_start(text, from) {
        let end = end_of(text, start);
        found.push(start..end);
        from = end;
    }
    found
}

fn next_start(text: &str, from: usize) -> Option<usize> {
    let mut from = from;
    loop {
        let start = from + text[from..].find(['h', 'w'])?;
        if begins_url(text, start) {
            return Some(start);
        }
        from = start + 1;
    }
}

fn begins_url(text: &str, at: usize) -> bool {
    let (before, rest) = text.split_at(at);
    let has_host = |rest: &str| rest.starts_with(char::is_alphanumeric);
    SCHEMES.iter().any(|scheme| rest.starts_with(scheme))
        || rest.strip_prefix(WITHOUT_SCHEME).is_some_and(has_host)
            && !before
                .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'))
}

/// Where the URL that begins at `start` ends. A bracket that closes what it did not open, and
/// punctuation at its end, belong to the sentence around it.
fn end_of(text: &str, start: usize) -> usize {
    let (mut round, mut square) = (0_usize, 0_usize);
    let is_over = |c: char| {
        let open = match c {
            '(' | ')' => &mut round,
            '[' | ']' => &mut square,
            _ => return is_end(c),
        };
        if matches!(c, '(' | '[') {
            *open += 1;
            return false;
        }
        let closes_another = *open == 0;
        *open = open.saturating_sub(1);
        closes_another
    };
    let url = &text[start..];
    let url = &url[..url.find(is_over).unwrap_or(url.len())];
    start + without_punctuation(url).len()
}

/// Without the punctuation at its end; but the marks that close what was opened in the URL are a
/// part of it, as in `https://x/*a*`.
fn without_punctuation(url: &str) -> &str {
    let mut url = url;
    while let Some(last) = url.chars().next_back().filter(|c| is_punctuation(*c)) {
        let rest = url.trim_end_matches(last);
        let n_closed =
            if is_mark(last) { opened_by(last, rest).min(url.len() - rest.len()) } else { 0 };
        url = &url[..rest.len() + n_closed];
        if n_closed > 0 {
            break;
        }
    }
    url
}

/// How long the last run of `mark` in `url` is if it opens something: before a character, and not
/// in the middle of a word.
fn opened_by(mark: char, url: &str) -> usize {
    let Some(last) = url.rfind(mark) else { return 0 };
    let run = &url[..=last];
    let before = run.trim_end_matches(mark);
    if before.ends_with(char::is_alphanumeric) { 0 } else { run.len() - before.len() }
}

fn is_mark(c: char) -> bool {
    matches!(c, '*' | '_' | '~')
}

fn is_end(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '<' | '>' | '"' | '`' | '。' | '，' | '、' | '！' | '？' | '）' | '」')
}

fn is_punctuation(c: char) -> bool {
    is_mark(c) || matches!(c, '.' | ',' | ':' | ';' | '!' | '?' | '\'' | '}' | '|')
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
        assert_eq!(
            found("www.x.io/a, (www.b.c) a.www.x awww.x www.. me@www.x"),
            ["www.x.io/a", "www.b.c"]
        );
    }

    #[test]
    fn marks_that_close_what_a_url_opens_are_part_of_it() {
        let cases = [
            ("www.x.io/*b*, c", "www.x.io/*b*"),
            ("https://x.y/_a_*b*", "https://x.y/_a_*b*"),
            ("**https://x.y/_a_**", "https://x.y/_a_"),
            ("**https://x.y/*a***.", "https://x.y/*a*"),
            ("https://x.y/**a**!", "https://x.y/**a**"),
            ("_see https://x.y/a_b_", "https://x.y/a_b"),
            ("~~https://x.y/a~~", "https://x.y/a"),
        ];
        for (text, url) in cases {
            assert_eq!(found(text), [url]);
        }
    }

    #[test]
    fn only_brackets_that_it_opens_are_closed_in_a_url() {
        let cases = [
            ("(see https://x.y/A_(b)_c(d)).", "https://x.y/A_(b)_c(d)"),
            ("[a](https://x.y),[b](z)", "https://x.y"),
            ("[https://x.y/?a[0]=1]", "https://x.y/?a[0]=1"),
            ("http://[::1]/a)", "http://[::1]/a"),
        ];
        for (text, url) in cases {
            assert_eq!(found(text), [url]);
        }
    }
}
