//! Takes Markdown's marks out of a text and leaves what they were around.
//!
//! A real parser decides what is a mark, so `2 * 3 * 4`, `snake_case` and code stay as they are.
//! Bare URLs stay too, which `CommonMark` alone does not promise: in `https://x/_a_/` it would see
//! emphasis. Links become `text (url)`, bullets `- item`, the cells of a table `a | b`; line breaks
//! stay where they were, and so do blank lines between blocks.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::urls;

/// `text` without Markdown's marks.
pub fn strip(text: &str) -> String {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut plain = Plain::new(text);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        plain.take(event, range);
    }
    plain.text
}

/// The plain text so far, and where we are in the source.
struct Plain<'s> {
    source: &'s str,
    text: String,
    /// Up to where the source has been written down.
    written_to: usize,
    /// Whether what comes next begins a block, on a line of its own.
    block_begins: bool,
    /// The length of `text` right after the mark of an item: what comes next stands beside it.
    after_mark: Option<usize>,
    lists: Vec<List>,
    /// Where the texts of the links and images around us begin in `text`, and where they lead.
    links: Vec<(usize, String)>,
    /// How many cells the table's row has so far; `None` outside of tables.
    cells: Option<usize>,
    in_code: bool,
    urls: Vec<Range<usize>>,
}

struct List {
    /// The number of the next item; `None` for bullets.
    next: Option<u64>,
    /// How far the texts of its items are indented, once the first has begun.
    indent: usize,
}

impl<'s> Plain<'s> {
    fn new(source: &'s str) -> Self {
        Self {
            source,
            text: String::with_capacity(source.len()),
            written_to: 0,
            block_begins: false,
            after_mark: None,
            lists: Vec::new(),
            links: Vec::new(),
            cells: None,
            in_code: false,
            urls: urls::find_all(source),
        }
    }

