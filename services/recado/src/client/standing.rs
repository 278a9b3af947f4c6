//! Why an execution that is followed has not ended yet.

use serde_json::Value;

use super::api::Api;
use super::failure::Failure;
use crate::table::one_line;

/// How many executions of a session are looked at.
const MAX_AHEAD: usize = 20;

/// How things stand, told whenever it is news. On the standard error: what is printed on the
/// standard output is what happened.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told: Option<String>,
}

impl Teller {
    pub(super) fn tell(&mut self, standing: Option<String>) {
        if let Some(news) = self.news(standing) {
            eprintln!("recado: {news}");
        }
    }

    fn news(&mut self, standing: Option<String>) -> Option<String> {
        if standing.is_none() || standing == self.told {
            return None;
        }
        self.told = standing;
        self.told.clone()
    }
}

/// What an execution waits for, or its answer; `None` once all is over.
pub(super) async fn of(api: &Api, detail: &Value) -> Option<String> {
    let is_queued = detail["execution"]["status"] == "queued";
    let ahead = if is_queued { ahead_of(api, &detail["execution"]).await } else { None };
    standing(detail, ahead.as_deref())
}

/// What a message waits for that is in no execution yet, if the server knows it.
pub(super) fn of_message(failure: &Failure) -> Option<String> {
    let Failure::Refused(refusal) = failure else { return None };
    match refusal.standing.as_deref()? {
        "buffered" => Some("its message window is still open: others may join it".into()),
        "requested" => Some("its message window is closed, and no agent has begun yet".into()),
        other => Some(one_line(other)),
    }
}

/// The execution of its session that has to end before it begins. Whoever may not see that one, or
/// asks a server that is busy, is not told.
async fn ahead_of(api: &Api, execution: &Value) -> Option<String> {
    let session = execution["session_id"].as_str()?;
    let before = execution["created_at"].as_str()?;
    let filters = [("session_id", session), ("to", before)];
    let found = api.list(&["api", "executions"], &filters, MAX_AHEAD).await.ok()?;
    last_before(&execution["id"], &found.entries)
}

/// Of a session's executions, newest first, the newest one before `id` that has not ended. What was
/// admitted at the same moment is listed, too, and so is the execution itself.
fn last_before(id: &Value, newest_first: &[Value]) -> Option<String> {
    let before = newest_first.iter().skip_while(|it| it["id"] != *id).skip(1);
    let last = before.into_iter().find(|it| it["finished_at"].is_null())?;
    last["id"].as_str().map(one_line)
}

fn standing(detail: &Value, ahead: Option<&str>) -> Option<String> {
    let execution = &detail["execution"];
    if !execution["finished_at"].is_null() {
        return unsent(detail);
    }
    let status = one_line(execution["status"].as_str()?);
    Some(match (status.as_str(), stopped_session(detail), ahead) {
        ("running", ..) => match execution["attempt_count"].as_i64() {
            Some(attempt @ 2..) => format!("running, attempt {attempt}"),
            _ => status,
        },
        ("waiting", stopped, _) => match open_calls(detail).or(stopped) {
            Some(what) => format!("waiting {what}"),
            None => status,
        },
        ("queued", Some(stopped), _) => format!("queued: it waits {stopped}"),
        ("queued", None, Some(ahead)) => {
            format!("queued behind the execution {ahead} of its session")
        }
        ("queued", None, None) => "queued: no agent runner has taken it yet".into(),
        _ => status,
    })
}

/// That its answer has not arrived yet; and if it was tried, what came of that.
fn unsent(detail: &Value) -> Option<String> {
    let mut deliveries = detail["deliveries"].as_array()?.iter();
    let delivery = deliveries.find(|it| it["status"] == "pending")?;
    let chunks = delivery["chunks"].as_array()?.iter();
    let attempts = chunks.filter_map(|chunk| chunk["attempts"].as_array()).flatten();
    let last = attempts.max_by_key(|it| it["started_at"].as_str())?;
    let came = match (last["error_code"].as_str(), &last["status_code"]) {
        (Some(code), Value::Null) => one_line(code),
        (_, status) => format!("status {status}"),
    };
    Some(format!("its answer is on its way; the last attempt to send it came to {came}"))
}

/// That its session does not go on by itself.
fn stopped_session(detail: &Value) -> Option<String> {
    let session = &detail["session"];
    let status = session["status"].as_str().filter(|status| *status != "active")?;
    let why = session["status_reason"].as_str().filter(|why| !why.is_empty());
    let why = why.map(|why| format!(" ({})", one_line(why))).unwrap_or_default();
    let status = one_line(status).replace('_', " ");
    Some(format!("for its session to be resumed, which is {status}{why}"))
}

