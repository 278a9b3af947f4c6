//! Slack's message.

use recado_text::units;
use serde::Serialize;

/// Slack truncates a longer text, wherever that happens to be (docs.slack.dev, "Truncating
/// content").
const MAX_TEXT: usize = 40_000;

#[derive(Serialize)]
struct Message<'t> {
    response_type: &'static str,
    text: &'t str,
}

/// A message that the whole channel sees, and that calls nobody: an agent can be talked into
/// writing `<!channel>`, which would notify everybody.
pub(super) fn body(text: &str) -> String {
    let text = text.replace("<!", "&lt;!");
    let cut = units::ellipsized(&text, MAX_TEXT);
    let message = Message { response_type: "in_channel", text: cut.as_deref().unwrap_or(&text) };
    serde_json::to_string(&message).expect("texts are JSON")
}
