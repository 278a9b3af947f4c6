//! What a message of `WhatsApp` says, by its `type`.

use serde_json::Value;

use super::super::{Says, described, text_at};

/// More contacts of one message are not described.
const MAX_CONTACTS: usize = 10;

/// The longest name of a type that is shown.
const MAX_TYPE: usize = 32;

/// A text, and what stands in for it where there is none.
pub(super) struct Content {
    pub(super) says: Says,
    pub(super) description: Option<String>,
}

/// What `message` says; `None` if it says nothing to anybody: a reaction, or a word from `WhatsApp`
/// itself. A type that we do not know is at least described, so that the person gets an answer.
pub(super) fn of(message: &Value) -> Option<Content> {
    let kind = text_at(message, "/type")?;
    let text = |pointer: &str| text_at(message, pointer).map(str::to_owned);
    let (said, description) = match kind {
        "reaction" | "system" | "request_welcome" => return None,
        "text" => (text("/text/body"), None),
        "button" => (text("/button/text"), None),
        "interactive" => (interaction(message), None),
        "image" | "video" | "document" | "audio" | "sticker" => {
            let media = message.get(kind)?;
            (text_at(media, "/caption").map(str::to_owned), Some(describe_media(kind, media)))
        }
        "location" => (None, Some(describe_location(message.get(kind)?))),
        "contacts" => (None, Some(describe_contacts(message.get(kind)?))),
        other if other.len() > MAX_TYPE => return None,
        other => (None, Some(described(other, None))),
    };
    Some(Content { says: Says::Text(said.unwrap_or_default()), description })
}

/// What was chosen of buttons or a list, or the text of a form that was sent.
fn interaction(message: &Value) -> Option<String> {
    let pointers = [
        "/interactive/button_reply/title",
        "/interactive/list_reply/title",
        "/interactive/nfm_reply/body",
    ];
    pointers.into_iter().find_map(|pointer| text_at(message, pointer)).map(str::to_owned)
}

/// `[image/jpeg] media:1003383421387256`, and a document's name. The file itself has to be fetched
/// from Meta by the id.
fn describe_media(kind: &str, media: &Value) -> String {
    let id = text_at(media, "/id").map(|id| format!("media:{id}"));
    let name = text_at(media, "/filename").map(str::to_owned);
    let what: Vec<String> = id.into_iter().chain(name).collect();
    let what = (!what.is_empty()).then(|| what.join(" "));
    described(text_at(media, "/mime_type").unwrap_or(kind), what.as_deref())
}

/// `[location] -23.5614,-46.6559 MASP, Av. Paulista 1578`.
fn describe_location(location: &Value) -> String {
    let degrees = |name| location.get(name).filter(|value| value.is_number()).map(Value::to_string);
    let point = degrees("latitude").zip(degrees("longitude"));
    let point = point.map(|(latitude, longitude)| format!("{latitude},{longitude}"));
    let place: Vec<&str> =
        ["/name", "/address"].into_iter().filter_map(|part| text_at(location, part)).collect();
    let place = (!place.is_empty()).then(|| place.join(", "));
    let what: Vec<String> = point.into_iter().chain(place).collect();
    described("location", (!what.is_empty()).then(|| what.join(" ")).as_deref())
}

/// One line for each: `[contact] Ana Souza +55 11 91234-5678`.
fn describe_contacts(contacts: &Value) -> String {
    let describe = |contact: &Value| {
        let parts = ["/name/formatted_name", "/phones/0/phone"];
        let parts: Vec<&str> =
            parts.into_iter().filter_map(|part| text_at(contact, part)).collect();
        described("contact", (!parts.is_empty()).then(|| parts.join(" ")).as_deref())
    };
    let contacts = contacts.as_array().map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<String> = contacts.iter().take(MAX_CONTACTS).map(describe).collect();
    if lines.is_empty() { described("contacts", None) } else { lines.join("\n") }
}
