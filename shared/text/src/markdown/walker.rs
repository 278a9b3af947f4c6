//! Goes through what the parser found, and writes down what is left without the marks.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::source::{FENCE, has_blank_line, holds_fence, leads_where_it_says};
use super::styles::{Page, Stretches};
use crate::literals;

/// Lists that nest deeper are not indented any further.
pub(super) const MAX_INDENT: usize = 24;

/// What becomes of blocks of code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Their lines are left.
    Bare,
    /// They stand between fences without a language.
    Fenced,
}

/// Takes the marks out of `text`.
pub(super) fn walk(text: &str, code: Code) -> Page {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let mut walker = Walker::new(text, code);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        walker.take(event, range);
    }
    walker.page
}

/// The page so far, and where we are in the source.
struct Walker<'s> {
    source: &'s str,
    code: Code,
    page: Page,
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
    block: Option<Block>,
    /// Where nothing is a mark.
    literals: Vec<Range<usize>>,
}

/// The block of code around us.
#[derive(Clone, Copy)]
struct Block {
    /// The length of the text before anything of it was written.
    before: usize,
    /// Where its first line begins, fence or not.
    start: usize,
    /// Where its code begins.
    content: usize,
    is_fenced: bool,
}

struct List {
    /// The number of the next item; `None` for bullets.
    next: Option<u64>,
    /// How far the texts of its items are indented, once the first has begun.
    indent: usize,
}

impl<'s> Walker<'s> {
    fn new(source: &'s str, code: Code) -> Self {
        Self {
            source,
            code,
            page: Page { text: String::with_capacity(source.len()), ..Page::default() },
            written_to: 0,
            block_begins: false,
            after_mark: None,
            lists: Vec::new(),
            links: Vec::new(),
            cells: None,
            block: None,
            literals: literals::find_all(source),
        }
    }

