//! Which stretches of a text mean something more than their letters.

use std::ops::Range;

/// A text without marks, and what was marked in it.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) styles: Styles,
}

/// What is marked, in bytes of the text.
#[derive(Debug, Default)]
pub(super) struct Styles {
    pub(super) bold: Stretches,
    pub(super) italic: Stretches,
    pub(super) struck: Stretches,
    /// Code within a line, each piece for itself.
    pub(super) code: Vec<Range<usize>>,
    /// Blocks of code, their fences included.
    pub(super) blocks: Vec<Range<usize>>,
    pub(super) quoted: Stretches,
}

/// Stretches of one kind: disjoint and in order, however they were nested.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    depth: usize,
    since: usize,
    closed: Vec<Range<usize>>,
}

impl Stretches {
    pub(super) fn open(&mut self, at: usize) {
        if self.depth == 0 {
            self.since = at;
        }
        self.depth += 1;
    }

    pub(super) fn close(&mut self, at: usize) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 || self.since >= at {
            return;
        }
        match self.closed.last_mut() {
            Some(last) if last.end == self.since => last.end = at,
            _ => self.closed.push(self.since..at),
        }
    }

    pub(super) fn all(&self) -> &[Range<usize>] {
        &self.closed
    }
}

/// Looks at stretches line by line.
pub(super) struct Sweep<'s> {
    left: &'s [Range<usize>],
}

impl<'s> Sweep<'s> {
    pub(super) fn over(stretches: &'s [Range<usize>]) -> Self {
        Self { left: stretches }
    }

    /// The stretches that share something with `line`, which comes after all lines asked before.
    pub(super) fn within(&mut self, line: &Range<usize>) -> &'s [Range<usize>] {
        let passed = self.left.iter().take_while(|it| it.end <= line.start).count();
        self.left = &self.left[passed..];
        let n_met = self.left.iter().take_while(|it| it.start < line.end).count();
        &self.left[..n_met]
    }
}
