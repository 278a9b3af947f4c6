//! Finds the best place to cut a text, given how much of it fits.

use super::fences::{self, Fence};
use super::sentences;
use super::wholes::Wholes;
use crate::units;

/// Deeper indentation at the beginning of a chunk is dropped, so that it cannot fill the chunk.
const MAX_INDENT: usize = 16;

/// Places to cut at, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// At a blank line, or before or after fenced code.
    Paragraph,
    /// After a sentence or a line.
    Sentence,
    /// At white space.
    Word,
}

/// Where a chunk ends and the next one begins; between the two there is only white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) end: usize,
    pub(super) resume: usize,
}

/// A text to be cut.
pub(super) struct Cutter<'t> {
    text: &'t str,
    fences: Vec<Fence>,
    wholes: Wholes<'t>,
    beginning: usize,
}

impl<'t> Cutter<'t> {
    /// For a text whose fenced code is kept in fences.
    pub(super) fn of_prose(text: &'t str) -> Self {
        let (fences, wholes) = (fences::find_all(text), Wholes::of_prose(text));
        let mut cutter = Self { text, fences, wholes, beginning: 0 };
        cutter.beginning = cutter.resume_after(0, 0);
        cutter
    }

    /// For a text that is cut as it comes.
    pub(super) fn of_data(text: &'t str) -> Self {
        Self { text, fences: Vec::new(), wholes: Wholes::of_data(text), beginning: 0 }
    }

    /// Where the text goes on after the white space at `at`, where a chunk begins.
    pub(super) fn after_space(&self, at: usize) -> usize {
        self.resume_after(at, at)
    }

    /// Where the first chunk begins.
    pub(super) fn beginning(&self) -> usize {
        self.beginning
    }

    /// The fence that a chunk ending at `end` has to close.
    pub(super) fn fence_cut_by(&self, end: usize) -> Option<&Fence> {
        let next = self.fences.partition_point(|fence| fence.end <= end);
        self.fences.get(next).filter(|fence| fence.is_cut_by(end))
    }

    /// The fence that a chunk beginning at `from` has to open again.
    pub(super) fn fence_around(&self, from: usize) -> Option<&Fence> {
        let next = self.fences.partition_point(|fence| fence.end <= from);
        self.fences.get(next).filter(|fence| fence.body <= from)
    }

    /// Cuts at most `room` code units off the text from `from` on, at the first of `levels` that
    /// has a good place; between graphemes if none has.
    pub(super) fn cut(&self, from: usize, room: usize, levels: &[Level]) -> Cut {
        let limit = self.limit(from, room);
        if limit == self.text.len() {
            return Cut { end: limit, resume: limit };
        }
        let is_ample = |cut: &Cut| (cut.end - from) * 2 >= limit - from;
        for level in levels {
            // A chunk that is not half full is worth its message only if it keeps in one piece
            // what follows.
            if let Some(cut) = self.last_break(*level, from, limit, room)
                && (is_ample(&cut) || self.unit_fits(*level, cut.resume, room))
            {
                return cut;
            }
        }
        self.cut_between_graphemes(from, limit, room)
    }

    fn limit(&self, from: usize, room: usize) -> usize {
        from + units::prefix_within(&self.text[from..], room)
    }

    /// Whether the paragraph, sentence or word that begins at `from` fits in a chunk.
    fn unit_fits(&self, level: Level, from: usize, room: usize) -> bool {
        let limit = self.limit(from, room);
        limit == self.text.len() || self.last_break(level, from, limit, room).is_some()
    }

    fn last_break(&self, level: Level, from: usize, limit: usize, room: usize) -> Option<Cut> {
        match level {
            Level::Paragraph => self.last_paragraph_end(from, limit),
            Level::Sentence => self.last_sentence_end(from, limit, room),
            Level::Word => self.last_word_end(from, limit, room),
        }
    }

    fn last_paragraph_end(&self, from: usize, limit: usize) -> Option<Cut> {
        let mut last: Option<Cut> = None;
        let (mut line_start, mut content_end) = (from, from);
        // What follows the limit matters up to where it is no longer blank.
        let space = self.text[limit..].find(|c: char| !c.is_whitespace());
        let looked_to =
            space.map_or(self.text.len(), |space| self.text.ceil_char_boundary(limit + space + 1));
        for line in self.text[from..looked_to].split_inclusive('\n') {
            let content = line.trim();
            let begins = line_start + (line.len() - line.trim_start().len());
            let separates = content.is_empty()
                || self.fences.binary_search_by_key(&begins, |fence| fence.start).is_ok()
                || self.fences.binary_search_by_key(&content_end, |fence| fence.end).is_ok();
            // All lines of a gap lead to one cut.
            let is_new = last.is_none_or(|cut| cut.end != content_end);
            if separates && is_new && self.fence_cut_by(content_end).is_none() {
                last = self.cut_at(from, content_end).or(last);
            }
            if !content.is_empty() {
                content_end = begins + content.len();
            }
            if content_end > limit {
                break;
            }
            line_start += line.len();
        }
        last
    }

