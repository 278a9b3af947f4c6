//! Where sentences end: Unicode's rules (UAX #29), less what they cannot know.
//!
//! They see an end after `Dr.` and inside `a?b`. Both are put right here; what they see inside a
//! URL is for the caller to refuse.

use unicode_segmentation::UnicodeSegmentation;

/// How much is looked at at a time, in bytes: the rules look ahead, so that the time they take
/// may grow with the square of it.
const BLOCK: usize = 4_096;
/// How far the rules look beyond a place to judge it.
const LOOK_AHEAD: usize = 256;

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
    loop {
        let block = text.floor_char_boundary(block_end.saturating_sub(BLOCK).max(from));
        let found = ends_between(text, block, block_end)
            .into_iter()
            .rev()
            .find_map(|(end, ends_line)| accept(end, ends_line));
        if found.is_some() || block == from {
            return found;
        }
        block_end = block;
    }
}

/// The ends in `text[from..=to]`, in order, each with whether a line ends there.
fn ends_between(text: &str, from: usize, to: usize) -> Vec<(usize, bool)> {
    let looked_to = text.floor_char_boundary((to + LOOK_AHEAD).min(text.len()));
    let mut ends = Vec::new();
    for (offset, sentence) in text[from..looked_to].split_sentence_bound_indices() {
        let content = sentence.trim_end();
        let next = from + offset + sentence.len();
        // What ends where we stopped looking may go on there.
        if content.is_empty() || next == looked_to {
            continue;
        }
        let end = from + offset + content.len();
        // `**Bold.** Next`: the marks belong to what they end.
        let marks = if end == next { leading_marks(&text[end..looked_to]) } else { 0 };
        let end = end + marks;
        if end > to {
            break;
        }
        let ends_line = text[end..next.max(end)].contains(['\n', '\u{2028}', '\u{2029}']);
        let space_follows = text[end..].starts_with(char::is_whitespace);
        if ends_line || is_end(&text[from..end - marks], space_follows) {
            ends.push((end, ends_line));
        }
    }
    ends
}

fn leading_marks(text: &str) -> usize {
    text.len() - text.trim_start_matches(['*', '_', '`', '~']).len()
}

/// Whether a sentence ends with `text`, within a line, where Unicode's rules say so.
fn is_end(text: &str, space_follows: bool) -> bool {
    let sentence = text.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']']);
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
        for (end, _) in ends_between(text, 0, text.len()) {
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
        let cases: [(&str, &[&str]); 5] = [
            (
                "Um. Dois! Três? \"Quatro.\" Cinco",
                &["Um.", "Dois!", "Três?", "\"Quatro.\"", "Cinco"],
            ),
            ("你好。世界！好吗？是", &["你好。", "世界！", "好吗？", "是"]),
            ("a linha\noutra linha", &["a linha", "outra linha"]),
            ("É o fim? Sim. **Ok.** Bom", &["É o fim?", "Sim.", "**Ok.**", "Bom"]),
            ("यह है। वह है", &["यह है।", "वह है"]),
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
