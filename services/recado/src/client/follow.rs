//! What happened in an execution, told in the order in which it did.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::print::{indented, moment};
use crate::table::{UNKNOWN, one_line, several_lines, shortened};

/// The longest text of which only the beginning is shown, in characters.
const MAX_SHOWN: usize = 120;

/// What was told so far: who looks again is told what is new.
#[derive(Debug, Default)]
pub(super) struct Story {
    told: HashSet<String>,
    /// Whether it is told elsewhere how things stand meanwhile.
    only_end: bool,
}

/// Something that happened.
struct Event {
    /// Names it: it is told once.
    key: String,
    at: String,
    what: String,
}

impl Story {
    /// One that says nothing of how things stand until the end.
    pub(super) fn of_events() -> Self {
        Self { only_end: true, ..Self::default() }
    }

    /// What `detail` has that was not told yet.
    pub(super) fn news(&mut self, detail: &Value) -> Vec<String> {
        let happened = list(detail, "messages").map(message);
        let happened = happened.chain(list(detail, "llm_calls").enumerate().map(model_call));
        let mut happened: Vec<Event> =
            happened.chain(list(detail, "tool_calls").map(tool_call)).collect();
        // Their times are in one form, which sorts as a text.
        happened.sort_by(|one, other| one.at.cmp(&other.at));
        let execution = &detail["execution"];
        let mut events = Vec::new();
        // How it stands is told before what happens meanwhile, how it ended after all that.
        let has_ended = !execution["finished_at"].is_null();
        events.extend((!has_ended && !self.only_end).then(|| state(execution)));
        events.extend(happened);
        events.extend(answer(execution));
        events.extend(list(detail, "deliveries").map(delivery));
        events.extend(has_ended.then(|| state(execution)));
        let new = events.into_iter().filter(|event| self.told.insert(event.key.clone()));
        new.map(|event| format!("{:<19}  {}", moment(&event.at), event.what)).collect()
    }
}

fn list<'v>(detail: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    detail[name].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => UNKNOWN.to_owned(),
        Value::String(text) => one_line(text),
        other => one_line(&other.to_string()),
    }
}

/// A time, or nothing where there is none.
fn time(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn state(execution: &Value) -> Event {
    let status = text(&execution["status"]);
    let mut what = format!("{status}  {}", text(&execution["id"]));
    let finished_at = &execution["finished_at"];
    if !finished_at.is_null() {
        let figure = |name: &str, unit: &str| {
            let value = &execution[name];
            if value.is_null() { String::new() } else { format!(", {value} {unit}") }
        };
        what += &figure("execution_time_ms", "ms");
        what += &figure("tokens_used", "tokens");
        what += &figure("cost_usd", "USD");
    }
    if !execution["error_code"].is_null() {
        let why = [&execution["error_code"], &execution["error_message"]].map(text);
        let _ = write!(what, "\n{}", indented(&why.join(": ")));
    }
    let since = match status.as_str() {
        _ if !finished_at.is_null() => finished_at,
        "queued" => &execution["created_at"],
        _ => &execution["started_at"],
    };
    Event { key: format!("state {status}"), at: time(since), what }
}

fn message(message: &Value) -> Event {
    let said = message["text"].as_str().unwrap_or_default();
    Event {
        key: format!("message {}", message["id"]),
        at: time(&message["accepted_at"]),
        what: format!("message   {}", shortened(said, MAX_SHOWN)),
    }
}

fn model_call((index, call): (usize, &Value)) -> Event {
    let tools: Vec<String> = list(call, "tools_executed").map(text).collect();
    let led_to =
        if tools.is_empty() { String::new() } else { format!(" → {}", tools.join(", ")) };
    Event {
        key: format!("model {index}"),
        at: time(&call["timestamp"]),
        what: format!(
            "model     {}, {} tokens in, {} out, {} ms{led_to}",
            text(&call["model"]),
            text(&call["input_tokens"]),
            text(&call["output_tokens"]),
            text(&call["response_time_ms"]),
        ),
    }
}

fn tool_call(call: &Value) -> Event {
    let status = text(&call["status"]);
    let said = call["output_preview"].as_str().or(call["error_message"].as_str());
    let said = said.map(|said| format!("  {}", shortened(said, MAX_SHOWN))).unwrap_or_default();
    Event {
        key: format!("tool {} {status}", call["id"]),
        at: time(&call["created_at"]),
        what: format!("tool      {} {status}{said}", text(&call["tool_name"])),
    }
}

fn answer(execution: &Value) -> Option<Event> {
    let said = several_lines(execution["agent_response"].as_str()?);
    let at = time(&execution["finished_at"]);
    Some(Event { key: "answer".into(), at, what: format!("answer\n{}", indented(&said)) })
}

fn delivery(delivery: &Value) -> Event {
    let status = text(&delivery["status"]);
    let mut what = format!("delivery  {status}, {} chunks", text(&delivery["chunk_count"]));
    if !delivery["error_code"].is_null() {
        let _ = write!(what, ": {}", text(&delivery["error_code"]));
    }
    let finished_at = &delivery["finished_at"];
    let at = if finished_at.is_null() { &delivery["created_at"] } else { finished_at };
    Event { key: format!("delivery {} {status}", delivery["id"]), at: time(at), what }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_is_told_once_and_in_order() {
        let mut story = Story::default();
        let mut detail = json!({
            "execution": {"id": "x", "status": "running", "started_at": "2026-11-20T10:00:01Z"},
            "messages": [
                {"id": "m1", "text": "Olá\u{1b}[2J", "accepted_at": "2026-11-20T10:00:00Z"},
            ],
            "llm_calls": [], "tool_calls": [
                {"id": "t1", "status": "requested", "tool_name": "search", "created_at": "2026-11-20T10:00:03Z"},
            ], "deliveries": [],
        });
        let first = story.news(&detail);
        assert_eq!(
            first,
            [
                "2026-11-20 10:00:01  running  x",
                "2026-11-20 10:00:00  message   Olá [2J",
                "2026-11-20 10:00:03  tool      search requested",
            ]
        );
        assert_eq!(story.news(&detail), [""; 0]);
        assert_eq!(Story::of_events().news(&detail), first[1..], "but for how it stands");
        detail["tool_calls"][0]["status"] = json!("success");
        detail["tool_calls"][0]["output_preview"] = json!("3 contracts");
        detail["execution"]["status"] = json!("success");
        detail["execution"]["finished_at"] = json!("2026-11-20T10:00:05Z");
        detail["execution"]["tokens_used"] = json!(12);
        detail["execution"]["agent_response"] = json!("One.\nTwo.");
        detail["deliveries"] = json!([{"id": "d", "status": "pending", "chunk_count": 2}]);
        let then = story.news(&detail);
        assert_eq!(then.len(), 4, "{then:?}");
        assert!(then[0].contains("search success  3 contracts"), "{then:?}");
        assert!(then[1].ends_with("answer\n  One.\n  Two."), "{then:?}");
        assert!(then[2].contains("delivery  pending, 2 chunks"), "{then:?}");
        assert!(then[3].contains("success  x, 12 tokens"), "{then:?}");
    }
}
