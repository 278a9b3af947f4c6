//! What a tool of an MCP server said, as text.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use super::McpAnswer;

/// The texts of `result`, a paragraph each, in at most `most` bytes: nothing is scrubbed yet, so
/// nothing is cut but the end, which whoever scrubs drops. What is no text is described in a line; if there is none at all, the structured content stands for it.
pub(super) fn of(result: &CallToolResult, most: usize) -> McpAnswer {
    let mut text = Capped::new(most);
    for block in &result.content {
        match block {
            ContentBlock::Text(block) => text.paragraph(&block.text),
            ContentBlock::Image(block) => text.paragraph(&binary(&block.mime_type, &block.data)),
            ContentBlock::Audio(block) => text.paragraph(&binary(&block.mime_type, &block.data)),
            ContentBlock::Resource(block) => resource(&mut text, &block.resource),
            ContentBlock::ResourceLink(link) => {
                text.paragraph(&format!("[{}: {}]", label(&link.name), label(&link.uri)));
            }
            _ => text.paragraph("[content of an unknown kind]"),
        }
    }
    if text.said.is_empty()
        && let Some(structured) = &result.structured_content
    {
        text.paragraph(&structured.to_string());
    }
    let is_error = result.is_error == Some(true);
    McpAnswer { text: text.said, is_error, truncated: text.truncated }
}

fn resource(text: &mut Capped, resource: &ResourceContents) {
    match resource {
        ResourceContents::TextResourceContents { text: content, .. } => text.paragraph(content),
        ResourceContents::BlobResourceContents { mime_type, blob, .. } => {
            let mime_type = mime_type.as_deref().unwrap_or("application/octet-stream");
            text.paragraph(&binary(mime_type, blob));
        }
        _ => text.paragraph("[a resource of an unknown kind]"),
    }
}

/// `[image/png, 1234 bytes]`. The size is that of what `base64` stands for.
fn binary(mime_type: &str, base64: &str) -> String {
    let n_digits = base64.trim_end_matches('=').len();
    format!("[{}, {} bytes]", label(mime_type), n_digits * 3 / 4)
}

/// A name on one line.
fn label(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).collect()
}

/// A text that grows up to a limit.
struct Capped {
    said: String,
    most: usize,
    truncated: bool,
}

impl Capped {
    fn new(most: usize) -> Self {
        Self { said: String::new(), most, truncated: false }
    }

    fn paragraph(&mut self, paragraph: &str) {
        if !self.said.is_empty() {
            self.push("\n\n");
        }
        self.push(paragraph);
    }

    /// Nothing follows what was cut.
    fn push(&mut self, text: &str) {
        if self.truncated {
            return;
        }
        let room = self.most - self.said.len();
        let end = text.floor_char_boundary(room);
        self.said.push_str(&text[..end]);
        self.truncated |= end < text.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn said(result: Value) -> McpAnswer {
        of(&serde_json::from_value(result).unwrap(), 10_000)
    }

    #[test]
    fn texts_are_paragraphs_and_the_rest_is_described() {
        let answer = said(json!({"content": [
            {"type": "text", "text": "two"},
            {"type": "image", "mimeType": "image/png", "data": "aGVsbG8="},
            {"type": "audio", "mimeType": "audio/wav\n", "data": "aGVsbG8h"},
            {"type": "resource", "resource": {"uri": "x:1", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "x:2", "blob": "AA=="}},
            {"type": "resource_link", "uri": "x:3", "name": "notes"},
        ]}));
        let expected = "two\n\n[image/png, 5 bytes]\n\n[audio/wav, 6 bytes]\n\ninside\n\n\
                        [application/octet-stream, 1 bytes]\n\n[notes: x:3]";
        assert_eq!(answer.text, expected);
        assert!(!answer.is_error && !answer.truncated);
    }

    #[test]
    fn a_name_is_not_cut_before_it_is_scrubbed() {
        let uri = format!("x:{}canary-12345", "y".repeat(195));
        let answer = said(json!({"content": [{"type": "resource_link", "uri": uri, "name": "n"}]}));
        assert_eq!(answer.text, format!("[n: {uri}]"));
    }

    #[test]
    fn structured_content_speaks_where_no_text_does() {
        let structured = json!({"content": [], "structuredContent": {"sum": 5}});
        assert_eq!(said(structured).text, r#"{"sum":5}"#);
        let both = json!({
            "content": [{"type": "text", "text": "five"}],
            "structuredContent": {"sum": 5},
            "isError": true,
        });
        let answer = said(both);
        assert_eq!(answer.text, "five");
        assert!(answer.is_error);
    }

    proptest! {
        #[test]
        fn no_answer_is_longer_than_it_may_be(
            texts in prop::collection::vec("\\PC{0,20}", 0..5),
            most in 0_usize..60,
        ) {
            let result = CallToolResult::success(texts.iter().map(ContentBlock::text).collect());
            let (answer, whole) = (of(&result, most), of(&result, 10_000));
            prop_assert!(answer.text.len() <= most);
            prop_assert!(whole.text.starts_with(&answer.text));
            prop_assert_eq!(answer.truncated, answer.text != whole.text);
        }
    }
}
