//! Puts `WhatsApp`'s marks around what was marked.
//!
//! Nothing official says when it takes a character for a mark. What its applications do: a mark
//! opens before a character that is no space if none before it is a letter or digit, and the next
//! one like it that follows no space and is followed by no letter or digit closes it, on the same
//! line. Between fences nothing is a mark.

use std::cmp::Reverse;
use std::ops::Range;

use super::styles::{Page, Stretches, Sweep};
use crate::literals;

/// The marks of bold, italic and struck text, each with what is put in the place of a character that
/// would be taken for it.
const MARKS: [(&str, &str); 3] = [("*", "\u{2217}"), ("_", "\u{ff3f}"), ("~", "\u{223c}")];
const MONO: &str = "```";
const QUOTE: &str = "> ";

/// The text of `page`, with marks.
pub(super) fn render(page: &Page) -> String {
    let styles = &page.styles;
    let mut code = Sweep::over(&styles.code);
    let mut blocks = Sweep::over(&styles.blocks);
    let mut quoted = Sweep::over(styles.quoted.all());
    let mut marked =
        [&styles.bold, &styles.italic, &styles.struck].map(|it| Sweep::over(Stretches::all(it)));
    let mut rendered = String::with_capacity(page.text.len() + page.text.len() / 8);
    let mut at = 0;
    for whole in page.text.split_inclusive('\n') {
        let text = whole.strip_suffix('\n').unwrap_or(whole);
        let place = at..at + text.len();
        at += whole.len();
        let is_block = !blocks.within(&place).is_empty();
        if !is_block && !text.is_empty() && !quoted.within(&place).is_empty() {
            rendered.push_str(QUOTE);
        }
        if is_block {
            rendered.push_str(text);
        } else {
            let code = clipped(code.within(&place), &place);
            let marked = marked.each_mut().map(|sweep| clipped(sweep.within(&place), &place));
            Line::new(text, code).render(&marked, &mut rendered);
        }
        rendered.push_str(&whole[text.len()..]);
    }
    rendered
}

fn clipped(stretches: &[Range<usize>], line: &Range<usize>) -> Vec<Range<usize>> {
    let inside = |at: usize| at.clamp(line.start, line.end) - line.start;
    stretches.iter().map(|it| inside(it.start)..inside(it.end)).collect()
}

/// One line of text.
struct Line<'t> {
    text: &'t str,
    code: Vec<Range<usize>>,
    /// Code, URLs and identifiers: no mark touches them, and nothing in them is one.
    holes: Vec<Range<usize>>,
}

/// What is between a mark and the next one of its kind.
struct Run {
    place: Range<usize>,
    mark: usize,
}

/// The runs of a line: in order, each within the one around it or after it.
struct Runs {
    all: Vec<Run>,
    ends: Vec<usize>,
}

/// Something to put in at a place, over so many bytes of the text.
struct Edit {
    at: usize,
    over: usize,
    text: &'static str,
}

impl<'t> Line<'t> {
    fn new(text: &'t str, mut code: Vec<Range<usize>>) -> Self {
        // Other code is a text like any other.
        code.retain(|code| can_be_mono(&text[code.clone()]));
        Self { text, code, holes: Vec::new() }
    }

    fn render(mut self, marked: &[Vec<Range<usize>>; 3], rendered: &mut String) {
        let is_plain = self.code.is_empty()
            && marked.iter().all(Vec::is_empty)
            && !self.text.contains(['*', '_', '~']);
        if is_plain {
            rendered.push_str(self.text);
            return;
        }
        let literals = literals::find_all(self.text);
        self.holes = merged(self.code.iter().cloned().chain(literals).collect());
        let mut at = 0;
        for edit in self.edits(marked) {
            rendered.push_str(&self.text[at..edit.at]);
            rendered.push_str(edit.text);
            at = edit.at + edit.over;
        }
        rendered.push_str(&self.text[at..]);
    }

