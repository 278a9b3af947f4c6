//! How far an outbox without transactions may be read: cursors are handed out before rows are
//! committed, so a row may become visible after one with a higher cursor.
//!
//! What is promised: a row is read that becomes visible no later than the pause after the moment
//! when a higher cursor was first seen. One that is later than that may be missed.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many marks there are within one pause, about: how exact it is.
const MARKS: u32 = 8;

/// The highest cursors that were seen, and when.
pub(super) struct Settling {
    pause: Duration,
    /// Oldest first.
    marks: VecDeque<(Instant, String)>,
}

impl Settling {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, marks: VecDeque::new() }
    }

    /// The highest cursor that can be seen now. It was there before it was asked for: `now` is
    /// taken afterwards.
    pub(super) fn saw(&mut self, highest: String, now: Instant) {
        let is_new = match self.marks.back() {
            None => true,
            Some((at, cursor)) => *cursor != highest && now >= *at + self.pause / MARKS,
        };
        if is_new {
            self.marks.push_back((now, highest));
        }
    }

    /// Up to where everything can be read, if that is known to be further than before.
    pub(super) fn settled(&mut self, now: Instant) -> Option<String> {
        let mut settled = None;
        while self.marks.front().is_some_and(|(at, _)| *at + self.pause <= now) {
            settled = self.marks.pop_front().map(|(_, cursor)| cursor);
        }
        settled
    }

    /// When more of it can be read.
    pub(super) fn next(&self) -> Option<Instant> {
        self.marks.front().map(|(at, _)| *at + self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_settles_a_pause_after_it_was_first_seen() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut settling = Settling::new(Duration::from_millis(800));
        assert_eq!((settling.settled(start), settling.next()), (None, None));
        settling.saw("5".into(), start);
        settling.saw("5".into(), at(200));
        // Too soon for a mark of its own; it gets one when it is seen again.
        settling.saw("6".into(), at(50));
        settling.saw("7".into(), at(300));
        assert_eq!(settling.next(), Some(at(800)));
        assert_eq!(settling.settled(at(799)), None);
        assert_eq!(settling.settled(at(800)), Some("5".into()));
        assert_eq!(settling.settled(at(1_099)), None);
        assert_eq!(settling.settled(at(1_100)), Some("7".into()));
        assert_eq!(settling.next(), None);
    }

    #[test]
    fn there_are_few_marks_however_often_it_is_looked_at() {
        let start = Instant::now();
        let mut settling = Settling::new(Duration::from_mins(1));
        for ms in 0..60_000 {
            settling.saw(ms.to_string(), start + Duration::from_millis(ms));
        }
        assert!(settling.marks.len() <= 9, "{}", settling.marks.len());
    }
}
