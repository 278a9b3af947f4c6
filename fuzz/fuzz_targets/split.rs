//! The splitter: any text is cut into chunks that keep what `recado_text::split` promises.
//!
//! Input: the strategy, the size over 100, the most chunks and whether they are numbered, a byte
//! each; then the text.

#![no_main]

use std::ops::Range;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use recado_text::split::split;
use recado_text::units::{ELLIPSIS, utf16_len};
use recado_text::urls;
use recado_types::trigger::{ChunkStrategy, SplitConfig};
use unicode_segmentation::UnicodeSegmentation;

const LEAST_SIZE: u32 = 100;
/// What is left of the least size beside a number and an ellipsis.
const LEAST_ROOM: usize = 90;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    strategy: u8,
    size: u8,
    max_chunks: u8,
    numbering: bool,
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let strategies = [ChunkStrategy::Paragraph, ChunkStrategy::Sentence, ChunkStrategy::Length];
    let config = SplitConfig {
        max_chunk_size: LEAST_SIZE + u32::from(input.size),
        max_chunks: u32::from(input.max_chunks) % 50 + 1,
        strategy: strategies[usize::from(input.strategy) % strategies.len()],
        numbering: input.numbering,
        inter_chunk_delay_ms: 0,
    };
    let text = input.text;
    let cut = split(text, &config);
    assert!(cut.chunks.len() <= config.max_chunks as usize);
    assert_eq!(cut.chunks.is_empty(), text.trim().is_empty());
    for chunk in &cut.chunks {
        assert!(utf16_len(chunk) <= config.max_chunk_size as usize);
    }
    let mut bodies = bodies(&cut.chunks, &config);
    if cut.truncated {
        let last = bodies.pop().expect("something was cut off");
        bodies.push(last.strip_suffix(ELLIPSIS).expect("an ellipsis"));
    }
    assert!(bodies.iter().all(|body| !body.trim().is_empty()));
    // Fences are closed and opened again, which is not in the text.
    let is_as_it_was = config.strategy == ChunkStrategy::Length || !text.contains(['`', '~']);
    if is_as_it_was {
        let places = places(text, &bodies);
        let end = places.last().map_or(0, |place| place.end);
        assert!(cut.truncated || text[end..].trim().is_empty());
        nothing_is_torn(text, &places);
    }
});

/// The chunks without their numbers.
fn bodies<'c>(chunks: &'c [String], config: &SplitConfig) -> Vec<&'c str> {
    let total = chunks.len();
    if !config.numbering || total < 2 {
        return chunks.iter().map(String::as_str).collect();
    }
    let body = |(index, chunk): (usize, &'c String)| {
        let header = format!("({}/{total})\n", index + 1);
        chunk.strip_prefix(&header).expect("a number")
    };
    chunks.iter().enumerate().map(body).collect()
}

/// Where each body stands in the text.
fn places(text: &str, bodies: &[&str]) -> Vec<Range<usize>> {
    let mut from = 0;
    let place = |body: &&str| {
        let at = from + text[from..].find(body).expect("it is in the text, in order");
        assert!(text[from..at].trim().is_empty(), "lost {:?}", &text[from..at]);
        from = at + body.len();
        at..from
    };
    bodies.iter().map(place).collect()
}

fn nothing_is_torn(text: &str, places: &[Range<usize>]) {
    let graphemes: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
    let is_ordinary = text.graphemes(true).all(|cluster| utf16_len(cluster) <= LEAST_ROOM);
    let urls: Vec<Range<usize>> = urls::find_all(text)
        .into_iter()
        .filter(|url| utf16_len(&text[url.clone()]) <= LEAST_ROOM)
        .collect();
    // A link that begins inside of a URL ends it.
    let has_links = text.contains('[') || text.contains(" (");
    for at in places.iter().flat_map(|place| [place.start, place.end]) {
        assert!(!is_ordinary || at == text.len() || graphemes.binary_search(&at).is_ok());
        let is_torn = urls.iter().any(|url| url.start < at && at < url.end);
        assert!(has_links || !is_torn, "torn at {at}");
    }
}
