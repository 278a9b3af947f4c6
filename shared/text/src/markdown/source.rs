//! What the parser does not tell about the source.

use pulldown_cmark::CodeBlockKind;

pub(super) const FENCE: &str = "```";

/// Whether a whole line in it is blank, inside quotes too.
pub(super) fn has_blank_line(gap: &str) -> bool {
    let mut lines = gap.split('\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let is_whole = lines.peek().is_some();
        if is_whole && line.trim_matches(|c: char| c.is_whitespace() || c == '>').is_empty() {
            return true;
        }
    }
    false
}

pub(super) fn leads_where_it_says(text: &str, url: &str) -> bool {
    let url = url.strip_prefix("mailto:").unwrap_or(url);
    text.trim_end_matches('/') == url.trim_end_matches('/')
}

/// Whether fences around the block of code in `source` would be closed by what is in it.
pub(super) fn holds_fence(source: &str, kind: &CodeBlockKind<'_>) -> bool {
    let first = match kind {
        CodeBlockKind::Fenced(_) => source.find('\n').unwrap_or(source.len()),
        CodeBlockKind::Indented => 0,
    };
    let last = match kind {
        CodeBlockKind::Fenced(_) => source.trim_end().rfind('\n').unwrap_or(0),
        CodeBlockKind::Indented => source.len(),
    };
    first < last && source[first..last].contains(FENCE)
}
