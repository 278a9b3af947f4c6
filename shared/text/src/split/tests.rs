//! What the splitter promises, on chosen texts.

mod properties;

use super::*;

const STRATEGIES: [ChunkStrategy; 3] =
    [ChunkStrategy::Paragraph, ChunkStrategy::Sentence, ChunkStrategy::Length];

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
    for strategy in STRATEGIES {
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
    for strategy in STRATEGIES {
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
    for strategy in STRATEGIES {
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
    for strategy in STRATEGIES {
        for chunk in split(&FAMILY.repeat(60), &config(strategy, 100)).chunks {
            assert_eq!(chunk, FAMILY.repeat(chunk.len() / FAMILY.len()));
        }
        let zalgo = format!("e{}", "\u{301}".repeat(1_000));
        assert_eq!(split(&zalgo, &config(strategy, 100)).chunks.len(), 11);
    }
}

#[test]
fn links_are_not_cut() {
    for link in [
        "[the whole of our long list of prices](https://example.com/prices)",
        "[![a logo](https://example.com/l.png) prices](https://example.com/prices \"All of it\")",
        "prices (https://example.com/prices-of-everything)",
    ] {
        for strategy in STRATEGIES {
            for lead in 20..100 {
                let text = format!("{} {link}. {}", "x".repeat(lead), filler(60));
                let split = split(&text, &config(strategy, 100));
                assert!(split.chunks.iter().any(|chunk| chunk.contains(link)), "{split:?}");
            }
        }
    }
}

#[test]
fn what_is_too_long_a_link_for_a_chunk_is_cut_at_its_words_and_before_its_url() {
    let link = format!("[{}](https://example.com/prices)", filler(120));
    let chunks = by_paragraph(&link);
    assert!(chunks.iter().any(|chunk| chunk.contains("https://example.com/prices")), "{chunks:?}");
    assert!(chunks[0].ends_with("lorem") || chunks[0].ends_with("ipsum"), "{chunks:?}");
}

#[test]
fn rows_of_tables_are_not_cut() {
    let rows: Vec<String> =
        (0..12).map(|n| format!("| Item {n}. Of steel. | R$ {n},00! Or so. |")).collect();
    let plain: Vec<String> =
        (0..12).map(|n| format!("Item {n}. Of steel. | R$ {n},00! Or so.")).collect();
    for rows in [rows, plain] {
        for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence] {
            for lead in [5, 40, 70] {
                let text = format!("{}\n{}", filler(lead), rows.join("\n"));
                let chunks = split(&text, &config(strategy, 100)).chunks;
                let whole = chunks.iter().flat_map(|chunk| chunk.lines()).skip(1);
                assert_eq!(whole.collect::<Vec<_>>(), rows, "{chunks:?}");
            }
        }
    }
}

#[test]
fn sentences_end_in_the_scripts_of_our_users() {
    for sentence in [
        "这是一个很长的句子，没有空格。",
        "你好吗？",
        "太好了！",
        "मैं घर जा रहा हूँ। ",
        "هل أنت بخير؟ ",
        "Não sei… ",
        "Fale com o Dr. Silva às 10.30 h. ",
        "1. Um item.\n",
    ] {
        let text = sentence.repeat(200 / sentence.chars().count() + 5);
        for chunk in split(&text, &config(ChunkStrategy::Sentence, 100)).chunks {
            assert!(chunk.ends_with(sentence.trim_end()), "{chunk}");
        }
    }
}

#[test]
fn space_without_end_is_left_out() {
    for text in
        [format!("```x{}", " ".repeat(5_000)), format!("```\na{}\n```\nb", "\n".repeat(5_000))]
    {
        for strategy in [ChunkStrategy::Paragraph, ChunkStrategy::Sentence] {
            let padded = format!("{text}{}.", filler(100));
            let split = split(&padded, &config(strategy, 100));
            assert!(split.chunks.iter().all(|chunk| !chunk.trim().is_empty()), "{split:?}");
            assert!(split.chunks.len() < 5, "{split:?}");
        }
    }
}

/// What a splitter that looks at anything twice takes minutes for; nextest would end it.
#[test]
fn no_text_takes_long() {
    let repeated = |unit: &str| unit.repeat(200_000 / unit.len());
    let texts = [
        repeated("Uma frase. Outra, com https://x.y/z?a=b no meio!\n\n```\ncode\n```\n"),
        repeated("a"),
        repeated(" \n") + "a",
        "a".to_owned() + &repeated("\n") + "b",
        repeated(".)"),
        repeated("。"),
        repeated("… "),
        repeated("🇧🇷"),
        repeated(FAMILY),
        repeated("e\u{301}\u{302}"),
        "e".to_owned() + &repeated("\u{301}"),
        repeated("\n```\n"),
        "```x".to_owned() + &repeated(" ") + "a",
        "```\n".to_owned() + &repeated("a\n") + &repeated(" ") + "\n```",
        repeated("http"),
        repeated("https://x.y/ "),
        "https://x.y/".to_owned() + &repeated("a।"),
        repeated(&("https://x.y/".to_owned() + &"a।".repeat(20) + "。")),
        repeated("a।http://"),
        repeated("["),
        repeated("]("),
        repeated("[a b](https://x.y/z) "),
        "[](".to_owned() + &repeated(" ") + ")",
        "[".to_owned() + &repeated(" \u{301}") + "](u)",
        repeated("| a. b | c? d |\n"),
    ];
    for text in texts {
        for strategy in STRATEGIES {
            for max_chunk_size in [100, 50_000] {
                let config = SplitConfig {
                    max_chunks: u32::MAX,
                    numbering: true,
                    ..config(strategy, max_chunk_size)
                };
                assert!(!split(&text, &config).truncated);
            }
        }
    }
}
