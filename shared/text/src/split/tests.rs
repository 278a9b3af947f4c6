//! What the splitter promises, on chosen and on arbitrary texts.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::*;
use crate::urls;

const FAMILY: &str = "👨‍👩‍👧‍👦";

fn config(strategy: ChunkStrategy, max_chunk_size: u32) -> SplitConfig {
    SplitConfig {
        max_chunk_size,
        max_chunks: 50,
        strategy,
        numbering: false,
        inter_chunk_delay_ms: 0,
    }
}

fn by_paragraph(text: &str) -> Vec<String> {
    split(text, &config(ChunkStrategy::Paragraph, 100)).chunks
}

/// `n` letters that make no sentence.
fn filler(n: usize) -> String {
    "lorem ipsum ".chars().cycle().take(n - 1).chain(['x']).collect()
}

#[test]
fn what_fits_is_left_alone() {
    let text = format!("{}\n\n{}", filler(49), filler(49));
    let split =
        split(&text, &SplitConfig { numbering: true, ..config(ChunkStrategy::Paragraph, 100) });
    assert_eq!(split, Split { chunks: vec![text], truncated: false });
    assert_eq!(by_paragraph(" \n\t\u{3000} ").len(), 0);
}

#[test]
fn small_paragraphs_share_a_chunk_and_none_is_torn_that_fits() {
    let paragraphs = [filler(30), filler(40), filler(90), filler(20), filler(60)];
    let chunks = by_paragraph(&paragraphs.join("\n\n"));
    let [first, second, long, small, last] = &paragraphs;
    let expected = [format!("{first}\n\n{second}"), long.clone(), format!("{small}\n\n{last}")];
    assert_eq!(chunks, expected);
}

#[test]
fn a_paragraph_too_long_is_cut_after_sentences_then_lines_then_words() {
    let text = format!("{}. Segunda frase. {}.", filler(60), "Terceira".repeat(9));
    assert_eq!(by_paragraph(&text)[0], format!("{}. Segunda frase.", filler(60)));
    let lines: Vec<String> = (0..20).map(|n| format!("- item número {n}")).collect();
    for chunk in by_paragraph(&lines.join("\n")) {
        assert!(chunk.lines().all(|line| lines.contains(&line.to_owned())), "{chunk}");
    }
    let words = "palavra ".repeat(50);
    for chunk in by_paragraph(&words) {
        assert!(chunk.split(' ').all(|word| word == "palavra"), "{chunk}");
    }
}

#[test]
fn a_heading_does_not_travel_alone_before_a_paragraph_that_is_cut_anyway() {
    let sentence = "Uma frase de tamanho médio, com vírgulas. ";
    let chunks = by_paragraph(&format!("Título\n\n{}", sentence.repeat(10)));
    assert!(chunks[0].starts_with("Título\n\nUma frase"), "{chunks:?}");
}

#[test]
fn length_cuts_exactly_at_the_limit() {
    let text = "0123456789".repeat(25);
    let split = split(&text, &config(ChunkStrategy::Length, 100));
    let lengths: Vec<usize> = split.chunks.iter().map(String::len).collect();
    assert_eq!(lengths, [100, 100, 50]);
    assert_eq!(split.chunks.concat(), text);
}

#[test]
fn numbers_count_and_their_growth_is_provided_for() {
    for n_chunks in [2, 9, 10, 11, 40] {
        let text = "x".repeat(90 * n_chunks);
        let config = SplitConfig { numbering: true, ..config(ChunkStrategy::Length, 100) };
        let split = split(&text, &config);
        let total = split.chunks.len();
        for (index, chunk) in split.chunks.iter().enumerate() {
            assert!(chunk.starts_with(&format!("({}/{total})\nx", index + 1)), "{chunk}");
            assert!(chunk.len() <= 100);
            assert!(index + 1 == total || chunk.len() >= 99, "room is used: {}", chunk.len());
        }
    }
}

#[test]
fn what_is_over_the_last_chunk_is_cut_off_and_said_so() {
    let text = "Uma frase inteira. ".repeat(100);
    for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence, ChunkStrategy::Length] {
        for max_chunks in [1, 3] {
            let config = SplitConfig { max_chunks, numbering: true, ..config(strategy, 100) };
            let split = split(&text, &config);
            assert!(split.truncated);
            assert_eq!(split.chunks.len(), max_chunks as usize);
            assert!(split.chunks.last().unwrap().ends_with(ELLIPSIS), "{split:?}");
        }
    }
}

#[test]
fn a_single_chunk_has_no_number_even_if_it_was_cut() {
    let config =
        SplitConfig { max_chunks: 1, numbering: true, ..config(ChunkStrategy::Sentence, 100) };
    let split = split(&filler(300), &config);
    assert!(split.chunks[0].starts_with("lorem"), "{split:?}");
}

#[test]
fn urls_are_not_cut() {
    let url = "https://example.com/a/long/path?with=a&query=in!it";
    for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence, ChunkStrategy::Length] {
        for lead in 40..100 {
            let text = format!("{}{url}，{}", "字".repeat(lead), "后".repeat(60));
            let split = split(&text, &config(strategy, 100));
            assert!(split.chunks.iter().any(|chunk| chunk.contains(url)), "{strategy:?} {lead}");
        }
    }
}