/// The tool calls that others have to do something about.
fn open_calls(detail: &Value) -> Option<String> {
    let calls = detail["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| one_line(value.as_str().unwrap_or_default());
    let what = |call: &Value| match call["status"].as_str() {
        Some("waiting_for_approval") => {
            let (tool, id) = (text(&call["tool_name"]), text(&call["id"]));
            Some(format!("for an approval of {tool} (tool call {id})"))
        }
        Some("delegated") => {
            Some(format!("for a sub-agent, in the execution {}", text(&call["child_execution_id"])))
        }
        _ => None,
    };
    let what: Vec<String> = calls.iter().filter_map(what).collect();
    (!what.is_empty()).then(|| what.join(", and "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::failure::Refusal;
    use super::*;

    fn told(status: &str, session: &str, tool_calls: &Value, ahead: Option<&str>) -> String {
        let detail = json!({
            "execution": {"status": status, "attempt_count": 1, "finished_at": null},
            "session": {"status": session, "status_reason": "lunch\u{1b}"},
            "tool_calls": tool_calls,
        });
        standing(&detail, ahead).unwrap()
    }

    #[test]
    fn it_is_told_what_an_execution_waits_for() {
        let none = json!([]);
        assert_eq!(told("running", "active", &none, None), "running");
        assert_eq!(
            told("queued", "active", &none, Some("x")),
            "queued behind the execution x of its session"
        );
        assert_eq!(
            told("queued", "active", &none, None),
            "queued: no agent runner has taken it yet"
        );
        assert_eq!(
            told("queued", "handed_off", &none, Some("x")),
            "queued: it waits for its session to be resumed, which is handed off (lunch )"
        );
        assert!(told("waiting", "suspended", &none, None).starts_with("waiting for its session"));
        let calls = json!([
            {"id": "1", "tool_name": "a", "status": "success"},
            {"id": "2", "tool_name": "b", "status": "waiting_for_approval"},
            {"id": "3", "tool_name": "c", "status": "delegated", "child_execution_id": "y"},
        ]);
        assert_eq!(
            told("waiting", "active", &calls, None),
            "waiting for an approval of b (tool call 2), and for a sub-agent, in the execution y"
        );
        let ended = json!({"execution": {"status": "success", "finished_at": "2026-11-20"}});
        assert_eq!(standing(&ended, None), None);
        let tried = json!([{"started_at": "2", "status_code": 503, "error_code": "http_status"},
                           {"started_at": "1", "status_code": null, "error_code": "timeout"}]);
        let mut unsent = ended.clone();
        unsent["deliveries"] = json!([{"status": "pending", "chunks": [{"attempts": tried}]}]);
        assert!(standing(&unsent, None).unwrap().ends_with("came to status 503"));
        unsent["deliveries"][0]["status"] = json!("delivered");
        assert_eq!(standing(&unsent, None), None);
    }

    #[test]
    fn an_execution_waits_for_the_one_before_it_and_not_for_itself() {
        let listed = json!([
            {"id": "later", "finished_at": null},
            {"id": "own", "finished_at": null},
            {"id": "cancelled", "finished_at": "2026-11-20"},
            {"id": "ahead", "finished_at": null},
        ]);
        let listed = listed.as_array().unwrap();
        assert_eq!(last_before(&json!("own"), listed).as_deref(), Some("ahead"));
        assert_eq!(last_before(&json!("own"), &listed[..3]), None);
        assert_eq!(last_before(&json!("unknown"), listed), None);
    }

    #[test]
    fn a_message_that_is_in_no_execution_yet_waits_for_its_window() {
        let body = json!({"error": "execution_not_found", "details": {"status": "buffered"}});
        let refused = |body| Failure::Refused(Box::new(Refusal::of(404, body)));
        let told = of_message(&refused(&body)).unwrap();
        assert!(told.contains("window is still open"), "{told}");
        assert_eq!(of_message(&refused(&json!({"error": "execution_not_found"}))), None);
    }

    #[test]
    fn what_was_told_is_no_news() {
        let mut teller = Teller::default();
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(teller.news(said("queued")), said("queued"));
        assert_eq!(teller.news(said("queued")), None);
        assert_eq!(teller.news(None), None);
        assert_eq!(teller.news(said("running")), said("running"));
    }
}