    fn last_sentence_end(&self, from: usize, limit: usize, room: usize) -> Option<Cut> {
        // A URL may be full of what the rules take for ends. It is looked at once, for the last of
        // them, and so refuses all: the time stays linear.
        let mut looked_to = limit;
        sentences::last_end(self.text, from, limit, |end, ends_line| {
            if end > looked_to || !self.may_cut_code(from, end, room, ends_line) {
                return None;
            }
            let cut = self.cut_at(from, end)?;
            match self.wholes.torn_at(from, end, room) {
                Some(whole) => {
                    looked_to = whole.start;
                    None
                }
                None => Some(cut),
            }
        })
    }

    fn last_word_end(&self, from: usize, limit: usize, room: usize) -> Option<Cut> {
        let mut looked_to = limit;
        if self.text[limit..].chars().next().is_some_and(char::is_whitespace) {
            looked_to = self.text.ceil_char_boundary(limit + 1);
        }
        while let Some(space) = self.text[from..looked_to].rfind(char::is_whitespace) {
            let end = from + self.text[from..from + space].trim_end().len();
            looked_to = end;
            if !self.may_cut_code(from, end, room, true) {
                continue;
            }
            let Some(cut) = self.cut_at(from, end) else { continue };
            match self.wholes.torn_at(from, end, room) {
                // There may be spaces in it, and one before it.
                Some(whole) => looked_to = whole.start.max(from),
                None => return Some(cut),
            }
        }
        None
    }

    /// Whether a chunk may end at `end` for all the code that there is: that is cut only if it
    /// cannot be kept in one piece, between words at most, and not in its first line.
    fn may_cut_code(&self, from: usize, end: usize, room: usize, is_between_words: bool) -> bool {
        self.fence_cut_by(end).is_none_or(|fence| {
            is_between_words && end >= fence.body && (from > fence.start || fence.units > room)
        })
    }

    /// The cut at `end`, unless it would leave nothing before it or split a grapheme.
    fn cut_at(&self, from: usize, end: usize) -> Option<Cut> {
        let rest = &self.text[from..];
        let is_cut = from < end
            && !rest[..end - from].trim_start().is_empty()
            && units::is_grapheme_boundary(rest, end - from);
        is_cut.then(|| self.closed(Cut { end, resume: self.resume_after(from, end) }))
    }

    /// Where the next chunk begins: without the white space at the cut, with its line's indentation.
    fn resume_after(&self, from: usize, end: usize) -> usize {
        let rest = &self.text[end..];
        let space = rest.len() - rest.trim_start().len();
        let line = rest[..space].rfind('\n').map(|line_break| line_break + 1);
        let resume = match line {
            Some(line) if space - line <= MAX_INDENT => end + line,
            _ => end + space,
        };
        // A combining mark after a space is one grapheme with it.
        from + units::grapheme_floor(&self.text[from..], resume - from)
    }

    /// Where only a fence's closing line would be left for the next chunk, it has been closed
    /// already.
    fn closed(&self, cut: Cut) -> Cut {
        let Some(fence) = self.fence_cut_by(cut.end) else { return cut };
        let left = self.text.get(cut.resume..fence.close).unwrap_or_default();
        if fence.close < fence.end && left.trim_start().is_empty() {
            return Cut { end: cut.end, resume: self.resume_after(cut.end, fence.end) };
        }
        cut
    }

    fn cut_between_graphemes(&self, from: usize, limit: usize, room: usize) -> Cut {
        let rest = &self.text[from..];
        let end = match units::grapheme_floor(rest, limit - from) {
            // One grapheme is longer than the chunk.
            0 => limit,
            between => from + between,
        };
        let end = self.before_whole(from, end, room).unwrap_or(end);
        self.closed(Cut { end, resume: end })
    }

    /// The place before what would be torn at `end`, unless that is where the chunk begins.
    fn before_whole(&self, from: usize, end: usize, room: usize) -> Option<usize> {
        let whole = self.wholes.torn_at(from, end, room)?;
        let before = units::grapheme_floor(&self.text[from..], whole.start - from);
        (before > 0).then_some(from + before)
    }
}
