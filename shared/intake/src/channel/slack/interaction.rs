//! What a person did with a message: pressed a button, chose something, used a shortcut.
//!
//! What it says is what the person saw of it, where there is such a thing; a form that was filled
//! in is its payload, and the trigger says where to look.

use serde_json::Value;

use super::super::{Incoming, Says, text_at};

/// More actions of one interaction are not read. Slack sends one.
const MAX_ACTIONS: usize = 20;

/// The message that an interaction is; `None` for what no user did.
pub(super) fn message(payload: Value) -> Option<Incoming> {
    let owned = |pointer| text_at(&payload, pointer).map(str::to_owned);
    let sender = owned("/user/id")?;
    let said = match text_at(&payload, "/type") {
        Some("block_actions") => chosen(&payload),
        // A shortcut in the menu of a message, about which it is.
        Some("message_action") => owned("/message/text"),
        _ => None,
    };
    let says = said.filter(|text| !text.trim().is_empty()).map_or(Says::Payload, Says::Text);
    let provider_id = owned("/trigger_id");
    Some(Incoming { provider_id, says, sender: Some(sender), ..Incoming::of(payload) })
}

/// The labels of what was pressed or chosen, or the text that was entered.
fn chosen(payload: &Value) -> Option<String> {
    let label = |action: &Value| {
        let pointers = ["/selected_option/text/text", "/text/text", "/value"];
        pointers.into_iter().find_map(|pointer| text_at(action, pointer)).map(str::to_owned)
    };
    let actions = payload.get("actions")?.as_array()?;
    let labels: Vec<String> = actions.iter().take(MAX_ACTIONS).filter_map(label).collect();
    (!labels.is_empty()).then(|| labels.join("\n"))
}