    fn take(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, &range),
            Event::End(tag) => self.end(tag, &range),
            Event::Text(text) if self.block.is_some() => self.write_lines(&text, &range),
            Event::Text(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.write(&text, &range);
            }
            Event::Code(code) => {
                self.write(&code, &range);
                let end = self.page.text.len();
                self.page.styles.code.push(end - code.len()..end);
            }
            Event::Html(html) => self.write_lines(&html, &range),
            Event::InlineHtml(html) => self.inline_html(&html, &range),
            Event::FootnoteReference(label) => self.write(&format!("[{label}]"), &range),
            Event::SoftBreak | Event::HardBreak => self.break_line(&range),
            Event::TaskListMarker(done) => self.write(if done { "[x] " } else { "[ ] " }, &range),
            Event::Rule => self.block_begins = true,
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: &Range<usize>) {
        match tag {
            Tag::List(next) => self.lists.push(List { next, indent: 0 }),
            Tag::Item => self.start_item(range.start),
            Tag::CodeBlock(kind) => self.start_code(&kind, range),
            Tag::TableHead | Tag::TableRow => {
                self.block_begins = true;
                self.begin(range.start);
                self.cells = Some(0);
            }
            Tag::TableCell => self.start_cell(range.start),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.begin(range.start);
                self.links.push((self.page.text.len(), dest_url.into_string()));
            }
            Tag::Emphasis | Tag::Strong | Tag::Strikethrough => self.start_emphasis(&tag, range),
            Tag::FootnoteDefinition(label) => {
                self.block_begins = true;
                self.write(&format!("[{label}] "), &(range.start..range.start));
                self.after_mark = Some(self.page.text.len());
            }
            Tag::Heading { .. } => {
                self.block_begins = true;
                self.page.styles.bold.open(self.page.text.len());
            }
            Tag::BlockQuote(_) => {
                self.block_begins = true;
                if self.lists.is_empty() {
                    self.page.styles.quoted.open(self.page.text.len());
                }
            }
            // Of the others only the text is left.
            _ => self.block_begins = true,
        }
    }

    fn end(&mut self, tag: TagEnd, range: &Range<usize>) {
        match tag {
            TagEnd::Item | TagEnd::FootnoteDefinition => {
                self.after_mark = None;
                self.block_begins = true;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.block_begins = true;
            }
            TagEnd::CodeBlock => self.end_code(range),
            TagEnd::HtmlBlock => self.end_lines(range),
            TagEnd::TableHead | TagEnd::TableRow => {
                self.cells = None;
                self.block_begins = true;
            }
            TagEnd::TableCell => {}
            TagEnd::Link | TagEnd::Image => self.end_link(range),
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.end_emphasis(tag, range);
            }
            TagEnd::Heading(_) => {
                self.block_begins = true;
                self.page.styles.bold.close(self.page.text.len());
            }
            TagEnd::BlockQuote(_) => {
                self.block_begins = true;
                if self.lists.is_empty() {
                    self.page.styles.quoted.close(self.page.text.len());
                }
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
        list.indent = (outer + mark.len()).min(MAX_INDENT);
        self.page.text.push_str(&mark);
        self.written_to = at;
        self.after_mark = Some(self.page.text.len());
    }

    fn start_cell(&mut self, at: usize) {
        let Some(cells) = &mut self.cells else { return };
        *cells += 1;
        if *cells > 1 {
            self.page.text.push_str(" | ");
        }
        self.written_to = at;
    }

    /// `text (url)`, or only one of them where the other is missing or the same.
    fn end_link(&mut self, range: &Range<usize>) {
        let Some((start, url)) = self.links.pop() else { return };
        let text = &self.page.text[start..];
        if text.is_empty() {
            self.page.text.push_str(&url);
        } else if !url.is_empty() && !leads_where_it_says(text, &url) {
            self.page.text.extend([" (", &url, ")"]);
        }
        self.written_to = range.end;
    }

    fn start_emphasis(&mut self, tag: &Tag<'_>, range: &Range<usize>) {
        let len = self.mark_len(tag.to_end(), range);
        if self.is_no_emphasis(range, len) {
            let mark = range.start..range.start + len;
            self.write(&self.source[mark.clone()], &mark);
            return;
        }
        let at = self.page.text.len();
        self.stretches(tag.to_end()).open(at);
    }

    fn end_emphasis(&mut self, tag: TagEnd, range: &Range<usize>) {
        let len = self.mark_len(tag, range);
        if self.is_no_emphasis(range, len) {
            let mark = range.end - len..range.end;
            self.write(&self.source[mark.clone()], &mark);
            return;
        }
        let at = self.page.text.len();
        self.stretches(tag).close(at);
    }

    fn stretches(&mut self, tag: TagEnd) -> &mut Stretches {
        let styles = &mut self.page.styles;
        match tag {
            TagEnd::Strong => &mut styles.bold,
            TagEnd::Strikethrough => &mut styles.struck,
            _ => &mut styles.italic,
        }
    }

    fn mark_len(&self, tag: TagEnd, range: &Range<usize>) -> usize {
        match tag {
            TagEnd::Strong => 2,
            TagEnd::Strikethrough if self.source[range.clone()].starts_with("~~") => 2,
            _ => 1,
        }
    }

    /// Whether what the parser took for emphasis is part of a bare URL or an identifier, or a sum.
    fn is_no_emphasis(&self, around: &Range<usize>, len: usize) -> bool {
        self.is_in_literal(around.start)
            || self.is_in_literal(around.end - len)
            || self.is_sum(around.start, len)
    }

    /// Whether the asterisks at `at` stand as in `2*3`, `a*b` or `2**3`: between letters or digits,
    /// or if there are two of them between digits, since `un**believ**able` is no sum.
    fn is_sum(&self, at: usize, len: usize) -> bool {
        // Longer runs are no sums.
        const MOST: usize = 8;
        let source = self.source.as_bytes();
        let is_operand = if len == 1 { u8::is_ascii_alphanumeric } else { u8::is_ascii_digit };
        let is_beside = |byte: Option<&u8>| byte.is_some_and(is_operand);
        source[at] == b'*'
            && is_beside(source[..at].iter().rev().take(MOST).find(|byte| **byte != b'*'))
            && is_beside(source[at..].iter().take(MOST).find(|byte| **byte != b'*'))
    }

    fn is_in_literal(&self, at: usize) -> bool {
        let next = self.literals.partition_point(|literal| literal.end <= at);
        self.literals.get(next).is_some_and(|literal| literal.start <= at)
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
        self.page.text.push_str(text);
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
            if self.page.text.ends_with('\n') && !line.trim().is_empty() {
                self.indent(self.current_indent());
            }
            self.page.text.push_str(line);
        }
        self.written_to = range.end;
    }

    fn start_code(&mut self, kind: &CodeBlockKind<'_>, range: &Range<usize>) {
        let before = self.page.text.len();
        self.block_begins = true;
        let is_fenced =
            self.code == Code::Fenced && !holds_fence(&self.source[range.clone()], kind);
        if is_fenced {
            self.begin(range.start);
            self.page.text.extend([FENCE, "\n"]);
        }
        let content = self.page.text.len();
        let start = if is_fenced { content - FENCE.len() - 1 } else { before };
        self.block = Some(Block { before, start, content, is_fenced });
    }

    fn end_code(&mut self, range: &Range<usize>) {
        let Some(block) = self.block.take() else { return };
        let is_empty = self.page.text.len() == block.content;
        self.end_lines(range);
        if !block.is_fenced {
            self.page.styles.blocks.push(block.start..self.page.text.len());
        } else if is_empty {
            self.page.text.truncate(block.before);
        } else {
            self.page.text.push('\n');
            self.indent(self.current_indent());
            self.page.text.push_str(FENCE);
            self.page.styles.blocks.push(block.start..self.page.text.len());
        }
    }

    /// The line break at the end of a block of lines is its end, not its content.
    fn end_lines(&mut self, range: &Range<usize>) {
        if !self.block_begins {
            self.page.text.truncate(self.page.text.trim_end_matches('\n').len());
        }
        self.written_to = self.source[..range.end].trim_end().len();
        self.block_begins = true;
    }

    fn begin(&mut self, at: usize) {
        self.begin_indented(at, self.current_indent());
    }

    /// Begins a block with what was read at `at`, if one is due.
    fn begin_indented(&mut self, at: usize, indent: usize) {
        if !std::mem::take(&mut self.block_begins) || self.after_mark == Some(self.page.text.len())
        {
            return;
        }
        if self.page.text.is_empty() {
            return;
        }
        self.page.text.push('\n');
        if self.source.get(self.written_to..at).is_some_and(has_blank_line) {
            self.page.text.push('\n');
        }
        self.indent(indent);
    }

    fn current_indent(&self) -> usize {
        self.lists.last().map_or(0, |list| list.indent)
    }

    fn indent(&mut self, by: usize) {
        self.page.text.extend(std::iter::repeat_n(' ', by));
    }
}
