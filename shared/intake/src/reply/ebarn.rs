//! A list of messages (seed 000, "ERP Format Response").

use recado_text::split::paragraphs;
use serde::Serialize;

use super::ReplyShape;

#[derive(Serialize)]
struct Message {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// One entry a chunk or a paragraph, where that is asked for; otherwise one with all of the text.
pub(super) fn body(shape: &ReplyShape<'_>, text: &str) -> String {
    let at_most = if shape.adapter.split_messages { shape.max_messages() } else { 1 };
    let texts = match shape.split {
        Some(config) => shape.chunks(text, config),
        // No size is asked for, so nothing has to be cut off: the last one takes all that is left.
        None => paragraphs(text, at_most).into_iter().map(str::to_owned).collect(),
    };
    let messages: Vec<Message> =
        texts.into_iter().map(|message| Message { message, kind: "text" }).collect();
    serde_json::to_string(&messages).expect("texts are JSON")
}