    fn edits(&self, marked: &[Vec<Range<usize>>; 3]) -> Vec<Edit> {
        let runs = self.runs(marked);
        let mut edits = Vec::new();
        // At the same place, what ends does so before what begins.
        edits.extend(self.code.iter().map(|code| (code.end, 0, 0, MONO)));
        edits.extend(runs.marks().into_iter().map(|(at, mark)| (at, 1, 0, mark)));
        edits.extend(self.code.iter().map(|code| (code.start, 2, 0, MONO)));
        for (mark, (_, instead)) in MARKS.iter().enumerate() {
            let mistakable = self.mistakable(mark, &runs);
            edits.extend(mistakable.into_iter().map(|at| (at, 3, 1, *instead)));
        }
        edits.sort_by_key(|(at, rank, _, _)| (*at, *rank));
        edits.into_iter().map(|(at, _, over, text)| Edit { at, over, text }).collect()
    }

    fn runs(&self, marked: &[Vec<Range<usize>>; 3]) -> Runs {
        let mut runs = Vec::new();
        for (mark, stretches) in marked.iter().enumerate() {
            for piece in stretches.iter().flat_map(|stretch| self.outside_of_holes(stretch)) {
                let place = self.hugged(&piece);
                if self.can_be_marked(&place) {
                    runs.push(Run { place, mark });
                }
            }
        }
        Runs::nested(runs)
    }

    fn outside_of_holes(&self, stretch: &Range<usize>) -> Vec<Range<usize>> {
        let first = self.holes.partition_point(|hole| hole.end <= stretch.start);
        let mut pieces = Vec::new();
        let mut from = stretch.start;
        for hole in self.holes[first..].iter().take_while(|hole| hole.start < stretch.end) {
            pieces.push(from..hole.start.max(from));
            from = hole.end;
        }
        pieces.push(from.min(stretch.end)..stretch.end);
        pieces
    }

    /// Without the spaces at its ends, and without a bracket around what is beside it.
    fn hugged(&self, piece: &Range<usize>) -> Range<usize> {
        let text = &self.text[piece.clone()];
        let follows_hole = self.holes.binary_search_by_key(&piece.start, |hole| hole.end).is_ok();
        let precedes_hole = self.holes.binary_search_by_key(&piece.end, |hole| hole.start).is_ok();
        let kept = text.trim_start_matches(|c: char| c.is_whitespace() || follows_hole && c == ')');
        let start = piece.end - kept.len();
        let kept = kept.trim_end_matches(|c: char| c.is_whitespace() || precedes_hole && c == '(');
        start..start + kept.len()
    }

    fn can_be_marked(&self, place: &Range<usize>) -> bool {
        self.text[place.clone()].contains(char::is_alphanumeric)
            && !self.before(place.start).is_some_and(char::is_alphanumeric)
            && !self.after(place.end).is_some_and(char::is_alphanumeric)
    }

    /// What is shown before `at`.
    fn before(&self, at: usize) -> Option<char> {
        match self.code.binary_search_by_key(&at, |code| code.end) {
            Ok(_) => Some('`'),
            Err(_) => self.text[..at].chars().next_back(),
        }
    }

    /// What is shown after what ends at `at`.
    fn after(&self, at: usize) -> Option<char> {
        match self.code.binary_search_by_key(&at, |code| code.start) {
            Ok(_) => Some('`'),
            Err(_) => self.text[at..].chars().next(),
        }
    }

