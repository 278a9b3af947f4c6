//! How many segments a text message takes.
//!
//! A text whose characters are all in the GSM 7 bit default alphabet or its extension table (3GPP
//! TS 23.038, 6.2.1 and 6.2.1.1) is sent in septets, any other in UCS-2 (6.2.3). A message has 140
//! octets, which is room for 160 septets or 70 code units. Of the parts of a longer text each gives
//! six octets to a header that says where it belongs (3GPP TS 23.040, 9.2.3.24.1), which leaves 153
//! septets or 67 code units.
//!
//! A character of the extension table is two septets, and one beyond U+FFFF two code units; neither
//! is cut in two by a segment's end, so a text may take one segment more than its length says.
//! National language tables are not counted with: hardly anything that sends SMS over HTTP uses
//! them.

/// The GSM 7 bit default alphabet, less its escape.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// Its extension table: an escape and another septet each.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// In what a text travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The GSM 7 bit default alphabet and its extension table.
    Gsm7,
    /// UTF-16 in all but name.
    Ucs2,
}

/// What a text takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// In what it travels.
    pub encoding: Encoding,
    /// How many segments it takes; none if it is empty.
    pub count: usize,
}

impl Encoding {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
        }
    }

    /// The room of a text's only segment, and of each of several.
    fn room(self) -> (usize, usize) {
        match self {
            Self::Gsm7 => (160, 153),
            Self::Ucs2 => (70, 67),
        }
    }
}

/// Counts the segments that `text` takes.
pub fn segments(text: &str) -> Segments {
    if text.chars().all(|c| septets(c).is_some()) {
        let costs = || text.chars().filter_map(septets);
        return Segments { encoding: Encoding::Gsm7, count: count(Encoding::Gsm7, costs) };
    }
    let costs = || text.chars().map(char::len_utf16);
    Segments { encoding: Encoding::Ucs2, count: count(Encoding::Ucs2, costs) }
}

fn count<I: Iterator<Item = usize>>(encoding: Encoding, costs: impl Fn() -> I) -> usize {
    let (alone, each) = encoding.room();
    let total: usize = costs().sum();
    if total <= alone {
        return usize::from(total > 0);
    }
    let mut count = 1;
    let mut used = 0;
    for cost in costs() {
        if used + cost > each {
            count += 1;
            used = 0;
        }
        used += cost;
    }
    count
}

/// How many septets `c` takes; `None` if it has none.
fn septets(c: char) -> Option<usize> {
    if c.is_ascii_alphanumeric() || c == ' ' || BASIC.contains(c) {
        return Some(1);
    }
    EXTENSION.contains(c).then_some(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(text: &str) -> (&'static str, usize) {
        let Segments { encoding, count } = segments(text);
        (encoding.as_str(), count)
    }

    #[test]
    fn the_alphabet_has_all_its_characters() {
        assert_eq!(BASIC.chars().count(), 127);
        assert_eq!(EXTENSION.chars().count(), 10);
        let both: Vec<char> = BASIC.chars().chain(EXTENSION.chars()).collect();
        assert!(both.iter().all(|c| both.iter().filter(|other| c == *other).count() == 1));
    }

    #[test]
    fn a_text_alone_has_more_room_than_each_of_several() {
        let cases = [
            (String::new(), ("gsm7", 0)),
            ("Olá é à".to_owned(), ("ucs2", 1)),
            ("é à ñ Ç\r\n@£$¥ΔΩ".to_owned(), ("gsm7", 1)),
            ("a".repeat(160), ("gsm7", 1)),
            ("a".repeat(161), ("gsm7", 2)),
            ("a".repeat(306), ("gsm7", 2)),
            ("a".repeat(307), ("gsm7", 3)),
            ("ç".repeat(70), ("ucs2", 1)),
            ("ç".repeat(71), ("ucs2", 2)),
            ("ç".repeat(134), ("ucs2", 2)),
            ("ç".repeat(135), ("ucs2", 3)),
            // Seed 000's chunk of 140 characters with one emoji.
            (format!("{}😀", "a".repeat(138)), ("ucs2", 3)),
        ];
        for (text, expected) in cases {
            assert_eq!(counted(&text), expected, "{text}");
        }
    }

    #[test]
    fn extension_characters_are_two_septets() {
        assert_eq!(counted(&"€".repeat(80)), ("gsm7", 1));
        assert_eq!(counted(&format!("{}a", "[".repeat(80))), ("gsm7", 2));
        assert_eq!(counted("^{}\\[~]|€\u{c}"), ("gsm7", 1));
    }

    #[test]
    fn no_character_is_cut_by_the_end_of_a_segment() {
        // 306 septets would fit in two segments, if the 153rd were not half of a bracket.
        assert_eq!(counted(&format!("{}[{}", "a".repeat(152), "a".repeat(152))), ("gsm7", 3));
        assert_eq!(counted(&format!("{}[{}", "a".repeat(151), "a".repeat(153))), ("gsm7", 2));
        assert_eq!(counted(&"😀".repeat(67)), ("ucs2", 3));
        assert_eq!(counted(&"😀".repeat(66)), ("ucs2", 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn segments_hold_the_text_and_are_not_wasted(text in "[a-z€\\[]{0,700}|[a-zç😀字]{0,400}") {
            let Segments { encoding, count } = segments(&text);
            let length: usize = match encoding {
                Encoding::Gsm7 => text.chars().filter_map(septets).sum(),
                Encoding::Ucs2 => text.encode_utf16().count(),
            };
            let (alone, each) = encoding.room();
            prop_assert!(length <= alone || length <= count * each);
            // At most one unit of each segment stays empty.
            prop_assert!(count <= 1 || length > (count - 1) * (each - 1));
        }
    }
}
