//! What is told on the standard output.

use std::io::Write as _;

use serde_json::Value;

use super::api::Listed;
use super::cli::Output;
use super::failure::Failure;
use crate::table::{UNKNOWN, one_line, several_lines, shortened, table};

/// The longest cell of a table, in characters.
const MAX_CELL: usize = 48;

/// A column of a table: its heading, and the field that it shows.
pub(super) type Column = (&'static str, &'static str);

/// Prints a text and ends its line.
pub(super) fn out(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever read it has enough of it, as `head` has.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(|error| Failure::failed(format!("failed to print: {error}"))),
    }
}

/// Prints JSON, for programs.
pub(super) fn json(value: &Value) -> Result<(), Failure> {
    out(&format!("{value:#}"))
}

/// Prints a list; where it has more than was asked for, it says so beside it.
pub(super) fn list<const N: usize>(
    listed: Listed,
    columns: [Column; N],
    output: Output,
) -> Result<(), Failure> {
    let Listed { entries, more } = listed;
    match output {
        Output::Json => json(&Value::Array(entries))?,
        Output::Table => {
            let row = |entry: &Value| columns.map(|(_, field)| cell(&entry[field]));
            let rows = entries.iter().map(row).collect();
            out(&table(columns.map(|(heading, _)| heading), rows))?;
        }
    }
    if more {
        eprintln!("recado: there are more; --limit shows them");
    }
    Ok(())
}

/// Prints one thing: a line for each of its fields.
pub(super) fn one(data: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => json(data),
        Output::Table => out(&fields(data)),
    }
}

/// A value in a cell of a table.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => UNKNOWN.to_owned(),
        Value::String(text) if text.is_empty() => UNKNOWN.to_owned(),
        Value::String(text) => shortened(&moment(text), MAX_CELL),
        Value::Array(items) => items.len().to_string(),
        other => shortened(&other.to_string(), MAX_CELL),
    }
}

/// Names on the left, values on the right; what has several lines below its name.
pub(super) fn fields(data: &Value) -> String {
    let Value::Object(fields) = data else { return cell(data) };
    let width = fields.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    let line = |(name, value): (&String, &Value)| {
        let name = one_line(name);
        match value {
            Value::Null => format!("{name:<width$}  {UNKNOWN}"),
            Value::String(text) if text.contains('\n') => {
                format!("{name}\n{}", indented(&several_lines(text)))
            }
            Value::String(text) => format!("{name:<width$}  {}", one_line(text)),
            Value::Object(inner) if inner.is_empty() => format!("{name:<width$}  {{}}"),
            Value::Array(inner) if inner.is_empty() => format!("{name:<width$}  []"),
            Value::Object(_) | Value::Array(_) => {
                format!("{name}\n{}", indented(&several_lines(&format!("{value:#}"))))
            }
            other => format!("{name:<width$}  {other}"),
        }
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// With room on the left of each line.
pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// A time is shown to the second; anything else as it is.
pub(super) fn moment(text: &str) -> String {
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(at) => at.to_utc().format("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_no_time) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_short_and_say_what_is_unknown() {
        assert_eq!(cell(&Value::Null), "-");
        assert_eq!(cell(&json!("")), "-");
        assert_eq!(cell(&json!(true)), "true");
        assert_eq!(cell(&json!("2026-11-20T10:00:00.123456Z")), "2026-11-20 10:00:00");
        assert_eq!(cell(&json!("a\u{1b}[31m\nb")), "a [31m b");
        assert_eq!(cell(&json!("é".repeat(60))).chars().count(), MAX_CELL);
    }

    #[test]
    fn one_thing_is_told_field_by_field() {
        let data = json!({"id": "x", "prompt": "a\n\u{1b}b", "config": {"k": [1]}, "none": null});
        let told = fields(&data);
        assert!(told.contains("id      x"), "{told}");
        assert!(told.contains("prompt\n  a\n   b"), "{told}");
        assert!(told.contains("config\n  {\n    \"k\": ["), "{told}");
        assert!(told.contains("none    -"), "{told}");
        assert!(!told.contains('\u{1b}'));
    }
}
