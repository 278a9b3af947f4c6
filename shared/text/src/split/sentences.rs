//! Where sentences end: Unicode's rules (UAX #29), less what they cannot know.
//!
//! They see an end after `Dr.` and inside `a?b`, and none after `…`. All that is put right here; what
//! they see inside a URL is for the caller to refuse.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// How much is looked at at first, in bytes: hardly any text has no sentence that ends in it.
const FIRST_BLOCK: usize = 128;
/// How much is looked at at a time at most: the rules look ahead, so that the time they take may
/// grow with the square of it.
const MAX_BLOCK: usize = 2_048;
/// How far the rules look beyond a place to judge it.
const LOOK_AHEAD: usize = 128;
/// How far they look back, which is further than the longest abbreviation.
const LOOK_BACK: usize = 32;

/// What a full stop after it does not end a sentence: titles and the like, in lower case, of the
/// languages our users write.
const ABBREVIATIONS: [&str; 48] = [
    "adm", "apt", "art", "av", "bl", "ca", "cap", "cel", "cf", "cia", "col", "dep", "dr", "dra",
    "drs", "eng", "est", "ex", "exmo", "exma", "fig", "fl", "gen", "gov", "ilmo", "jr", "ltd",
    "mr", "mrs", "ms", "mt", "no", "núm", "nº", "pág", "prof", "profa", "ref", "rev", "sr", "sra",
    "sras", "srs", "srta", "st", "tel", "vol", "vs",
];

/// The last end of a sentence (its trailing space left out) in `text[from..=limit]` that `accept`
/// takes; `accept` also learns whether a line ends there.
pub(super) fn last_end<T>(
    text: &str,
    from: usize,
    limit: usize,
    mut accept: impl FnMut(usize, bool) -> Option<T>,
) -> Option<T> {
    let mut block_end = limit;
    let mut size = FIRST_BLOCK;
    loop {
        let block = text.floor_char_boundary(block_end.saturating_sub(size).max(from));
        let found = ends_between(text, from, block..block_end)
            .into_iter()
            .rev()
            .find_map(|(end, ends_line)| accept(end, ends_line));
        if found.is_some() || block == from {
            return found;
        }
        block_end = block;
        size = MAX_BLOCK.min(2 * size);
    }
}

/// The ends of sentences in `text[from..]` that are in `block`, in order, each with whether a line
/// ends there. What begins the block belongs to the one before it.
fn ends_between(text: &str, from: usize, block: Range<usize>) -> Vec<(usize, bool)> {
    let looked_from = text.floor_char_boundary(block.start.saturating_sub(LOOK_BACK).max(from));
    let looked_to = text.floor_char_boundary((block.end + LOOK_AHEAD).min(text.len()));
    let mut ends = Vec::new();
    for (offset, sentence) in text[looked_from..looked_to].split_sentence_bound_indices() {
        let content = sentence.trim_end();
        let start = looked_from + offset;
        let next = start + sentence.len();
        let end = start + content.len();
        let trailing_off = ellipses_that_end(sentence).map(|len| (start + len, false));
        ends.extend(trailing_off.take_while(|(place, _)| *place < end));
        // What ends where we stopped looking may go on there.
        if content.is_empty() || next == looked_to {
            continue;
        }
        // `**Bold.** Next`: the marks belong to what they end.
        let marks = if end == next { leading_marks(&text[end..looked_to]) } else { 0 };
        let end = end + marks;
        if end > block.end {
            break;
        }
        let ends_line = text[end..next.max(end)].contains(['\n', '\u{2028}', '\u{2029}']);
        let space_follows = text[end..].starts_with(char::is_whitespace);
        if ends_line || is_end(text, from, end - marks, space_follows) {
            ends.push((end, ends_line));
        }
    }
    ends.retain(|(end, _)| block.start < *end && *end <= block.end);
    ends
}

/// Where in `text` an ellipsis ends a sentence: as after three dots, nothing in lower case follows.
fn ellipses_that_end(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices('…').filter_map(|(at, ellipsis)| {
        let rest = &text[at + ellipsis.len()..];
        let next = rest.trim_start();
        let ends = next.len() < rest.len() && !next.starts_with(char::is_lowercase);
        ends.then_some(at + ellipsis.len())
    })
}

fn leading_marks(text: &str) -> usize {
    text.len() - text.trim_start_matches(['*', '_', '`', '~']).len()
}

/// Whether a sentence ends at `end`, within a line, where Unicode's rules say so.
fn is_end(text: &str, from: usize, end: usize, space_follows: bool) -> bool {
    let seen = text.floor_char_boundary(end.saturating_sub(LOOK_BACK).max(from));
    let sentence = text[seen..end].trim_end_matches(['"', '\'', '”', '’', '»', ')', ']']);
    match sentence.chars().next_back() {
        Some('.') => space_follows && !is_abbreviated(&sentence[..sentence.len() - 1]),
        Some('!' | '?') => space_follows,
        _ => true,
    }
}

/// Whether the full stop after `text` belongs to its last word.
fn is_abbreviated(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap_or(text);
    let word = line.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or(line);
    if word.is_empty() || word.len() > 16 {
        return false;
    }
    let is_letters = |part: &str, most: usize| {
        (1..=most).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic)
    };
    let is_initial = is_letters(word, 1);
    let is_dotted = word.contains('.') && word.split('.').all(|part| is_letters(part, 2));
    let numbers_item =
        word.len() == line.trim_start().len() && word.chars().all(|c| c.is_ascii_digit());
    is_initial || is_dotted || numbers_item || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut start = 0;
        let mut found = Vec::new();
        for (end, _) in ends_between(text, 0, 0..text.len()) {
            found.push(text[start..end].trim_start());
            start = end;
        }
        found.push(text[start..].trim());
        found.retain(|sentence| !sentence.is_empty());
        found
    }

    #[test]
    fn abbreviations_numbers_and_urls_end_no_sentence() {
        for whole in [
            "Fale com o Dr. Silva ou a Sra. Souza (Prof. Ana) hoje.",
            "O total é R$ 1.500,00 ou 3.14 vezes.",
            "J. K. Rowling lives in the U.S. East, e.g. London.",
            "Veja https://x.com/?Q=1!B e volte.",
            "1. First item",
            "Wait... what",
        ] {
            assert_eq!(sentences(whole), [whole]);
        }
    }

    #[test]
    fn sentences_end_in_every_script() {
        let cases: [(&str, &[&str]); 7] = [
            (
                "Um. Dois! Três? \"Quatro.\" Cinco",
                &["Um.", "Dois!", "Três?", "\"Quatro.\"", "Cinco"],
            ),
            ("你好。世界！好吗？是", &["你好。", "世界！", "好吗？", "是"]),
            ("a linha\noutra linha", &["a linha", "outra linha"]),
            ("É o fim? Sim. **Ok.** Bom", &["É o fim?", "Sim.", "**Ok.**", "Bom"]),
            ("यह है। वह है", &["यह है।", "वह है"]),
            ("ما هذا؟ هذا كتاب.", &["ما هذا؟", "هذا كتاب."]),
            ("Bem… Vamos. Ah… sim… É", &["Bem…", "Vamos.", "Ah… sim…", "É"]),
        ];
        for (text, expected) in cases {
            assert_eq!(sentences(text), expected);
        }
    }

    #[test]
    fn the_last_end_is_found_across_blocks() {
        let text = format!("One. Two.{}", " Word".repeat(5_000));
        let end = last_end(&text, 0, 20_000, |end, _| Some(end));
        assert_eq!(end, Some("One. Two.".len()));
    }
}
