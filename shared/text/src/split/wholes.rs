//! What is not cut in two if it fits in a chunk: URLs, links, and the rows of tables.

use std::ops::Range;

use crate::{units, urls};

/// More brackets than a link has around it: none of them is kept in mind.
const MAX_BRACKETS: usize = 32;
/// How far before `(https://…)` the word is looked for that it belongs to, in bytes.
const MAX_WORD: usize = 64;

/// The wholes of a text, each kind in order and disjoint.
pub(super) struct Wholes<'t> {
    text: &'t str,
    /// From the outermost kind to the innermost; none is partly inside of another.
    kinds: [Vec<Range<usize>>; 3],
}

impl<'t> Wholes<'t> {
    /// Rows, links and URLs.
    pub(super) fn of_prose(text: &'t str) -> Self {
        let mut wholes = Self::of_data(text);
        let rows = rows(text);
        wholes.kinds[1].retain(|link| !crosses_any(link, &rows));
        wholes.kinds[0] = rows;
        wholes
    }

    /// Links and URLs.
    pub(super) fn of_data(text: &'t str) -> Self {
        let urls = urls::find_all(text);
        let links = united(links(text), words_before(text, &urls));
        let urls = urls.into_iter().map(|url| less_links(url, &links)).collect();
        let kinds = [Vec::new(), in_graphemes(text, links), in_graphemes(text, urls)];
        Self { text, kinds }
    }

    /// What a chunk that begins at `from` and ends at `at` would cut in two, although it has at most
    /// `room` code units.
    pub(super) fn torn_at(&self, from: usize, at: usize, room: usize) -> Option<Range<usize>> {
        self.kinds.iter().find_map(|kind| {
            let next = kind.partition_point(|whole| whole.end <= at);
            let whole = kind.get(next).filter(|whole| whole.start < at)?;
            // Of what was too long for the chunks before, the rest may fit.
            let whole = whole.start.max(from)..whole.end;
            // No scalar has more bytes per code unit; so what is long is not measured each time.
            let fits = whole.len() <= room.saturating_mul(3)
                && units::utf16_len(&self.text[whole.clone()]) <= room;
            fits.then_some(whole)
        })
    }
}

/// The lines that are rows of a table, in Markdown or as `a | b`.
fn rows(text: &str) -> Vec<Range<usize>> {
    let mut rows = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let row = line.trim();
        if row.starts_with('|') || row.contains(" | ") {
            let start = at + (line.len() - line.trim_start().len());
            rows.push(start..start + row.len());
        }
        at += line.len();
    }
    rows
}

