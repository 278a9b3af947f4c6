//! What was posted, acknowledged and called back, and when.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recado_testkit::history::{History, Summary, Violation, Violations};

use super::cast::Cast;
use super::post::Letter;
use super::rows::Order;

/// An outage is one from here on: below, somebody has merely tried the other instance.
const NOTICED: Duration = Duration::from_millis(150);

/// One row's messages.
pub(super) struct Ledger {
    history: History,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// By id.
    messages: BTreeMap<String, Times>,
    n_acknowledged: usize,
    /// How many requests of the sink have been taken over.
    n_observed: u64,
}

/// When it was …
struct Times {
    posted: Instant,
    acknowledged: Option<Instant>,
    called_back: Option<Instant>,
}

/// What the history comes to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) n_executed: usize,
    pub(super) n_lost: usize,
    pub(super) n_duplicated: usize,
    pub(super) n_reordered: usize,
    /// Callbacks that came twice while they were in doubt, as they may.
    pub(super) n_in_doubt: usize,
    /// In words, with what happened before and after.
    pub(super) violations: Option<String>,
}

impl Ledger {
    pub(super) fn new(order: Order) -> Self {
        let history = match order {
            Order::IsKept => History::of_echo(),
            Order::MayChangeByRedelivery => History::of_echo().where_redelivery_reorders(),
        };
        Self { history, book: Mutex::default() }
    }

    /// A message is about to be sent for the first time.
    pub(super) fn posting(&self, letter: &Letter) {
        self.history.posting(&letter.session, letter.id(), &letter.text);
        let times = Times { posted: Instant::now(), acknowledged: None, called_back: None };
        self.book().messages.insert(letter.id().to_owned(), times);
    }

    /// It was answered with a 2xx.
    pub(super) fn acknowledged(&self, letter: &Letter) {
        self.history.acknowledged(&letter.text);
        let mut book = self.book();
        book.n_acknowledged += 1;
        if let Some(times) = book.messages.get_mut(letter.id()) {
            times.acknowledged = Some(Instant::now());
        }
    }

    pub(super) fn n_acknowledged(&self) -> usize {
        self.book().n_acknowledged
    }

    /// How many were sent, acknowledged or not.
    pub(super) fn n_posted(&self) -> usize {
        self.book().messages.len()
    }

    /// Takes over what the sink has received since; says how many acknowledged messages it still
    /// has to. What was answered with an error did not reach anybody; what was not answered may have.
    pub(super) fn observe(&self, cast: &Cast) -> usize {
        let mut book = self.book();
        for received in cast.sink.received_after(book.n_observed) {
            book.n_observed = received.seq;
            if received.answered.is_some_and(|answered| answered.status >= 400) {
                continue;
            }
            let body = received.json().unwrap_or_default();
            let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let (session, text) = (word("session"), word("text"));
            let key = received.header("idempotency-key").unwrap_or_default();
            self.history.called_back(&session, key, &text);
            book.called_back(&text, cast.sink_began + received.at);
        }
        self.history.n_outstanding()
    }

    /// Judges everything that has happened.
    pub(super) fn tally(&self) -> Tally {
        match self.history.check() {
            Ok(summary) => Tally::of(&summary),
            Err(violations) => Tally::of_violations(&violations, self.book().n_called_back()),
        }
    }

    /// The longest time from a message's first post to its callback.
    pub(super) fn worst(&self) -> Option<Duration> {
        self.latencies(|_| true).into_iter().max()
    }

    /// From post to callback, of those that were posted in this time, in order of length.
    pub(super) fn latencies(&self, posted: impl Fn(Instant) -> bool) -> Vec<Duration> {
        let book = self.book();
        let chosen = book.messages.values().filter(|times| posted(times.posted));
        let mut all: Vec<_> =
            chosen.filter_map(|times| Some(times.called_back? - times.posted)).collect();
        all.sort_unstable();
        all
    }

    /// The longest that somebody had to offer a message until it was taken; zero if nobody had to.
    pub(super) fn outage(&self) -> Duration {
        let book = self.book();
        let offered = book.messages.values();
        let longest = offered.filter_map(|times| Some(times.acknowledged? - times.posted)).max();
        longest.filter(|longest| *longest >= NOTICED).unwrap_or_default()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// The words of a text are ids if they are known as such.
    fn called_back(&mut self, text: &str, at: Instant) {
        for word in text.split_whitespace() {
            if let Some(times) = self.messages.get_mut(word) {
                times.called_back.get_or_insert(at);
            }
        }
    }

    fn n_called_back(&self) -> usize {
        self.messages.values().filter(|times| times.called_back.is_some()).count()
    }
}

impl Tally {
    fn of(summary: &Summary) -> Self {
        Self {
            n_executed: summary.n_executed,
            n_reordered: summary.n_reordered,
            n_in_doubt: summary.n_repeated_callbacks,
            ..Self::default()
        }
    }

    fn of_violations(violations: &Violations, n_executed: usize) -> Self {
        let mut tally = Self { n_executed, ..Self::default() };
        for violation in &violations.found {
            match violation {
                Violation::Lost { .. } => tally.n_lost += 1,
                Violation::Reordered { .. } | Violation::ChunksBroken { .. } => {
                    tally.n_reordered += 1;
                }
                // Seen twice, or where it does not belong.
                _ => tally.n_duplicated += 1,
            }
        }
        tally.violations = Some(violations.to_string());
        tally
    }
}

/// The time that all but five in a hundred stay below; zero of nothing.
pub(super) fn p95(in_order: &[Duration]) -> Duration {
    let rank = (in_order.len() * 95).div_ceil(100).max(1);
    in_order.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use recado_testkit::app::NewTrigger;

    use super::*;

    fn letter(token: &str) -> Letter {
        let trigger = NewTrigger { id: "t".into(), webhook_secret: "s".into() };
        Letter::new(&trigger, "user-001", token.to_owned())
    }

    #[test]
    fn what_is_acknowledged_and_never_called_back_is_lost() {
        let ledger = Ledger::new(Order::IsKept);
        for token in ["s1-m0001", "s1-m0002"] {
            ledger.posting(&letter(token));
            ledger.acknowledged(&letter(token));
        }
        let text = &letter("s1-m0001").text;
        ledger.history.called_back("user-001", "key", text);
        ledger.book().called_back(text, Instant::now());
        let tally = ledger.tally();
        assert_eq!((tally.n_lost, tally.n_duplicated, tally.n_executed), (1, 0, 1));
        assert!(tally.violations.unwrap().contains("s1-m0002"));
        assert_eq!(ledger.latencies(|_| true).len(), 1);
        assert_eq!((ledger.n_posted(), ledger.n_acknowledged()), (2, 2));
    }

    #[test]
    fn what_comes_under_two_keys_is_duplicated() {
        let ledger = Ledger::new(Order::IsKept);
        ledger.posting(&letter("s1-m0001"));
        for key in ["one", "two"] {
            ledger.history.called_back("user-001", key, &letter("s1-m0001").text);
        }
        assert!(ledger.tally().n_duplicated > 0);
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(p95(&times), Duration::from_millis(19));
        assert_eq!(p95(&[]), Duration::ZERO);
    }
}
