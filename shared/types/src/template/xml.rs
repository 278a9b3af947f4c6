//! XML with placeholders.
//!
//! A [`XmlTemplate`] is checked when it is parsed: with its placeholders filled in it is
//! well-formed, and each of them stands in an element's text or in an attribute's value. Those are
//! the two places that one kind of escaping keeps every value inside of, so no value can change the
//! document around it. There are no document type declarations and no entities but the five of
//! XML: a receiver's parser is not asked to do anything but parse.

use std::borrow::Cow;

use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Error as XmlError, Reader};

use super::{MissingValue, Template, TemplateError, Values};

/// An XML document with placeholders, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmlTemplate(Template);

/// Why a document is refused.
#[derive(Debug, thiserror::Error)]
pub enum XmlTemplateError {
    /// It is no template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It is not well-formed.
    #[error("is not well-formed XML at byte {at}: {reason}")]
    Malformed {
        /// Where, in the document with one character for each placeholder.
        at: u64,
        /// The mistake.
        reason: Malformed,
    },
    /// A placeholder that a value could break out of.
    #[error(
        "placeholders may stand in the text of an element and in the value of an attribute only"
    )]
    Misplaced,
}

/// What is wrong with a document.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// What the parser says.
    #[error(transparent)]
    Syntax(#[from] XmlError),
    /// What is wrong in a start tag.
    #[error(transparent)]
    Attribute(#[from] quick_xml::events::attributes::AttrError),
    /// What is wrong with a reference in an attribute.
    #[error(transparent)]
    Escape(#[from] quick_xml::escape::EscapeError),
    /// A reference to something that nobody has declared.
    #[error("the entity is unknown: there are `amp`, `lt`, `gt`, `quot` and `apos`")]
    UnknownEntity,
    /// A character that XML 1.0 does not have.
    #[error("a character is none that XML 1.0 has")]
    Character,
    /// The name of an element or attribute.
    #[error("the name of an element or attribute is none that XML has")]
    Name,
    /// `<` in an attribute, `]]>` in a text.
    #[error("a mark has to be escaped where it stands")]
    Unescaped,
    /// A DOCTYPE or a processing instruction.
    #[error("document type declarations and processing instructions are not taken")]
    NotTaken,
    /// The declaration is not in front.
    #[error("the XML declaration must come first")]
    LateDeclaration,
    /// Another encoding than that of the request.
    #[error("the encoding must be UTF-8")]
    Encoding,
    /// Text, or a second element, beside the only one.
    #[error("a document is exactly one element")]
    Roots,
    /// An element that is not closed.
    #[error("an element is not closed")]
    Unclosed,
}

impl XmlTemplate {
    /// Parses and checks `text`.
    pub fn parse(text: &str) -> Result<Self, XmlTemplateError> {
        let template = Template::parse(text)?;
        let marker = unused_character(text);
        let filled = template.render_each(|_name| marker.to_string());
        let placed = Check::new(&filled, marker).run()?;
        if placed != template.placeholders().count() {
            return Err(XmlTemplateError::Misplaced);
        }
        Ok(Self(template))
    }

    /// The names of its placeholders, in order, repeated where they repeat.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.0.placeholders()
    }

    /// Fills the placeholders: each value is a text, from which characters that XML 1.0 does not
    /// have are left out.
    pub fn render(&self, values: &impl Values) -> Result<String, MissingValue> {
        self.0.render_with(values, |value| Cow::Owned(escaped(value)))
    }
}

/// A character for private use that the template does not have itself: no name of an element can
/// have it either, so a placeholder in a tag is found.
fn unused_character(text: &str) -> char {
    let mut private = '\u{E000}'..='\u{F8FF}';
    private.find(|&c| !text.contains(c)).expect("a template is shorter than 6,400 such characters")
}

/// A value for a text or an attribute alike. White space but the plain space is a reference:
/// parsers make a space of it in attributes, and a line feed of a carriage return everywhere.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + value.len() / 8);
    for c in value.chars().filter(|&c| is_xml_char(c)) {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&apos;"),
            '\t' => text.push_str("&#9;"),
            '\n' => text.push_str("&#10;"),
            '\r' => text.push_str("&#13;"),
            plain => text.push(plain),
        }
    }
    text
}

