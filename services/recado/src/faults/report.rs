//! What came of each fault, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::rows::Row;
use crate::table::{UNKNOWN, table};

/// A whole run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) seconds_per_fault: u64,
    pub(super) faults: Vec<Outcome>,
    /// What systems left behind when they were ended, and how they ended else than in good order.
    pub(super) left_behind: Vec<String>,
    /// Which faults somebody interrupted, or did not let come to their turn.
    pub(super) interrupted: Vec<&'static str>,
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
    /// Nothing, if it was not tried, or not to its end.
    pub(super) measured: Option<Measured>,
    pub(super) notes: Vec<String>,
    pub(super) violations: Vec<String>,
    #[serde(skip)]
    pub(super) left_the_system_at_rest: bool,
}

/// What was seen from outside.
#[derive(Serialize)]
pub(super) struct Measured {
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
}

impl Outcome {
    /// It cannot be tried here.
    pub(super) fn skipped(row: &Row, why: &str) -> Self {
        Self {
            fault: row.name,
            what: row.what,
            verdict: Verdict::Skipped,
            measured: None,
            notes: vec![why.to_owned()],
            violations: Vec::new(),
            left_the_system_at_rest: true,
        }
    }

    /// It could not be tried to its end.
    pub(super) fn failed(row: &Row, why: &anyhow::Error) -> Self {
        Self {
            fault: row.name,
            what: row.what,
            verdict: Verdict::Violated,
            measured: None,
            notes: Vec::new(),
            violations: vec![format!("{why:#}")],
            left_the_system_at_rest: false,
        }
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
        let Some(measured) = &self.measured else {
            let mut cells: [String; 11] = std::array::from_fn(|_| UNKNOWN.to_owned());
            self.fault.clone_into(&mut cells[0]);
            cells[10] = self.word();
            return cells;
        };
        let reordered = match (measured.reordered, measured.reordering_is_excused) {
            (0, _) => "0".to_owned(),
            (n, true) => format!("{n} (may)"),
            (n, false) => n.to_string(),
        };
        [
            self.fault.to_owned(),
            format!("{:.0}", measured.per_second),
            measured.acknowledged.to_string(),
            measured.refused.to_string(),
            measured.executed.to_string(),
            measured.lost.to_string(),
            measured.duplicated.to_string(),
            reordered,
            format!("{:.1} s", measured.worst_seconds),
            format!("{:.1} s", measured.outage_seconds),
            self.word(),
        ]
    }
}

impl Report {
    /// Whether everything was tried that can be, nothing was violated, and nothing left behind.
    pub(super) fn is_good(&self) -> bool {
        let violated = self.faults.iter().any(|outcome| outcome.verdict == Verdict::Violated);
        !violated && self.left_behind.is_empty() && self.interrupted.is_empty()
    }

    /// The table, what was violated in full, and what was left.
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
        for left in &self.left_behind {
            let _ = write!(text, "\n\nVIOLATED, when a system was ended: {}", left.trim_end());
        }
        if !self.interrupted.is_empty() {
            let _ = write!(
                text,
                "\n\nInterrupted. Not tried to the end: {}.",
                self.interrupted.join(", ")
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::rows::ROWS;

    fn report(faults: Vec<Outcome>) -> Report {
        let (left_behind, interrupted) = (Vec::new(), Vec::new());
        Report { seed: 7, seconds_per_fault: 3, faults, left_behind, interrupted }
    }

    #[test]
    fn a_violation_is_told_in_the_table_and_in_full() {
        let skipped = Outcome::skipped(&ROWS[0], "no room");
        let failed = Outcome::failed(&ROWS[1], &anyhow::anyhow!("lost: one\nand its story"));
        let report = report(vec![skipped, failed]);
        assert!(!report.is_good());
        let text = report.print();
        assert!(text.contains("VIOLATED: lost: one\n"), "{text}");
        assert!(text.contains("skipped: no room"), "{text}");
        assert!(text.contains("0 ok, 1 violated, 1 skipped. Seed 7"), "{text}");
        assert!(text.contains("and its story"), "{text}");
    }

    #[test]
    fn what_was_not_judged_has_no_figures() {
        let skipped = Outcome::skipped(&ROWS[0], "no room");
        let told = serde_json::to_value(report(vec![skipped])).unwrap();
        assert_eq!(told["faults"][0]["verdict"], "skipped");
        assert_eq!(told["faults"][0].get("measured"), Some(&serde_json::Value::Null));
    }

    #[test]
    fn what_a_system_leaves_and_what_was_not_tried_is_no_good_end() {
        let skipped = || vec![Outcome::skipped(&ROWS[0], "no room")];
        assert!(report(skipped()).is_good());
        let left_behind = vec!["3 messages in buffer.inbound".to_owned()];
        let left = Report { left_behind, ..report(skipped()) };
        assert!(!left.is_good());
        assert!(left.print().contains("was ended: 3 messages in buffer.inbound"));
        let interrupted = Report { interrupted: vec!["poison"], ..report(skipped()) };
        assert!(!interrupted.is_good());
        assert!(interrupted.print().ends_with("Not tried to the end: poison."));
    }
}
