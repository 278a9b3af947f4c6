//! What happened in a workspace. Only what a person wrote is a message.
//!
//! The rest would do harm: the agent's own answers come back as events, and answering those, or
//! another bot's, never ends.

use serde_json::Value;

use super::super::{Incoming, Says, described, text_at};

/// What `message.subtype` is called where a person wrote it: a file, a reply that is also shown in
/// the channel, and `/me`. All others are about messages, channels and bots.
const WRITTEN_BY_PEOPLE: [&str; 3] = ["file_share", "thread_broadcast", "me_message"];

/// Slack's own voice, which also tells of reminders.
const SLACKBOT: &str = "USLACKBOT";

/// More files of one message are not described.
const MAX_FILES: usize = 20;

/// The message that an `event_callback` is about, if there is one.
pub(super) fn message(payload: Value) -> Option<Incoming> {
    let event = payload.get("event")?;
    let sender = text_at(event, "/user")?.to_owned();
    if !is_written_by_people(event) || sender == SLACKBOT || is_ours(&payload, &sender) {
        return None;
    }
    let text = text_at(event, "/text").unwrap_or_default().to_owned();
    let description = describe_files(event);
    // A link preview, or blocks only: refused, it would be sent three times more.
    if text.trim().is_empty() && description.is_none() {
        return None;
    }
    let provider_id = text_at(&payload, "/event_id").map(str::to_owned);
    let (says, sender) = (Says::Text(text), Some(sender));
    Some(Incoming { provider_id, says, description, sender, ..Incoming::of(payload) })
}

fn is_written_by_people(event: &Value) -> bool {
    let has = |name| event.get(name).is_some_and(|value| !value.is_null());
    let is_message = matches!(text_at(event, "/type"), Some("message" | "app_mention"));
    let is_plain = match event.get("subtype") {
        None | Some(Value::Null) => true,
        Some(subtype) => subtype.as_str().is_some_and(|name| WRITTEN_BY_PEOPLE.contains(&name)),
    };
    is_message && is_plain && !has("bot_id") && !has("bot_profile")
}

/// Whether `user` is who the app acts as.
fn is_ours(payload: &Value, user: &str) -> bool {
    let authorizations = payload.get("authorizations").and_then(Value::as_array);
    authorizations.into_iter().flatten().any(|of| text_at(of, "/user_id") == Some(user))
}

/// One line for each file, such as `[image/png] plan.png`.
fn describe_files(event: &Value) -> Option<String> {
    let describe = |file: &Value| {
        let kind = text_at(file, "/mimetype").unwrap_or("file");
        described(kind, text_at(file, "/name"))
    };
    let files = event.get("files")?.as_array()?;
    let lines: Vec<String> = files.iter().take(MAX_FILES).map(describe).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
