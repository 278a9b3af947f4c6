//! What was measured, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::system::System;

/// Everything that a run found out.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) seconds_per_phase: u64,
    #[serde(flatten)]
    pub(super) findings: Findings,
}

/// What was found out, without where.
#[derive(Default, Serialize)]
pub(super) struct Findings {
    pub(super) figures: Vec<Figure>,
    pub(super) processes: Vec<Process>,
    pub(super) statements: Vec<Statement>,
    pub(super) times: Vec<StatementTime>,
    /// What must not have happened, in words.
    pub(super) faults: Vec<String>,
}

/// Where it was measured.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) measured_at: String,
    pub(super) build: &'static str,
    pub(super) processor: String,
    pub(super) cores: usize,
    /// The load average of the last minute, before the first phase and after the last.
    pub(super) load_before: String,
    pub(super) load_after: String,
}

/// One figure, beside what a bare program reached.
#[derive(Serialize)]
pub(super) struct Figure {
    name: &'static str,
    value: Option<f64>,
    unit: &'static str,
    baseline: Option<f64>,
    ratio: Option<f64>,
    goal: Option<Goal>,
    is_met: Option<bool>,
}

/// What the issues ask for.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    RatioAtLeast(f64),
    RatioAtMost(f64),
    ValueAtMost(f64),
    ValueAtLeast(f64),
}

/// What one process, or one server with its children, costs.
#[derive(Default, Serialize)]
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) cpu_ms_per_message: f64,
    pub(super) idle_cpu_ms_per_second: f64,
    /// After the load; of the roles only: what a server holds is a matter of its settings.
    pub(super) resident_mib: Option<f64>,
}

/// How often PostgreSQL ran a statement for each execution.
#[derive(Serialize)]
pub(super) struct Statement {
    /// `<module>.<function>`, as the store names it; or the statement itself.
    pub(super) name: String,
    pub(super) one_at_a_time: f64,
    pub(super) many_at_once: f64,
}

/// What PostgreSQL spends on a statement while everything is at work.
#[derive(Serialize)]
pub(super) struct StatementTime {
    /// As for [`Statement`].
    pub(super) name: String,
    /// From its beginning to its end, waiting for locks and the disk included.
    pub(super) micros_per_message: f64,
    pub(super) calls_per_message: f64,
    pub(super) rows_per_call: f64,
}

impl Findings {
    pub(super) fn add(&mut self, mut more: Self) {
        self.figures.append(&mut more.figures);
        self.processes.append(&mut more.processes);
        self.statements.append(&mut more.statements);
        self.times.append(&mut more.times);
        self.faults.append(&mut more.faults);
    }

    /// Ends the system that was `measured`; that something is left behind in it is a fault.
    pub(super) async fn ended(
        mut self,
        system: System,
        measured: anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let finished = system.finish().await;
        measured?;
        if let Err(error) = finished {
            self.faults.push(format!("the system did not end in good order: {error:#}"));
        }
        Ok(self)
    }
}

impl Figure {
    pub(super) fn new(
        name: &'static str,
        value: impl Into<Option<f64>>,
        unit: &'static str,
    ) -> Self {
        let value = value.into();
        Self { name, value, unit, baseline: None, ratio: None, goal: None, is_met: None }
    }

    /// Puts it beside what the bare program reached.
    pub(super) fn against(mut self, baseline: impl Into<Option<f64>>) -> Self {
        self.baseline = baseline.into();
        self.ratio = self.value.zip(self.baseline).map(|(value, base)| super::ratio(value, base));
        self
    }

    /// Says what is asked for; after [`Figure::against`].
    pub(super) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.is_met = match goal {
            Goal::RatioAtLeast(least) => self.ratio.map(|ratio| ratio >= least),
            Goal::RatioAtMost(most) => self.ratio.map(|ratio| ratio <= most),
            Goal::ValueAtMost(most) => self.value.map(|value| value <= most),
            Goal::ValueAtLeast(least) => self.value.map(|value| value >= least),
        };
        self
    }

    fn cells(&self) -> [String; 5] {
        let value =
            self.value.map_or("–".into(), |value| format!("{} {}", short(value), self.unit));
        let goal = match self.goal {
            None => String::new(),
            Some(Goal::RatioAtLeast(least)) => format!("at least {least} ×"),
            Some(Goal::RatioAtMost(most)) => format!("at most {most} ×"),
            Some(Goal::ValueAtMost(most)) => format!("at most {most} {}", self.unit),
            Some(Goal::ValueAtLeast(least)) => format!("at least {least} {}", self.unit),
        };
        let verdict = match self.is_met {
            None => "",
            Some(true) => ": met",
            Some(false) => ": missed",
        };
        [
            self.name.to_owned(),
            value,
            self.baseline.map(short).unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default(),
            format!("{goal}{verdict}"),
        ]
    }
}

