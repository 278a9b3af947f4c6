//! How long a text is, and where it may be cut.
//!
//! Lengths are UTF-16 code units: never fewer than what a channel counts, whether it counts those
//! or Unicode scalars. Cuts fall between grapheme clusters, so no emoji is torn apart; only a
//! cluster that is longer than what it has to fit in is cut between its scalars.

use unicode_segmentation::GraphemeCursor;

/// How many bytes are counted at a time; so few that their units fit in a byte.
const BLOCK: usize = 64;

/// What stands at the end of a text that had to be cut.
pub const ELLIPSIS: char = '…';

/// The length of `text` in UTF-16 code units.
pub fn utf16_len(text: &str) -> usize {
    text.as_bytes().chunks(BLOCK).map(units_in).sum()
}

fn units_in(block: &[u8]) -> usize {
    // A scalar has one byte that does not continue another; four-byte scalars are surrogate pairs.
    let units = |byte: u8| u8::from(byte & 0xC0 != 0x80) + u8::from(byte >= 0xF0);
    usize::from(block.iter().map(|byte| units(*byte)).sum::<u8>())
}

/// The length in bytes of the longest beginning of `text` with at most `units` code units. It ends
/// between scalars, not necessarily between grapheme clusters.
pub fn prefix_within(text: &str, units: usize) -> usize {
    let mut left = units;
    let mut at = 0;
    // Where it is not close, there is no need to look at each scalar. One that a block cuts in two
    // counts with its first byte.
    for block in text.as_bytes().chunks(BLOCK) {
        match left.checked_sub(units_in(block)) {
            Some(rest) => left = rest,
            None => break,
        }
        at += block.len();
    }
    let at = text.ceil_char_boundary(at);
    at + prefix_that_costs(&text[at..], left, char::len_utf16)
}

fn prefix_that_costs(text: &str, limit: usize, cost: impl Fn(char) -> usize) -> usize {
    let mut left = limit;
    for (at, scalar) in text.char_indices() {
        match left.checked_sub(cost(scalar)) {
            Some(rest) => left = rest,
            None => return at,
        }
    }
    text.len()
}

/// Whether `at` lies between two grapheme clusters of `text` (its ends do).
pub fn is_grapheme_boundary(text: &str, at: usize) -> bool {
    // With the whole text at hand there is nothing more the cursor could ask for.
    GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0).unwrap_or(true)
}

/// The last place at or before `at` (between scalars) that lies between two grapheme clusters.
pub fn grapheme_floor(text: &str, at: usize) -> usize {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    match cursor.is_boundary(text, 0) {
        Ok(false) => cursor.prev_boundary(text, 0).ok().flatten().unwrap_or(0),
        _ => at,
    }
}

/// The first place at or behind `at` (between scalars) that lies between two grapheme clusters.
pub fn grapheme_ceil(text: &str, at: usize) -> usize {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    match cursor.is_boundary(text, 0) {
        Ok(false) => cursor.next_boundary(text, 0).ok().flatten().unwrap_or(text.len()),
        _ => at,
    }
}

/// Cuts `text` to `units` code units, the last of them an ellipsis; `None` if it fits as it is.
pub fn ellipsized(text: &str, units: usize) -> Option<String> {
    ellipsized_by(text, units, char::len_utf16)
}

/// Cuts `text` to what `cost` finds at most `limit` for all its scalars, the last of which is an
/// ellipsis; `None` if it fits as it is.
pub fn ellipsized_by(text: &str, limit: usize, cost: impl Fn(char) -> usize) -> Option<String> {
    if prefix_that_costs(text, limit, &cost) == text.len() {
        return None;
    }
    let cut = prefix_that_costs(text, limit.saturating_sub(cost(ELLIPSIS)), &cost);
    // A cluster longer than the whole limit is cut all the same.
    let cut = match grapheme_floor(text, cut) {
        0 => cut,
        between => between,
    };
    let mut kept = text[..cut].trim_end().to_owned();
    kept.push(ELLIPSIS);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAMILY: &str = "👨‍👩‍👧‍👦";

    #[test]
    fn lengths_are_in_utf16() {
        assert_eq!(utf16_len(FAMILY), 11);
        assert_eq!(utf16_len("🇧🇷"), 4);
        assert_eq!(utf16_len("e\u{301}\r\n"), 4);
    }

    #[test]
    fn a_cluster_is_kept_whole_or_left_out() {
        let text = format!("ab{FAMILY}cd");
        assert_eq!(ellipsized(&text, 8).unwrap(), "ab…");
        assert_eq!(ellipsized(&text, 14).unwrap(), format!("ab{FAMILY}…"));
        assert_eq!(ellipsized(&text, 15), None);
    }

    #[test]
    fn a_cluster_over_the_limit_is_cut_between_scalars() {
        let zalgo = format!("e{}", "\u{301}".repeat(50));
        assert_eq!(utf16_len(&ellipsized(&zalgo, 10).unwrap()), 10);
    }

    #[test]
    fn a_text_can_be_cut_to_bytes() {
        let text = format!("á{FAMILY}é");
        assert_eq!(ellipsized_by(&text, text.len(), char::len_utf8), None);
        let cut = ellipsized_by(&text, text.len() - 1, char::len_utf8);
        assert_eq!(cut.as_deref(), Some("á…"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn measures_agree_with_the_encoding(text in any::<String>(), units in 1usize..40) {
            prop_assert_eq!(utf16_len(&text), text.encode_utf16().count());
            let prefix = &text[..prefix_within(&text, units)];
            prop_assert!(utf16_len(prefix) <= units);
            match ellipsized(&text, units) {
                None => prop_assert!(utf16_len(&text) <= units),
                Some(cut) => {
                    prop_assert!(utf16_len(&cut) <= units && cut.ends_with(ELLIPSIS));
                    prop_assert!(utf16_len(&text) > units);
                }
            }
        }
    }
}
