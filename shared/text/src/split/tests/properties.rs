//! What the splitter promises, on arbitrary texts.

use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::*;
use crate::split::wholes::Wholes;

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Zé]{1,12}",
        2 => "[.!?,;:。！？।؟]{1,2}",
        4 => "[ \n\t]{1,3}",
        1 => Just("\n\n".to_owned()),
        1 => Just("https://example.com/path?q=1".to_owned()),
        1 => "https://e\\.com/[a-z?.!।\u{301}]{0,90}",
        1 => Just(FAMILY.to_owned()),
        1 => "[🇧🇷🇵🇹👍🏽👨\u{200d}]{1,8}",
        1 => Just("\r\n".to_owned()),
        1 => "[a-z]{100,320}",
        1 => "\\[[a-z .]{1,30}\\]\\(https://e\\.com/[a-z]{0,30}\\)",
        1 => "[a-z]{1,5} \\(https://e\\.com/[a-z]{0,30}\\)",
        1 => "(\n\\|( [a-z.?]{1,9} [a-z]{0,9} \\|){1,4}){1,3}\n",
        1 => "[אבגשלום؟ هذا]{1,20}",
        1 => "\\PC{1,5}",
        1 => "[\u{300}-\u{305} ]{1,4}",
        1 => "[字后你好]{1,40}",
    ];
    prop::collection::vec(piece, 0..250).prop_map(|pieces| pieces.concat())
}

fn any_config() -> impl Strategy<Value = SplitConfig> {
    let strategy = prop_oneof![
        Just(ChunkStrategy::Paragraph),
        Just(ChunkStrategy::Sentence),
        Just(ChunkStrategy::Length),
    ];
    (strategy, 100u32..300, 1u32..=50, any::<bool>()).prop_map(
        |(strategy, max_chunk_size, max_chunks, numbering)| SplitConfig {
            strategy,
            max_chunk_size,
            max_chunks,
            numbering,
            inter_chunk_delay_ms: 0,
        },
    )
}

/// The chunks without their numbers, which are checked.
fn bodies<'c>(chunks: &'c [String], config: &SplitConfig) -> Vec<&'c str> {
    let total = chunks.len();
    let is_numbered = config.numbering && total > 1;
    let body = |(index, chunk): (usize, &'c String)| -> &'c str {
        let header = format!("({}/{total})\n", index + 1);
        if is_numbered { chunk.strip_prefix(&header).expect("a number") } else { chunk }
    };
    chunks.iter().enumerate().map(body).collect()
}

/// Where each body stands in the text; between two of them there is only white space.
fn places(text: &str, bodies: &[&str]) -> Vec<std::ops::Range<usize>> {
    let mut from = 0;
    let place = |body: &&str| {
        let at = from + text[from..].find(body).expect("in the text, in order");
        assert!(text[from..at].trim().is_empty(), "lost {:?}", &text[from..at]);
        from = at + body.len();
        at..from
    };
    bodies.iter().map(place).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_torn_or_over_the_limit(text in any_text(), config in any_config()) {
        let split = split(&text, &config);
        let size = config.max_chunk_size as usize;
        prop_assert!(split.chunks.len() <= config.max_chunks as usize);
        for chunk in &split.chunks {
            prop_assert!(utf16_len(chunk) <= size);
        }
        let mut bodies = bodies(&split.chunks, &config);
        prop_assert!(bodies.iter().all(|body| !body.trim().is_empty()));
        if split.truncated {
            let last = bodies.last_mut().unwrap();
            *last = last.strip_suffix(ELLIPSIS).expect("an ellipsis");
        }
        let places = places(&text, &bodies);
        let end = places.last().map_or(0, |place| place.end);
        prop_assert!(split.truncated || text[end..].trim().is_empty(), "lost {:?}", &text[end..]);

        let graphemes: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
        let room = size - "(50/50)\n".len() - ELLIPSIS.len_utf16();
        let wholes = Wholes::of_data(&text);
        for place in &places {
            for at in [place.start, place.end] {
                prop_assert!(at == text.len() || graphemes.binary_search(&at).is_ok(), "torn at {at}");
                let torn = wholes.torn_at(0, at, room);
                prop_assert!(torn.is_none(), "torn {torn:?} at {at}");
            }
        }
    }

    #[test]
    fn a_chunk_takes_all_the_sentences_that_fit(
        sentences in prop::collection::vec("[A-Z][a-zé]{0,20}( [a-z]{1,9}){0,4} [a-z]{10}[.!?]", 1..80),
        size in 100u32..300,
    ) {
        let split = split(&sentences.join(" "), &config(ChunkStrategy::Sentence, size));
        let mut left = sentences.as_slice();
        for chunk in &split.chunks {
            let mut taken = 0;
            let mut length = 0;
            while let Some(next) = left.get(taken) {
                let longer = length + usize::from(length > 0) + utf16_len(next);
                if longer > size as usize {
                    break;
                }
                (length, taken) = (longer, taken + 1);
            }
            prop_assert_eq!(chunk, &left[..taken].join(" "));
            left = &left[taken..];
        }
        prop_assert!(left.is_empty());
    }

    #[test]
    fn a_chunk_takes_all_the_paragraphs_that_fit(
        paragraphs in prop::collection::vec("[a-z]{1,9}( [a-zé]{1,9}){0,8}", 1..60),
        size in 100u32..300,
    ) {
        let split = split(&paragraphs.join("\n\n"), &config(ChunkStrategy::Paragraph, size));
        for pair in split.chunks.windows(2) {
            let first = pair[1].split("\n\n").next().unwrap();
            prop_assert!(utf16_len(&pair[0]) + 2 + utf16_len(first) > size as usize);
        }
        prop_assert_eq!(split.chunks.join("\n\n"), paragraphs.join("\n\n"));
    }

    #[test]
    fn fences_stay_balanced(
        lines in prop::collection::vec("(```|```rust|~~~|[a-z ]{0,60}|[a-z.]{0,150})", 0..60),
        config in any_config(),
    ) {
        let text = lines.join("\n");
        let split = split(&text, &config);
        let size = config.max_chunk_size as usize;
        prop_assert!(split.chunks.iter().all(|chunk| utf16_len(chunk) <= size));
        let n_last = split.chunks.len().saturating_sub(1);
        if config.strategy != ChunkStrategy::Length {
            for body in bodies(&split.chunks, &config).into_iter().take(n_last) {
                for fence in fences::find_all(body) {
                    prop_assert!(fence.close < fence.end, "open in {body:?}");
                }
            }
        }
    }

    #[test]
    fn it_ends_on_anything(text in any::<String>(), size in any::<u32>(), max_chunks in any::<u32>()) {
        for strategy in STRATEGIES {
            let config = SplitConfig { max_chunks, numbering: true, ..config(strategy, size) };
            let split = split(&text, &config);
            prop_assert!(split.chunks.iter().all(|chunk| utf16_len(chunk) <= size.max(100) as usize));
        }
    }
}