/// `[text](url)` and `[text](url "title")`, the outermost of each.
fn links(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut links: Vec<Range<usize>> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| matches!(byte, b'[' | b']' | b'\n'))
    {
        at += found;
        match bytes[at] {
            b'[' if open.len() == MAX_BRACKETS => open.clear(),
            b'[' => open.push(at),
            b'\n' if is_blank(&text[at + 1..]) => open.clear(),
            b']' => {
                let opened = open.pop();
                if let Some((start, end)) = opened.zip(destination_end(text, at + 1)) {
                    // An image is part of its link's mark.
                    let is_image = start > 0 && bytes[start - 1] == b'!';
                    let start = start - usize::from(is_image);
                    while links.pop_if(|inner| inner.start >= start).is_some() {}
                    links.push(start..end);
                    at = end;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    links
}

fn is_blank(rest: &str) -> bool {
    let line = rest.split('\n').next().unwrap_or_default();
    line.trim().is_empty()
}

/// Where `(url)` or `(url "title")` ends, if it begins at `at`. There is no square bracket in it, so
/// that no part of the text is looked at twice.
fn destination_end(text: &str, at: usize) -> Option<usize> {
    let rest = text[at..].strip_prefix('(')?;
    let mut depth = 0;
    let mut is_quoted = false;
    for (offset, byte) in rest.bytes().enumerate() {
        match byte {
            b'[' | b']' | b'\n' => return None,
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'(' => depth += 1,
            b')' if depth == 0 => return Some(at + offset + 2),
            b')' => depth -= 1,
            // Of several spaces the first has been judged.
            b' ' if rest[..offset].ends_with(' ') => {}
            b' ' if !rest[offset..].trim_start_matches(' ').starts_with(['"', ')']) => return None,
            _ => {}
        }
    }
    None
}

/// `word (url)`, as a link is written without its marks.
fn words_before(text: &str, urls: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for url in urls {
        let before = &text[..url.start];
        if !before.ends_with(" (") || !text[url.end..].starts_with(')') {
            continue;
        }
        let word_end = url.start - " (".len();
        let searched = text.ceil_char_boundary(word_end.saturating_sub(MAX_WORD));
        let space = text[searched..word_end].rfind(char::is_whitespace);
        let word = match space {
            Some(space) => text.ceil_char_boundary(searched + space + 1),
            None if searched == 0 => 0,
            None => url.start - 1,
        };
        let after_last = found.last().map_or(0, |last| last.end);
        found.push(word.max(after_last)..url.end + 1);
    }
    found
}

/// Both in order; those that meet are one.
fn united(links: Vec<Range<usize>>, words: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut all = links;
    all.extend(words);
    all.sort_by_key(|whole| whole.start);
    all.dedup_by(|whole, before| {
        let is_met = whole.start < before.end;
        if is_met {
            before.end = before.end.max(whole.end);
        }
        is_met
    });
    all
}

fn crosses_any(link: &Range<usize>, rows: &[Range<usize>]) -> bool {
    let next = rows.partition_point(|row| row.end <= link.start);
    rows.get(next).is_some_and(|row| {
        row.start < link.end && !(row.start <= link.start && link.end <= row.end)
    })
}

/// The part of `url` that is inside of one of the links, or before the next.
fn less_links(url: Range<usize>, links: &[Range<usize>]) -> Range<usize> {
    let next = links.partition_point(|link| link.end <= url.start);
    match links.get(next) {
        Some(link) if link.start <= url.start => url.start..url.end.min(link.end),
        Some(link) => url.start..url.end.min(link.start),
        None => url,
    }
}

/// With all of the graphemes at their ends, since no cut is inside of those. One that two of them
/// share is the first one's.
fn in_graphemes(text: &str, wholes: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut last_end = 0;
    let widened = wholes.into_iter().map(|whole| {
        let start = units::grapheme_floor(text, whole.start).max(last_end);
        last_end = units::grapheme_ceil(text, whole.end).max(start);
        start..last_end
    });
    widened.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, wholes: Vec<Range<usize>>) -> Vec<&str> {
        wholes.into_iter().map(|whole| &text[whole]).collect()
    }

    #[test]
    fn links_are_found_with_all_that_is_in_them() {
        let cases: [(&str, &[&str]); 6] = [
            ("a [two words](https://x.y/z) b", &["[two words](https://x.y/z)"]),
            ("![a b](x)[c [d]](e(f)g)", &["![a b](x)", "[c [d]](e(f)g)"]),
            ("[![cat](c.png) pic](https://x)", &["[![cat](c.png) pic](https://x)"]),
            ("[a\nb](x \"y (z\") [c] (d) [e](f g)", &["[a\nb](x \"y (z\")"]),
            ("[a\n \nb](x) [ [c](", &[]),
            ("[é](ü)]](x)[", &["[é](ü)"]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text, links(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_link_without_marks_is_its_last_word_and_the_url() {
        let text = "see our site (https://x.y/z), or the (https://a) docs\u{3000}二 (https://b).";
        let words = words_before(text, &urls::find_all(text));
        let expected = ["site (https://x.y/z)", "the (https://a)", "二 (https://b)"];
        assert_eq!(found(text, words), expected);
    }

    #[test]
    fn a_grapheme_belongs_to_one_whole_only() {
        let text = "a (https://b/)\u{300}c (https://d/)\u{300}e";
        let wholes = Wholes::of_data(text).kinds[1].clone();
        assert_eq!(found(text, wholes), ["a (https://b/)\u{300}", "c (https://d/)\u{300}"]);
    }

    #[test]
    fn rows_are_lines_with_cells() {
        let text = "a|b\n  | c. | d |\r\n|---|\ne. | f\ng";
        assert_eq!(found(text, rows(text)), ["| c. | d |", "|---|", "e. | f"]);
    }
}
