//! What was posted, acknowledged and called back, and when.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recado_testkit::callback::Sink;
use recado_testkit::history::{History, Violation, Violations};

use super::post::Letter;
use super::rows::Order;

/// An outage is one from here on: below, somebody has merely tried the other instance.
const NOTICED: Duration = Duration::from_millis(150);

/// One row's messages.
pub(super) struct Ledger {
    order: Order,
    history: History,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// By id.
    messages: BTreeMap<String, Times>,
    n_acknowledged: usize,
    /// How many requests of the sink were told to the history.
    n_told: u64,
    /// How many requests of the sink, from the first on, are known to be answered.
    n_answered: u64,
}

/// When it was …
struct Times {
    posted: Instant,
    acknowledged: Option<Instant>,
    /// By a callback that was answered with a 2xx: of any other nobody knows whether it arrived.
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
    pub(super) violations: Vec<String>,
}

impl Ledger {
    pub(super) fn new(order: Order) -> Self {
        let history = match order {
            Order::IsKept => History::of_echo(),
            Order::MayChangeByRedelivery => History::of_echo().where_redelivery_reorders(),
        };
        Self { order, history, book: Mutex::default() }
    }

    /// Whether the order of its sessions is sure to be kept.
    pub(super) fn order(&self) -> Order {
        self.order
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

    /// Looks at what the sink has answered since; says how many acknowledged messages it still has
    /// to take.
    pub(super) fn observe(&self, sink: &Sink) -> usize {
        let now = Instant::now();
        let began = now.checked_sub(sink.elapsed()).unwrap_or(now);
        let mut book = self.book();
        let mut all_answered = true;
        for received in sink.received_after(book.n_answered) {
            all_answered &= received.answered.is_some();
            if all_answered {
                book.n_answered = received.seq;
            }
            if received.succeeded() {
                let text = received.json().unwrap_or_default();
                book.called_back(text["text"].as_str().unwrap_or_default(), began + received.at);
            }
        }
        book.outstanding().count()
    }

    /// Judges everything that has happened. For order, and for what came twice, those callbacks
    /// count too that were left without an answer: they may have reached somebody.
    pub(super) fn tally(&self, sink: &Sink) -> Tally {
        self.observe(sink);
        let mut book = self.book();
        for received in sink.received_after(book.n_told) {
            book.n_told = received.seq;
            if received.answered.is_some_and(|answered| answered.status >= 400) {
                continue;
            }
            let body = received.json().unwrap_or_default();
            let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let key = received.header("idempotency-key").unwrap_or_default();
            self.history.called_back(&word("session"), key, &word("text"));
        }
        let mut tally = Tally { n_executed: book.n_called_back(), ..Tally::default() };
        match self.history.check() {
            Ok(summary) => {
                tally.n_reordered = summary.n_reordered;
                tally.n_in_doubt = summary.n_repeated_callbacks;
            }
            Err(violations) => tally.add(&violations),
        }
        let lost: Vec<String> = book.outstanding().cloned().collect();
        tally.n_lost = lost.len();
        if !lost.is_empty() {
            let lost = format!("acknowledged, and no callback was taken: {}", lost.join(", "));
            tally.violations.push(lost);
        }
        tally
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

    /// The ids of those that were acknowledged and not called back.
    fn outstanding(&self) -> impl Iterator<Item = &String> {
        let is_outstanding =
            |times: &Times| times.acknowledged.is_some() && times.called_back.is_none();
        self.messages.iter().filter(move |(_, times)| is_outstanding(times)).map(|(id, _)| id)
    }
}

impl Tally {
    fn add(&mut self, violations: &Violations) {
        for violation in &violations.found {
            match violation {
                // Counted by whether somebody took it.
                Violation::Lost { .. } => {}
                Violation::Reordered { .. } | Violation::ChunksBroken { .. } => {
                    self.n_reordered += 1;
                }
                // Seen twice, or where it does not belong.
                _ => self.n_duplicated += 1,
            }
        }
        self.violations.push(violations.to_string());
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
    use recado_testkit::http_client;
    use recado_testkit::stub::Fault;
    use serde_json::json;

    use super::*;

    fn letter(token: &str) -> Letter {
        let trigger = NewTrigger { id: "t".into(), webhook_secret: "s".into() };
        Letter::new(&trigger, "user-001", token.to_owned())
    }

    fn acknowledged(tokens: &[&str]) -> Ledger {
        let ledger = Ledger::new(Order::IsKept);
        for token in tokens {
            ledger.posting(&letter(token));
            ledger.acknowledged(&letter(token));
        }
        ledger
    }

    /// Says whether it was answered with a 2xx.
    async fn call_back(sink: &Sink, key: &str, token: &str) -> bool {
        let body = json!({"session": "user-001", "text": letter(token).text});
        let request = http_client().post(sink.url()).header("Idempotency-Key", key).json(&body);
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    #[tokio::test]
    async fn what_is_acknowledged_and_never_called_back_is_lost() {
        let ledger = acknowledged(&["s1-m0001", "s1-m0002"]);
        let sink = Sink::start();
        assert!(call_back(&sink, "one", "s1-m0001").await);
        assert_eq!(ledger.observe(&sink), 1);
        let tally = ledger.tally(&sink);
        assert_eq!((tally.n_lost, tally.n_duplicated, tally.n_executed), (1, 0, 1));
        assert!(tally.violations.concat().contains("s1-m0002"), "{tally:?}");
        assert_eq!(ledger.latencies(|_| true).len(), 1);
        assert_eq!((ledger.n_posted(), ledger.n_acknowledged()), (2, 2));
    }

    #[tokio::test]
    async fn what_the_receiver_did_not_take_is_not_called_back() {
        for fault in [Fault::Cut, Fault::status(503)] {
            let ledger = acknowledged(&["s1-m0001"]);
            let sink = Sink::start();
            sink.fail_next(1, &fault);
            assert!(!call_back(&sink, "one", "s1-m0001").await);
            assert_eq!(ledger.observe(&sink), 1, "{fault:?}");
            let tally = ledger.tally(&sink);
            assert_eq!((tally.n_lost, tally.n_executed), (1, 0), "{fault:?}");
            assert!(call_back(&sink, "one", "s1-m0001").await);
            let tally = ledger.tally(&sink);
            assert_eq!((tally.n_lost, tally.n_executed), (0, 1), "{fault:?}");
            assert_eq!(tally.violations, [""; 0]);
        }
    }

    #[tokio::test]
    async fn what_comes_under_two_keys_is_duplicated_whether_it_was_answered_or_not() {
        for fault in [None, Some(Fault::Cut)] {
            let ledger = acknowledged(&["s1-m0001"]);
            let sink = Sink::start();
            if let Some(fault) = &fault {
                sink.fail_next(1, fault);
            }
            call_back(&sink, "one", "s1-m0001").await;
            call_back(&sink, "two", "s1-m0001").await;
            assert!(ledger.tally(&sink).n_duplicated > 0, "{fault:?}");
        }
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(p95(&times), Duration::from_millis(19));
        assert_eq!(p95(&[]), Duration::ZERO);
    }
}
