//! `schedule`.

use serde_json::{Value, json};

use super::pieces::{about, choice, integer, object, or, text};
use crate::trigger::schedule::{
    MAX_CRON, MAX_INTERVAL_SECONDS, MAX_JITTER_SECONDS, MAX_WORD, PLACEHOLDERS,
};

pub(super) fn schema() -> Value {
    let cron =
        "Five fields, or six with the seconds in front; names such as `MON` and `@daily`, too.";
    let zone = "An IANA time zone, that of the expression and of moments without an offset.";
    let jitter = "The longest that a tick is put off; by how much differs between triggers.";
    let catch_up = "What becomes of ticks that were missed by more than a minute.";
    let payload = format!(
        "What the message is made of. Its texts may have placeholders: {}.",
        PLACEHOLDERS.map(|name| format!("`{{{{{name}}}}}`")).join(", ")
    );
    let mut schedule = object(
        &[],
        [
            ("cron", about(text(1, MAX_CRON), cron)),
            ("interval_seconds", about(integer(1, MAX_INTERVAL_SECONDS), "Real time.")),
            ("at", about(text(1, MAX_WORD), "Once, then.")),
            ("time_zone", about(or(text(1, MAX_WORD), "UTC"), zone)),
            ("jitter_seconds", about(or(integer(0, MAX_JITTER_SECONDS), 0), jitter)),
            ("start_at", about(text(1, MAX_WORD), "No tick before.")),
            ("end_at", about(text(1, MAX_WORD), "No tick after.")),
            ("catch_up", about(or(choice(["none", "one", "all"]), "one"), catch_up)),
            ("payload", about(json!({}), &payload)),
        ],
    );
    // Of three, exactly one.
    let only = |key: &str, others: [&str; 2]| {
        let absent = others.map(|key| (key.to_owned(), json!({ "type": "null" })));
        json!({
            "required": [key],
            "properties": absent.into_iter().chain([(key.to_owned(), json!({ "not": { "type": "null" } }))])
                .collect::<serde_json::Map<_, _>>(),
        })
    };
    schedule["oneOf"] = json!([
        only("cron", ["interval_seconds", "at"]),
        only("interval_seconds", ["cron", "at"]),
        only("at", ["cron", "interval_seconds"]),
    ]);
    about(schedule, "When the trigger fires.")
}