#[test]
fn no_sentence_ends_inside_a_url() {
    // Unicode's rules see an end after each of these, and none of them ends a URL.
    for mark in ["?\u{101fd}", "।", "؟", "．", "?**\u{301}"] {
        let url = format!("https://example.com/path?q=1{mark}b{}", "字".repeat(40));
        for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence] {
            for lead in [
                "a.b。",
                "Fim. ",
                "字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字字",
            ] {
                let text = format!("{lead}{url}。{}", "后".repeat(60));
                let split = split(&text, &config(strategy, 100));
                assert!(split.chunks.iter().any(|chunk| chunk.contains(&url)), "{split:?}");
            }
        }
    }
}

#[test]
fn a_url_after_much_space_is_not_cut() {
    let url = format!("https://example.com/{}", "a".repeat(70));
    for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence, ChunkStrategy::Length] {
        for max_chunks in [3, 50] {
            let text = format!("{}\n{:15}{url}", filler(100), "");
            let config = SplitConfig { max_chunks, ..config(strategy, 100) };
            let split = split(&text, &config);
            assert_eq!(split.chunks.last().unwrap().trim(), url);
        }
    }
}

#[test]
fn code_is_closed_at_a_cut_and_opened_again() {
    let code: Vec<String> = (0..20).map(|n| format!("    let value_{n} = {n};")).collect();
    let text = format!("Veja:\n\n```rust\n{}\n```\n\nPronto.", code.join("\n"));
    let chunks = by_paragraph(&text);
    assert!(chunks.len() > 3, "{chunks:?}");
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.matches("```").count(), 2, "{chunk}");
        assert!(index == 0 || chunk.starts_with("```rust\n    let"), "{chunk}");
    }
    assert!(chunks.last().unwrap().ends_with("\n```\n\nPronto."), "{chunks:?}");
    let kept = chunks.join("\n");
    assert!(code.iter().all(|line| kept.contains(line.as_str())));
}

#[test]
fn code_that_fits_is_kept_in_one_piece() {
    let code = "```\nlinha um\n\nlinha dois\nlinha três\n```";
    for before in [30, 60, 80] {
        let text = format!("{}.\n{code}\n{}", filler(before), filler(40));
        for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence] {
            let split = split(&text, &config(strategy, 100));
            assert!(split.chunks.iter().any(|chunk| chunk.contains(code)), "{split:?}");
        }
    }
}

#[test]
fn a_fence_with_one_endless_line_ends() {
    let text = format!("```json\n{}\n```", "x".repeat(1_000));
    for chunk in by_paragraph(&text) {
        assert!(chunk.starts_with("```json\nx") && chunk.ends_with("x\n```"), "{chunk}");
    }
    let truncated = SplitConfig { max_chunks: 2, ..config(ChunkStrategy::Paragraph, 100) };
    let split = split(&text, &truncated);
    assert!(split.chunks[1].ends_with("x\n```\n…"), "{split:?}");
}

#[test]
fn no_emoji_is_torn_and_endless_graphemes_end() {
    for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence, ChunkStrategy::Length] {
        for chunk in split(&FAMILY.repeat(60), &config(strategy, 100)).chunks {
            assert_eq!(chunk, FAMILY.repeat(chunk.len() / FAMILY.len()));
        }
        let zalgo = format!("e{}", "\u{301}".repeat(1_000));
        assert_eq!(split(&zalgo, &config(strategy, 100)).chunks.len(), 11);
    }
}

#[test]
fn a_megabyte_takes_no_time() {
    let long = 500_000;
    let texts = [
        "Uma frase. Outra, com https://x.y/z?a=b no meio!\n\n```\ncode\n```\n".repeat(16_000),
        "a".repeat(2 * long),
        " \n".repeat(long) + "a",
        "a".to_owned() + &"\n".repeat(2 * long) + "b",
        ".)".repeat(long),
        "🇧🇷".repeat(long / 4),
        "\n```\n".repeat(long / 5),
        "http".repeat(long / 4),
        "https://x.y/".to_owned() + &"a।".repeat(long / 4),
        ("https://x.y/".to_owned() + &"a।".repeat(20) + "。").repeat(long / 50),
        "a।http://".repeat(long / 6),
    ];
    for text in texts {
        for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence, ChunkStrategy::Length] {
            for size in [100, 50_000] {
                let started = Instant::now();
                let config = SplitConfig { numbering: true, ..config(strategy, size) };
                split(&text, &config);
                // Far more than needed, and far less than anything quadratic takes.
                assert!(started.elapsed() < Duration::from_secs(5), "{strategy:?} {size}");
            }
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Zé]{1,12}",
        2 => "[.!?,;:。！？।؟]{1,2}",
        4 => "[ \n\t]{1,3}",
        1 => Just("\n\n".to_owned()),
        1 => Just("https://example.com/path?q=1".to_owned()),
        1 => "https://e\\.com/[a-z?.!।\u{301}]{0,90}",
        1 => Just(FAMILY.to_owned()),
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
        let fitting_urls: Vec<_> = urls::find_all(&text)
            .into_iter()
            .filter(|url| utf16_len(&text[url.clone()]) <= room)
            .collect();
        for place in &places {
            for at in [place.start, place.end] {
                prop_assert!(at == text.len() || graphemes.binary_search(&at).is_ok(), "torn at {at}");
                let torn = fitting_urls.iter().find(|url| url.start < at && at < url.end);
                prop_assert!(torn.is_none(), "torn {torn:?} at {at}");
            }
        }
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
        let config = SplitConfig { max_chunks, numbering: true, ..config(ChunkStrategy::Paragraph, size) };
        split(&text, &config);
    }
}
