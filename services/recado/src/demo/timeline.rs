//! What happened, when, and how long after what came before.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::conversation::time;

/// How much of a text is shown.
const SHOWN: usize = 44;

#[derive(Default)]
pub(super) struct Timeline {
    entries: Vec<Entry>,
}

struct Entry {
    at: DateTime<Utc>,
    step: String,
    what: String,
}

impl Timeline {
    /// A webhook and its answer.
    pub(super) fn add_post(
        &mut self,
        at: DateTime<Utc>,
        took: Duration,
        index: usize,
        status: u16,
        text: &str,
    ) {
        let ms = took.as_secs_f64() * 1_000.0;
        let what = format!("\"{}\"  → {status} in {ms:.1} ms", shorten(text));
        self.add(at, format!("received {}", index + 1), what);
    }

    /// Everything that the API tells of an execution.
    pub(super) fn add_execution(&mut self, detail: &Value) -> anyhow::Result<()> {
        let messages = detail["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (index, message) in messages.iter().enumerate() {
            let what = "in PostgreSQL and in the session's window, which starts anew".into();
            self.add(time(message, "/recorded_at")?, format!("buffered {}", index + 1), what);
        }
        let n_messages = messages.len();
        let started = time(detail, "/execution/started_at")?;
        let flushed = format!("silence: {n_messages} messages become one execution");
        self.add(started, "executing".into(), flushed);
        let finished = time(detail, "/execution/finished_at")?;
        let model = detail.pointer("/llm_calls/0/model").and_then(Value::as_str).unwrap_or("?");
        self.add(finished, "executed".into(), format!("the agent answered ({model})"));
        let chunks = detail.pointer("/deliveries/0/chunks").and_then(Value::as_array);
        for (index, chunk) in chunks.into_iter().flatten().enumerate() {
            let attempts = chunk["attempts"].as_array();
            for attempt in attempts.into_iter().flatten() {
                let status = attempt["status_code"].as_u64().unwrap_or_default();
                let ms = attempt["duration_ms"].as_u64().unwrap_or_default();
                let body = chunk["text"].as_str().unwrap_or_default().replace('\n', " ");
                let what = format!("\"{}\"  → {status} in {ms} ms", shorten(&body));
                self.add(time(attempt, "/started_at")?, format!("chunk {}", index + 1), what);
            }
        }
        Ok(())
    }

    fn add(&mut self, at: DateTime<Utc>, step: String, what: String) {
        self.entries.push(Entry { at, step, what });
    }

    /// The whole timeline, and where each step can be looked up.
    pub(super) fn print(mut self, look_up: &[(&'static str, String)]) -> String {
        self.entries.sort_by_key(|entry| entry.at);
        let mut text = String::from("   at ms    after  step\n");
        let first = self.entries.first().map(|entry| entry.at);
        let mut before = first;
        for entry in &self.entries {
            let since = |then: Option<DateTime<Utc>>| {
                then.map_or(TimeDelta::zero(), |then| entry.at - then).num_milliseconds()
            };
            let (at, after) = (since(first), since(before));
            let _ = writeln!(text, "{at:>8} {after:>+8}  {:<11} {}", entry.step, entry.what);
            before = Some(entry.at);
        }
        text.push_str(
            "\nEach step through the API (`make run` leaves it running; its address and\n",
        );
        text.push_str("a token are in .recado/dev.json; here is where to look):\n");
        for (what, request) in look_up {
            let _ = writeln!(text, "  {what}:\n    {request}");
        }
        text
    }
}

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_told_in_the_order_of_time() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |ms| (start + TimeDelta::milliseconds(ms)).to_rfc3339();
        let mut timeline = Timeline::default();
        timeline.add_post(start, Duration::from_millis(3), 0, 200, "Olá");
        timeline
            .add_execution(&json!({
                "execution": {"started_at": at(1_600), "finished_at": at(1_602)},
                "messages": [{"recorded_at": at(5)}],
                "llm_calls": [{"model": "builtin.echo"}],
                "deliveries": [{"chunks": [
                    {"text": "Olá", "attempts": [
                        {"started_at": at(1_610), "status_code": 201, "duration_ms": 4}]}
                ]}]
            }))
            .unwrap();
        let told = timeline.print(&[]);
        let steps: Vec<&str> = told
            .lines()
            .skip(1)
            .take(5)
            .map(|line| line.split_whitespace().nth(2).unwrap())
            .collect();
        assert_eq!(steps, ["received", "buffered", "executing", "executed", "chunk"], "{told}");
        assert!(told.contains("1610       +8  chunk 1"), "{told}");
    }
}
