//! TwiML: messages for Twilio to send.

use recado_types::trigger::{ChunkStrategy, SplitConfig};

use super::ReplyShape;

/// The most UTF-16 code units of a `<Message>`: Twilio sends none of a longer one (error 21617).
const MAX_MESSAGE: u32 = 1_600;

/// As many messages as the text needs, none if it is blank.
pub(super) fn body(shape: &ReplyShape<'_>, text: &str) -> String {
    // Before it is cut, or a message might be left without a text.
    let text: String = text.chars().filter(|c| is_allowed(*c)).collect();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>");
    for message in shape.chunks(&text, &sizes(shape.split)) {
        xml.push_str("<Message>");
        escape_onto(&mut xml, &message);
        xml.push_str("</Message>");
    }
    xml.push_str("</Response>");
    xml
}

/// What is configured, within Twilio's limit.
fn sizes(configured: Option<&SplitConfig>) -> SplitConfig {
    match configured {
        Some(config) => {
            SplitConfig { max_chunk_size: config.max_chunk_size.min(MAX_MESSAGE), ..*config }
        }
        None => SplitConfig {
            max_chunk_size: MAX_MESSAGE,
            max_chunks: u32::MAX,
            strategy: ChunkStrategy::Paragraph,
            numbering: false,
            inter_chunk_delay_ms: 0,
        },
    }
}

/// What XML 1.0 lets a document contain (section 2.2, `Char`), escaped or not.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn escape_onto(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            // Unescaped, a reader of XML takes it for a line feed.
            '\r' => xml.push_str("&#13;"),
            _ => xml.push(c),
        }
    }
}
