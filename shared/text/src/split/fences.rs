//! Fenced code in a text: where it is, and how it is closed and opened again at a cut.

use crate::units::utf16_len;

/// Longer runs of marks open no fence: nobody writes them, and they would eat up the chunks.
const MAX_MARK: usize = 16;
/// A longer word after the opening mark is not repeated.
const MAX_LANGUAGE: usize = 24;

/// One fenced block. Offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    /// Where the opening mark begins.
    pub(super) start: usize,
    /// Where the line after the opening one begins.
    pub(super) body: usize,
    /// Where the closing mark begins; the end of the text if there is none.
    pub(super) close: usize,
    /// Where the closing mark ends; the end of the text if there is none.
    pub(super) end: usize,
    /// The length of all of it, in UTF-16 code units.
    pub(super) units: usize,
    mark: String,
    language: String,
}

impl Fence {
    /// Whether a chunk that ends at `at` ends inside of it.
    pub(super) fn is_cut_by(&self, at: usize) -> bool {
        self.start < at && at < self.end
    }

    /// What opens it again at the beginning of a chunk.
    pub(super) fn reopening(&self) -> String {
        format!("{}{}\n", self.mark, self.language)
    }

    /// What closes it at the end of a chunk.
    pub(super) fn closing(&self) -> String {
        format!("\n{}", self.mark)
    }
}

/// All fenced blocks of `text`, in order.
pub(super) fn find_all(text: &str) -> Vec<Fence> {
    let mut fences: Vec<Fence> = Vec::new();
    let mut open: Option<Fence> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        let start = at + (line.len() - line.trim_start().len());
        at += line.len();
        open = match open.take() {
            None => opened_by(content, start, at),
            Some(fence) if closes(content, &fence.mark) => {
                fences.push(Fence { close: start, end: start + content.len(), ..fence });
                None
            }
            still_open => still_open,
        };
    }
    fences.extend(open.map(|fence| Fence { close: text.len(), end: text.len(), ..fence }));
    for fence in &mut fences {
        fence.units = utf16_len(&text[fence.start..fence.end]);
    }
    fences
}

fn opened_by(line: &str, start: usize, body: usize) -> Option<Fence> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let info = line.trim_start_matches(mark);
    let length = line.len() - info.len();
    // A backtick after the mark: it is code within a line.
    if !(3..=MAX_MARK).contains(&length) || (mark == '`' && info.contains('`')) {
        return None;
    }
    let language = info.split_whitespace().next().filter(|word| word.len() <= MAX_LANGUAGE);
    Some(Fence {
        start,
        body,
        close: body,
        end: body,
        units: 0,
        mark: line[..length].to_owned(),
        language: language.unwrap_or_default().to_owned(),
    })
}

fn closes(line: &str, mark: &str) -> bool {
    line.starts_with(mark) && line.chars().all(|c| mark.starts_with(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_found_with_their_language() {
        let text = "a\n```rust x\nlet a;\n```\n``no``` \n  ~~~~\n~~~\n~~~~~\n```\nopen";
        let fences = find_all(text);
        let spans: Vec<&str> = fences.iter().map(|f| &text[f.start..f.end]).collect();
        assert_eq!(spans, ["```rust x\nlet a;\n```", "~~~~\n~~~\n~~~~~", "```\nopen"]);
        assert_eq!(fences[0].reopening(), "```rust\n");
        assert_eq!(fences[1].closing(), "\n~~~~");
        assert_eq!(&text[fences[0].body..fences[0].close], "let a;\n");
        assert_eq!(fences[2].close, text.len());
    }
}
