//! Cuts a response into chunks that a channel takes.
//!
//! What it promises, for `max_chunk_size` of at least 100, which is the least that can be
//! configured:
//!
//! * A text that fits is one chunk, without a number.
//! * No chunk is longer than `max_chunk_size` UTF-16 code units, its number included; none is blank.
//! * The chunks without their numbers are the text, except for white space at the cuts and except
//!   for code, which is closed with its fence at a cut and opened again after it.
//! * No cut is inside a grapheme cluster, a URL or a link (`[text](url)`, or `word (url)`), unless
//!   one alone is too long for a chunk; nor, except with `length`, inside a row of a table.
//! * A chunk ends as late as it can at the best kind of place that it has (see below).
//! * What is over `max_chunks` is cut from the last one, which then ends with an ellipsis.
//! * The time it takes is linear in the length of the text.
//!
//! `paragraph` packs whole paragraphs; one that is too long for a chunk is cut after sentences or
//! lines, a sentence that is too long at white space, and a word that is too long anywhere.
//! `sentence` begins at the second step, `length` at the last.
//!
//! [`paragraphs`] is for channels that take any size, and want each paragraph for itself.

mod cutter;
mod fences;
mod paragraphs;
mod sentences;
#[cfg(test)]
mod tests;
mod wholes;

use recado_types::trigger::{ChunkStrategy, SplitConfig};

use crate::units::{ELLIPSIS, utf16_len};
use cutter::{Cutter, Level};
use fences::Fence;

pub use paragraphs::paragraphs;

/// The least `max_chunk_size` that is obeyed: below it, numbers and fences would leave no room.
const MIN_CHUNK_SIZE: usize = 100;

/// A response in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The pieces, in order; none if there is nothing but white space.
    pub chunks: Vec<String>,
    /// Whether something had to be cut off.
    pub truncated: bool,
}

/// Cuts `text` as `config` says.
pub fn split(text: &str, config: &SplitConfig) -> Split {
    let text = text.trim_end();
    let size = (config.max_chunk_size as usize).max(MIN_CHUNK_SIZE);
    if utf16_len(text) <= size {
        let chunks = if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
        return Split { chunks, truncated: false };
    }
    let splitter = Splitter::new(text, size, config);
    // Numbers need room, and how much depends on how many chunks there are.
    let mut digits = 1;
    loop {
        match splitter.pieces(digits) {
            Some(pieces) => return splitter.number(pieces),
            None => digits += 1,
        }
    }
}

struct Splitter<'t> {
    text: &'t str,
    cutter: Cutter<'t>,
    levels: &'static [Level],
    size: usize,
    max_chunks: usize,
    numbering: bool,
}

/// Chunks without their numbers.
struct Pieces {
    bodies: Vec<String>,
    truncated: bool,
}

/// How a chunk ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Continued,
    Truncated,
}

impl<'t> Splitter<'t> {
    fn new(text: &'t str, size: usize, config: &SplitConfig) -> Self {
        let (cutter, levels): (_, &[Level]) = match config.strategy {
            ChunkStrategy::Paragraph => {
                let levels = &[Level::Paragraph, Level::Sentence, Level::Word];
                (Cutter::of_prose(text), levels)
            }
            ChunkStrategy::Sentence => (Cutter::of_prose(text), &[Level::Sentence, Level::Word]),
            ChunkStrategy::Length => (Cutter::of_data(text), &[]),
        };
        let max_chunks = config.max_chunks.max(1) as usize;
        let numbering = config.numbering && max_chunks > 1;
        Self { text, cutter, levels, size, max_chunks, numbering }
    }

    /// Cuts the text up, with room for numbers whose total has `digits` digits; `None` if it has
    /// more.
    fn pieces(&self, digits: usize) -> Option<Pieces> {
        let mut pieces = Pieces { bodies: Vec::new(), truncated: false };
        let mut from = self.cutter.beginning();
        while from < self.text.len() {
            let number = pieces.bodies.len() + 1;
            if self.numbering && digits_of(number) > digits {
                return None;
            }
            let room = self.room(number, digits);
            let (mut body, mut next) = self.piece(from, room, Ending::Continued);
            // White space that fills a chunk, or leaves no room for a URL after it, is left out; all
            // of it, so that nobody has to look at it again.
            if body.is_empty() {
                from = next.max(self.cutter.after_space(from));
                continue;
            }
            if number == self.max_chunks && next < self.text.len() {
                (body, next) = (self.piece(from, room, Ending::Truncated).0, self.text.len());
                pieces.truncated = true;
            }
            from = next;
            pieces.bodies.push(body);
        }
        Some(pieces)
    }

    fn room(&self, number: usize, digits: usize) -> usize {
        let header = "(/)\n".len() + digits_of(number) + digits;
        if self.numbering { self.size - header } else { self.size }
    }

    /// The chunk that begins at `from`, empty if it would be blank, and where the next one begins.
    fn piece(&self, from: usize, room: usize, ending: Ending) -> (String, usize) {
        let levels = match ending {
            Ending::Continued => self.levels,
            // What is lost is lost: keep as much as there is room for, in whole words.
            Ending::Truncated => &self.levels[self.levels.len().saturating_sub(1)..],
        };
        let opening = self.cutter.fence_around(from).map(Fence::reopening);
        let opening = opening.unwrap_or_default();
        let room = room - utf16_len(&opening);
        // How much room the end needs is known when it is known where it is. It grows with each
        // turn, and no mark of a fence is long.
        let mut reserved = 0;
        loop {
            let cut = self.cutter.cut(from, room - reserved, levels);
            let closing = self.closing(cut.end, ending);
            let needed = utf16_len(&closing);
            if needed <= reserved {
                let body = &self.text[from..cut.end];
                let body = match ending {
                    Ending::Continued if body.trim().is_empty() => String::new(),
                    Ending::Continued => [&opening, body, &closing].concat(),
                    Ending::Truncated => [&opening, body.trim_end(), &closing].concat(),
                };
                return (body, cut.resume);
            }
            reserved = needed;
        }
    }

    fn closing(&self, end: usize, ending: Ending) -> String {
        let fence = self.cutter.fence_cut_by(end).map(Fence::closing);
        match (ending, fence) {
            (Ending::Continued, fence) => fence.unwrap_or_default(),
            (Ending::Truncated, None) => ELLIPSIS.to_string(),
            (Ending::Truncated, Some(fence)) => format!("{fence}\n{ELLIPSIS}"),
        }
    }

    fn number(&self, pieces: Pieces) -> Split {
        let Pieces { bodies: mut chunks, truncated } = pieces;
        let total = chunks.len();
        if self.numbering && total > 1 {
            for (index, chunk) in chunks.iter_mut().enumerate() {
                *chunk = format!("({}/{total})\n{chunk}", index + 1);
            }
        }
        Split { chunks, truncated }
    }
}

fn digits_of(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}
