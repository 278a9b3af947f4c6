//! Which request is to meet which misfortune.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Reply;

/// Something that goes wrong with a request. It is in the history all the same.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This is answered in place of the right answer.
    Answer(Reply),
    /// The right answer comes late.
    Delay(Duration),
    /// No answer comes, and the connection stays open.
    Hang,
    /// The connection is closed without an answer.
    Cut,
    /// The right answer comes byte by byte, with this pause after each.
    Drip(Duration),
    /// Of the right answer only so many bytes of the body come; the connection stays open.
    Stall(usize),
    /// Of the right answer only so many bytes of the body come; then the connection is closed.
    Break(usize),
}

impl Fault {
    /// A failure with this status and nothing to read.
    pub fn status(status: u16) -> Self {
        Self::Answer(Reply::text(status, ""))
    }

    /// A failure that says when to come back.
    pub fn retry_after(status: u16, seconds: u32) -> Self {
        Self::Answer(Reply::text(status, "").with_header("Retry-After", &seconds.to_string()))
    }

    /// A success whose body is no JSON although it says so.
    pub fn malformed_json() -> Self {
        Self::Answer(Reply::new(200, "application/json", r#"{"choices":[{"#))
    }
}

/// The plan of faults: the most particular rule wins.
#[derive(Debug, Default)]
pub(super) struct Faults {
    by_seq: BTreeMap<u64, Fault>,
    next: VecDeque<Fault>,
    always: Option<Fault>,
}

impl Faults {
    pub(super) fn plan_at(&mut self, seq: u64, fault: Fault) {
        self.by_seq.insert(seq, fault);
    }

    pub(super) fn plan_next(&mut self, n: usize, fault: &Fault) {
        self.next.extend(std::iter::repeat_n(fault, n).cloned());
    }

    pub(super) fn plan_always(&mut self, fault: Fault) {
        self.always = Some(fault);
    }

    /// The fault of this request; those planned for one request are used up.
    pub(super) fn take(&mut self, seq: u64) -> Option<Fault> {
        let particular = self.by_seq.remove(&seq).or_else(|| self.next.pop_front());
        particular.or_else(|| self.always.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(fault: Option<Fault>) -> Option<u16> {
        fault.map(|fault| match fault {
            Fault::Answer(reply) => reply.status,
            other => panic!("unexpected {other:?}"),
        })
    }

    #[test]
    fn the_most_particular_rule_wins_and_is_used_once() {
        let mut faults = Faults::default();
        faults.plan_always(Fault::status(500));
        faults.plan_next(2, &Fault::status(429));
        faults.plan_at(2, Fault::status(404));
        let seen: Vec<_> = (1..=4).map(|seq| status(faults.take(seq))).collect();
        assert_eq!(seen, [Some(429), Some(404), Some(429), Some(500)]);
    }

    #[test]
    fn without_a_plan_nothing_goes_wrong() {
        assert!(Faults::default().take(1).is_none());
    }
}