    fn take(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, &range),
            Event::End(tag) => self.end(tag, &range),
            Event::Text(text) if self.in_code => self.write_lines(&text, &range),
            Event::Text(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.write(&text, &range);
            }
            Event::Code(code) => self.write(&code, &range),
            Event::Html(html) => self.write_lines(&html, &range),
            Event::InlineHtml(html) => self.inline_html(&html, &range),
            Event::FootnoteReference(label) => self.write(&format!("[^{label}]"), &range),
            Event::SoftBreak | Event::HardBreak => self.break_line(&range),
            Event::TaskListMarker(done) => self.write(if done { "[x] " } else { "[ ] " }, &range),
            Event::Rule => self.block_begins = true,
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: &Range<usize>) {
        match tag {
            Tag::List(next) => self.lists.push(List { next, indent: 0 }),
            Tag::Item => self.start_item(range.start),
            Tag::CodeBlock(_) => {
                self.block_begins = true;
                self.in_code = true;
            }
            Tag::TableHead | Tag::TableRow => {
                self.block_begins = true;
                self.begin(range.start);
                self.cells = Some(0);
            }
            Tag::TableCell => self.start_cell(range.start),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.begin(range.start);
                self.links.push((self.text.len(), dest_url.into_string()));
            }
            Tag::Emphasis => self.mark(range, 1, range.start),
            Tag::Strong => self.mark(range, 2, range.start),
            Tag::Strikethrough => self.mark(range, self.tildes(range), range.start),
            // Of the others only the text is left.
            _ => self.block_begins = true,
        }
    }

    fn end(&mut self, tag: TagEnd, range: &Range<usize>) {
        match tag {
            TagEnd::Item => {
                self.after_mark = None;
                self.block_begins = true;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.block_begins = true;
            }
            TagEnd::CodeBlock | TagEnd::HtmlBlock => self.end_lines(range),
            TagEnd::TableHead | TagEnd::TableRow => {
                self.cells = None;
                self.block_begins = true;
            }
            TagEnd::TableCell => {}
            TagEnd::Link | TagEnd::Image => self.end_link(range),
            TagEnd::Emphasis => self.mark(range, 1, range.end - 1),
            TagEnd::Strong => self.mark(range, 2, range.end - 2),
            TagEnd::Strikethrough => {
                let len = self.tildes(range);
                self.mark(range, len, range.end - len);
            }
            _ => self.block_begins = true,
        }
    }

    fn start_item(&mut self, at: usize) {
        let outer = self.lists.len().checked_sub(2).map_or(0, |outer| self.lists[outer].indent);
        self.block_begins = true;
        self.begin_indented(at, outer);
        let Some(list) = self.lists.last_mut() else { return };
        let mark = match &mut list.next {
            None => "- ".to_owned(),
            Some(number) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
        };
        list.indent = outer + mark.len();
        self.text.push_str(&mark);
        self.written_to = at;
        self.after_mark = Some(self.text.len());
    }

    fn start_cell(&mut self, at: usize) {
        let Some(cells) = &mut self.cells else { return };
        *cells += 1;
        if *cells > 1 {
            self.text.push_str(" | ");
        }
        self.written_to = at;
    }

    /// `text (url)`, or only one of them where the other is missing or the same.
    fn end_link(&mut self, range: &Range<usize>) {
        let Some((start, url)) = self.links.pop() else { return };
        let text = &self.text[start..];
        if text.is_empty() {
            self.text.push_str(&url);
        } else if !url.is_empty() && !leads_where_it_says(text, &url) {
            self.text.extend([" (", &url, ")"]);
        }
        self.written_to = range.end;
    }

    /// The marks of emphasis are dropped, unless the parser saw them inside a bare URL.
    fn mark(&mut self, around: &Range<usize>, len: usize, at: usize) {
        if self.is_in_url(around.start) || self.is_in_url(around.end - len) {
            let mark = at..at + len;
            self.write(&self.source[mark.clone()], &mark);
        }
    }

    fn tildes(&self, range: &Range<usize>) -> usize {
        if self.source[range.clone()].starts_with("~~") { 2 } else { 1 }
    }

    fn is_in_url(&self, at: usize) -> bool {
        let next = self.urls.partition_point(|url| url.end <= at);
        self.urls.get(next).is_some_and(|url| url.start < at)
    }

    fn inline_html(&mut self, html: &str, range: &Range<usize>) {
        let name = html.trim_matches(['<', '>', '/', ' ']);
        let is_break = name.eq_ignore_ascii_case("br");
        match is_break {
            true if self.cells.is_some() => self.write(" ", range),
            true if self.source[range.end..].starts_with(['\n', '\r']) => {}
            true => self.break_line(range),
            false => self.write(html, range),
        }
    }

    fn write(&mut self, text: &str, range: &Range<usize>) {
        self.begin(range.start);
        self.text.push_str(text);
        self.written_to = range.end;
    }

    fn break_line(&mut self, range: &Range<usize>) {
        self.write("\n", range);
        self.indent(self.current_indent());
    }

    /// Writes lines that keep their own indentation inside of ours.
    fn write_lines(&mut self, text: &str, range: &Range<usize>) {
        self.begin(range.start);
        for line in text.split_inclusive('\n') {
            if self.text.ends_with('\n') && !line.trim().is_empty() {
                self.indent(self.current_indent());
            }
            self.text.push_str(line);
        }
        self.written_to = range.end;
    }

    /// The line break at the end of a block of lines is its end, not its content.
    fn end_lines(&mut self, range: &Range<usize>) {
        if !self.block_begins {
            self.text.truncate(self.text.trim_end_matches('\n').len());
        }
        self.written_to = self.source[..range.end].trim_end().len();
        self.in_code = false;
        self.block_begins = true;
    }

    fn begin(&mut self, at: usize) {
        self.begin_indented(at, self.current_indent());
    }

    /// Begins a block with what was read at `at`, if one is due.
    fn begin_indented(&mut self, at: usize, indent: usize) {
        if !std::mem::take(&mut self.block_begins) || self.after_mark == Some(self.text.len()) {
            return;
        }
        if self.text.is_empty() {
            return;
        }
        self.text.push('\n');
        if self.source.get(self.written_to..at).is_some_and(has_blank_line) {
            self.text.push('\n');
        }
        self.indent(indent);
    }

    fn current_indent(&self) -> usize {
        self.lists.last().map_or(0, |list| list.indent)
    }

    fn indent(&mut self, by: usize) {
        self.text.extend(std::iter::repeat_n(' ', by));
    }
}

/// Whether a whole line in it is blank, inside quotes too.
fn has_blank_line(gap: &str) -> bool {
    let mut lines = gap.split('\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let is_whole = lines.peek().is_some();
        if is_whole && line.trim_matches(|c: char| c.is_whitespace() || c == '>').is_empty() {
            return true;
        }
    }
    false
}

fn leads_where_it_says(text: &str, url: &str) -> bool {
    let url = url.strip_prefix("mailto:").unwrap_or(url);
    text.trim_end_matches('/') == url.trim_end_matches('/')
}

#[cfg(test)]
mod tests;
