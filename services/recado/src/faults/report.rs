//! What came of each fault, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::rows::Row;
use crate::table::table;

/// A whole run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) seconds_per_fault: u64,
    pub(super) faults: Vec<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    Violated,
    /// It cannot be tried here.
    Skipped,
}

/// What came of one fault.
#[derive(Serialize)]
pub(super) struct Outcome {
    pub(super) fault: &'static str,
    pub(super) what: &'static str,
    pub(super) verdict: Verdict,
    /// Acknowledged messages.
    pub(super) per_second: f64,
    pub(super) acknowledged: usize,
    /// Answered 503; each was sent again.
    pub(super) refused: usize,
    pub(super) unanswered: usize,
    pub(super) executed: usize,
    pub(super) lost: usize,
    pub(super) duplicated: usize,
    pub(super) reordered: usize,
    pub(super) reordering_is_excused: bool,
    pub(super) repeated_in_doubt: usize,
    /// The longest from a message's first post to its callback.
    pub(super) worst_seconds: f64,
    /// The longest that a sender had to offer one message.
    pub(super) outage_seconds: f64,
    pub(super) notes: Vec<String>,
    pub(super) violations: Vec<String>,
    #[serde(skip)]
    pub(super) left_the_system_at_rest: bool,
}

impl Outcome {
    /// Nothing was judged.
    fn empty(row: &Row, verdict: Verdict) -> Self {
        Self {
            fault: row.name,
            what: row.what,
            verdict,
            per_second: 0.0,
            acknowledged: 0,
            refused: 0,
            unanswered: 0,
            executed: 0,
            lost: 0,
            duplicated: 0,
            reordered: 0,
            reordering_is_excused: false,
            repeated_in_doubt: 0,
            worst_seconds: 0.0,
            outage_seconds: 0.0,
            notes: Vec::new(),
            violations: Vec::new(),
            left_the_system_at_rest: true,
        }
    }

    /// It cannot be tried here.
    pub(super) fn skipped(row: &Row, why: String) -> Self {
        Self { notes: vec![why], ..Self::empty(row, Verdict::Skipped) }
    }

    /// It could not be tried to its end.
    pub(super) fn failed(row: &Row, why: String) -> Self {
        let left_the_system_at_rest = false;
        let violations = vec![why];
        Self { violations, left_the_system_at_rest, ..Self::empty(row, Verdict::Violated) }
    }

    /// The last column: ok, what was violated in a line, or why it was not tried.
    pub(super) fn word(&self) -> String {
        let notes = self.notes.join("; ");
        match self.verdict {
            Verdict::Ok if notes.is_empty() => "ok".to_owned(),
            Verdict::Ok => format!("ok; {notes}"),
            Verdict::Skipped => format!("skipped: {notes}"),
            Verdict::Violated => {
                let first = self.violations.first().map_or("", |first| first.trim());
                format!("VIOLATED: {}", first.lines().next().unwrap_or_default())
            }
        }
    }

    fn cells(&self) -> [String; 11] {
        if self.verdict == Verdict::Skipped {
            let mut cells: [String; 11] = std::array::from_fn(|_| "-".to_owned());
            self.fault.clone_into(&mut cells[0]);
            cells[10] = self.word();
            return cells;
        }
        let reordered = match (self.reordered, self.reordering_is_excused) {
            (0, _) => "0".to_owned(),
            (n, true) => format!("{n} (may)"),
            (n, false) => n.to_string(),
        };
        [
            self.fault.to_owned(),
            format!("{:.0}", self.per_second),
            self.acknowledged.to_string(),
            self.refused.to_string(),
            self.executed.to_string(),
            self.lost.to_string(),
            self.duplicated.to_string(),
            reordered,
            format!("{:.1} s", self.worst_seconds),
            format!("{:.1} s", self.outage_seconds),
            self.word(),
        ]
    }
}

impl Report {
    /// Whether nothing was violated.
    pub(super) fn is_good(&self) -> bool {
        self.faults.iter().all(|outcome| outcome.verdict != Verdict::Violated)
    }

    /// The table, and what was violated in full.
    pub(super) fn print(&self) -> String {
        let headings = [
            "fault",
            "load/s",
            "acknowledged",
            "refused",
            "executed",
            "lost",
            "duplicated",
            "out of order",
            "worst latency",
            "outage",
            "",
        ];
        let mut text = table(headings, self.faults.iter().map(Outcome::cells).collect());
        let of = |verdict| self.faults.iter().filter(|it| it.verdict == verdict).count();
        let (ok, violated) = (of(Verdict::Ok), of(Verdict::Violated));
        let skipped = of(Verdict::Skipped);
        let _ = write!(
            text,
            "\n\n{ok} ok, {violated} violated, {skipped} skipped. Seed {}, {} s for each fault.",
            self.seed, self.seconds_per_fault
        );
        for outcome in self.faults.iter().filter(|outcome| !outcome.violations.is_empty()) {
            let _ = write!(text, "\n\n{} ({}):", outcome.fault, outcome.what);
            for violation in &outcome.violations {
                let _ = write!(text, "\n{}", violation.trim_end());
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::rows::ROWS;

    #[test]
    fn a_violation_is_told_in_the_table_and_in_full() {
        let skipped = Outcome::skipped(&ROWS[0], "no room".to_owned());
        let failed = Outcome::failed(&ROWS[1], "lost: one\nand its story".to_owned());
        let report = Report { seed: 7, seconds_per_fault: 3, faults: vec![skipped, failed] };
        assert!(!report.is_good());
        let text = report.print();
        assert!(text.contains("VIOLATED: lost: one\n"), "{text}");
        assert!(text.contains("skipped: no room"), "{text}");
        assert!(text.contains("0 ok, 1 violated, 1 skipped. Seed 7"), "{text}");
        assert!(text.contains("and its story"), "{text}");
    }
}