/// `Char` of XML 1.0.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Reads a whole document, looking for mistakes and counting `marker`.
struct Check<'x> {
    reader: Reader<&'x [u8]>,
    text: &'x str,
    marker: char,
    depth: usize,
    roots: usize,
    placed: usize,
}

impl<'x> Check<'x> {
    fn new(text: &'x str, marker: char) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().enable_all_checks(true);
        Self { reader, text, marker, depth: 0, roots: 0, placed: 0 }
    }

    /// How often the marker stands where a placeholder may.
    fn run(mut self) -> Result<usize, XmlTemplateError> {
        let judged = self.read_all();
        let at = self.reader.buffer_position();
        judged.map_err(|reason| XmlTemplateError::Malformed { at, reason })?;
        Ok(self.placed)
    }

    fn read_all(&mut self) -> Result<(), Malformed> {
        if !self.text.chars().all(is_xml_char) {
            return Err(Malformed::Character);
        }
        let mut is_first = true;
        loop {
            match self.reader.read_event()? {
                Event::Start(tag) => {
                    self.open(&tag)?;
                    self.depth += 1;
                }
                Event::Empty(tag) => self.open(&tag)?,
                // That it is the right one was checked by the reader.
                Event::End(_) => self.depth -= 1,
                Event::Text(text) => self.text(&text.into_inner())?,
                Event::GeneralRef(reference) => self.reference(&reference)?,
                Event::CData(_) if self.depth == 0 => return Err(Malformed::Roots),
                Event::CData(_) | Event::Comment(_) => {}
                Event::Decl(declaration) => {
                    if !is_first {
                        return Err(Malformed::LateDeclaration);
                    }
                    declaration.version()?;
                    if let Some(encoding) = declaration.encoding()
                        && !encoding?.eq_ignore_ascii_case("utf-8")
                    {
                        return Err(Malformed::Encoding);
                    }
                }
                Event::PI(_) | Event::DocType(_) => return Err(Malformed::NotTaken),
                Event::Eof if self.depth > 0 => return Err(Malformed::Unclosed),
                Event::Eof if self.roots != 1 => return Err(Malformed::Roots),
                Event::Eof => return Ok(()),
            }
            is_first = false;
        }
    }

    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), Malformed> {
        if self.depth == 0 {
            self.roots += 1;
        }
        if !is_name(tag.name().as_ref()) {
            return Err(Malformed::Name);
        }
        for attribute in tag.attributes() {
            let attribute = attribute?;
            if !is_name(attribute.key.as_ref()) {
                return Err(Malformed::Name);
            }
            if attribute.value.contains('<') {
                return Err(Malformed::Unescaped);
            }
            let value = unescape(&attribute.value)?;
            if !value.chars().all(is_xml_char) {
                return Err(Malformed::Character);
            }
            self.count(&attribute.value);
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Malformed> {
        if text.contains("]]>") {
            return Err(Malformed::Unescaped);
        }
        if self.depth == 0 && !text.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
            return Err(Malformed::Roots);
        }
        self.count(text);
        Ok(())
    }

    fn reference(&self, reference: &BytesRef<'_>) -> Result<(), Malformed> {
        if self.depth == 0 {
            return Err(Malformed::Roots);
        }
        match reference.resolve_char_ref()? {
            Some(c) if is_xml_char(c) => Ok(()),
            Some(_) => Err(Malformed::Character),
            None if resolve_xml_entity(reference).is_some() => Ok(()),
            None => Err(Malformed::UnknownEntity),
        }
    }

    fn count(&mut self, text: &str) {
        self.placed += text.matches(self.marker).count();
    }
}

/// `Name` of XML 1.0.
fn is_name(name: &str) -> bool {
    let mut rest = name.chars();
    rest.next().is_some_and(starts_name) && rest.all(continues_name)
}

fn starts_name(c: char) -> bool {
    matches!(c, ':' | '_' | 'A'..='Z' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}'
        | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}'
        | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

fn continues_name(c: char) -> bool {
    starts_name(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}'
            | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
mod tests;
