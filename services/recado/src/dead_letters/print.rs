//! Dead letters on a terminal.

use recado_broker::DeadLetter;

use crate::table::{self, UNKNOWN, one_line};

const HEADINGS: [&str; 9] =
    ["ID", "QUEUE", "REASON", "FAILED", "TIMES", "PUBLISHED", "BYTES", "TENANT", "ERROR"];

/// One line for each.
pub(super) fn table(letters: &[DeadLetter]) -> String {
    table::table(HEADINGS, letters.iter().map(row).collect())
}

fn row(letter: &DeadLetter) -> [String; 9] {
    [
        letter.id.to_string(),
        letter.queue.to_owned(),
        one_line(&letter.reason),
        attempts(letter),
        letter.times_dead_lettered.to_string(),
        published_at(letter),
        letter.size_bytes.to_string(),
        letter.tenant_id.map_or_else(unknown, |tenant| tenant.to_string()),
        letter.error.as_deref().map_or_else(unknown, one_line),
    ]
}

/// Everything about one, a line for each field.
pub(super) fn details(letter: &DeadLetter) -> String {
    let text = |text: &Option<String>| text.as_deref().map_or_else(unknown, one_line);
    let fields = [
        ("id", letter.id.to_string()),
        ("queue", letter.queue.to_owned()),
        ("reason", one_line(&letter.reason)),
        ("error", text(&letter.error)),
        ("failed attempts", attempts(letter)),
        ("times dead-lettered", letter.times_dead_lettered.to_string()),
        ("kind", text(&letter.kind)),
        ("message id", text(&letter.message_id)),
        ("tenant", letter.tenant_id.map_or_else(unknown, |tenant| tenant.to_string())),
        ("published at", published_at(letter)),
        ("trace id", text(&letter.trace_id)),
        ("bytes", letter.size_bytes.to_string()),
    ];
    fields.map(|(name, value)| format!("{name:<20} {value}")).join("\n")
}

fn attempts(letter: &DeadLetter) -> String {
    letter.attempts.map_or_else(unknown, |attempts| attempts.to_string())
}

fn published_at(letter: &DeadLetter) -> String {
    let written = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    letter.published_at.map_or_else(unknown, written)
}

fn unknown() -> String {
    UNKNOWN.to_owned()
}