impl Report {
    /// What the numbers were measured on, and a table for each kind of finding there is.
    pub(super) fn print(&self) -> String {
        let Findings { figures, processes, statements, times, faults } = &self.findings;
        let mut text = self.machine.print(self.seconds_per_phase);
        let mut rows = vec![["figure", "value", "baseline", "ratio", "goal"].map(str::to_owned)];
        rows.extend(figures.iter().map(Figure::cells));
        text.push_str(&table(&rows));
        if !processes.is_empty() {
            text.push('\n');
            let header = ["process", "CPU ms/message", "idle CPU ms/s", "resident MiB"];
            let mut rows = vec![header.map(str::to_owned)];
            rows.extend(processes.iter().map(Process::cells));
            text.push_str(&table(&rows));
        }
        if !statements.is_empty() {
            text.push('\n');
            let header = ["statements per execution", "one at a time", "many at once"];
            let mut rows = vec![header.map(str::to_owned)];
            rows.extend(statements.iter().map(Statement::cells));
            text.push_str(&table(&rows));
        }
        if !times.is_empty() {
            text.push('\n');
            let header = ["statement", "µs/message", "calls/message", "rows/call"];
            let mut rows = vec![header.map(str::to_owned)];
            rows.extend(times.iter().map(StatementTime::cells));
            text.push_str(&table(&rows));
        }
        for fault in faults {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\nFAULT: {fault}");
        }
        text
    }
}

impl Machine {
    fn print(&self, seconds: u64) -> String {
        let Self { measured_at, build, processor, cores, load_before, load_after } = self;
        format!(
            "{measured_at}, {build} build, {cores} cores ({processor})\n\
             load average {load_before} before, {load_after} after; {seconds} s per phase; \
             generator, sink and servers on the same cores\n\n"
        )
    }
}

impl Process {
    fn cells(&self) -> [String; 4] {
        [
            self.name.to_owned(),
            format!("{:.3}", self.cpu_ms_per_message),
            format!("{:.1}", self.idle_cpu_ms_per_second),
            self.resident_mib.map(|mib| format!("{mib:.0}")).unwrap_or_default(),
        ]
    }
}

impl Statement {
    fn cells(&self) -> [String; 3] {
        let Self { name, one_at_a_time, many_at_once } = self;
        [name.clone(), format!("{one_at_a_time:.2}"), format!("{many_at_once:.2}")]
    }
}

impl StatementTime {
    fn cells(&self) -> [String; 4] {
        let Self { name, micros_per_message, calls_per_message, rows_per_call } = self;
        [
            name.clone(),
            format!("{micros_per_message:.0}"),
            format!("{calls_per_message:.3}"),
            format!("{rows_per_call:.1}"),
        ]
    }
}

/// Three digits say all that a run can know.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The first column to the left, numbers to the right, the last column as it comes.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                4 => write!(line, "  {cell}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_by_what_it_speaks_of() {
        let met = |figure: Figure| figure.is_met;
        let rate = || Figure::new("accepted", 600.0, "/s").against(1_000.0);
        assert_eq!(met(rate().goal(Goal::RatioAtLeast(0.5))), Some(true));
        assert_eq!(met(rate().goal(Goal::RatioAtLeast(0.7))), Some(false));
        assert_eq!(met(rate().goal(Goal::RatioAtMost(0.5))), Some(false));
        assert_eq!(met(rate().goal(Goal::ValueAtMost(600.0))), Some(true));
        assert_eq!(met(rate().goal(Goal::ValueAtLeast(601.0))), Some(false));
        let unknown = Figure::new("p99", None, "ms").against(1.0);
        assert_eq!(met(unknown.goal(Goal::RatioAtMost(5.0))), None);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["ä", "1"], ["bcd", "22"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "ä     1\nbcd  22\n");
    }
}