    /// Where `mark` stands in the text, and would be taken for a mark; or beside one that would be,
    /// since half of a run would look odd.
    fn mistakable(&self, mark: usize, runs: &Runs) -> Vec<usize> {
        let literal: Vec<(usize, bool, bool)> = self
            .text
            .match_indices(MARKS[mark].0)
            .filter(|(at, _)| !self.is_in_hole(*at))
            .map(|(at, _)| (at, self.can_open(at, runs), self.can_close(at, runs)))
            .collect();
        let ours = || runs.all.iter().filter(|run| run.mark == mark).map(|run| &run.place);
        // Our marks stand between characters: one at `at` comes before the character there. So the
        // end of an opener is compared, and the beginning of a closer.
        let openers = literal.iter().filter(|(_, opens, _)| *opens).map(|(at, ..)| *at + 1);
        let first_opener = openers.chain(ours().map(|place| place.start)).min();
        let closers = literal.iter().filter(|(_, _, closes)| *closes).map(|(at, ..)| *at);
        let last_closer = closers.chain(ours().map(|place| place.end)).max();
        let is_mistaken = |(at, opens, closes): &(usize, bool, bool)| {
            *closes && first_opener.is_some_and(|opener| opener <= *at)
                || *opens && last_closer.is_some_and(|closer| *at < closer)
        };
        let runs = literal.chunk_by(|(one, ..), (next, ..)| one + 1 == *next);
        let mistaken = runs.filter(|run| run.iter().any(is_mistaken));
        mistaken.flatten().map(|(at, ..)| *at).collect()
    }

    fn can_open(&self, at: usize, runs: &Runs) -> bool {
        let precedes_mark = runs.ends.binary_search(&(at + 1)).is_ok();
        let precedes_word = self.after(at + 1).is_some_and(|next| !next.is_whitespace());
        let follows_mark = runs.ends.binary_search(&at).is_ok();
        let follows_word = self.before(at).is_some_and(char::is_alphanumeric);
        (precedes_mark || precedes_word) && (follows_mark || !follows_word)
    }

    fn can_close(&self, at: usize, runs: &Runs) -> bool {
        let follows_mark = runs.begin_at(at);
        let follows_word = self.before(at).is_some_and(|last| !last.is_whitespace());
        let precedes_mark = runs.begin_at(at + 1);
        let precedes_word = self.after(at + 1).is_some_and(char::is_alphanumeric);
        (follows_mark || follows_word) && (precedes_mark || !precedes_word)
    }

    fn is_in_hole(&self, at: usize) -> bool {
        let next = self.holes.partition_point(|hole| hole.end <= at);
        self.holes.get(next).is_some_and(|hole| hole.start <= at)
    }
}

impl Runs {
    fn nested(mut all: Vec<Run>) -> Self {
        all.sort_by_key(|run| (run.place.start, Reverse(run.place.end), run.mark));
        // Emphasis that begins in one stretch and ends in the next ends with the first.
        let mut around: Vec<usize> = Vec::new();
        for run in &mut all {
            while around.pop_if(|end| *end <= run.place.start).is_some() {}
            let end = around.last().map_or(run.place.end, |end| run.place.end.min(*end));
            run.place.end = end;
            around.push(end);
        }
        let mut ends: Vec<usize> = all.iter().map(|run| run.place.end).collect();
        ends.sort_unstable();
        Self { all, ends }
    }

    fn begin_at(&self, at: usize) -> bool {
        self.all.binary_search_by_key(&at, |run| run.place.start).is_ok()
    }

    /// The marks around them, in order.
    fn marks(&self) -> Vec<(usize, &'static str)> {
        let mut marks = Vec::with_capacity(2 * self.all.len());
        let mut open: Vec<&Run> = Vec::new();
        for run in &self.all {
            while let Some(ended) = open.pop_if(|around| around.place.end <= run.place.start) {
                marks.push((ended.place.end, MARKS[ended.mark].0));
            }
            marks.push((run.place.start, MARKS[run.mark].0));
            open.push(run);
        }
        marks.extend(open.into_iter().rev().map(|run| (run.place.end, MARKS[run.mark].0)));
        marks
    }
}

/// Whether fences can stand around `code`.
fn can_be_mono(code: &str) -> bool {
    !code.trim().is_empty() && !code.contains('`')
}

/// Disjoint and in order.
fn merged(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.sort_by_key(|place| place.start);
    places.dedup_by(|place, before| {
        let is_met = place.start < before.end;
        if is_met {
            before.end = before.end.max(place.end);
        }
        is_met
    });
    places
}
