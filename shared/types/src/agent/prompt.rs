//! What an agent is told of itself, with what it may know of whom it talks to.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::hidden;
use crate::template::{Template, TemplateError, text_of};
use crate::trigger::ContextField;

/// The longest prompt, in bytes.
const MAX_PROMPT: usize = 100_000;
/// The most placeholders, and the most of a value that is put in place of one, in characters: a
/// template may name a large value many times.
const MAX_PLACEHOLDERS: usize = 100;
const MAX_VALUE: usize = 4_096;

/// A system prompt with `{{field}}` for visible fields of the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptTemplate {
    text: String,
    template: Template,
}

/// Why a prompt is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// Over 100,000 bytes.
    #[error("must have at most {MAX_PROMPT} bytes")]
    TooLong,
    /// Not a template.
    #[error(transparent)]
    Template(TemplateError),
    /// A field that no model may see.
    #[error("must not use `{{{{{0}}}}}`: no model is shown the context field `{0}`")]
    Hidden(String),
    /// Over 100.
    #[error("must have at most {MAX_PLACEHOLDERS} placeholders")]
    TooMany,
    /// U+0000, which the database does not take.
    #[error("must not contain U+0000")]
    Nul,
}

impl FromStr for PromptTemplate {
    type Err = PromptError;

    fn from_str(text: &str) -> Result<Self, PromptError> {
        if text.len() > MAX_PROMPT {
            return Err(PromptError::TooLong);
        }
        if text.contains('\0') {
            return Err(PromptError::Nul);
        }
        let template = Template::parse_within(text, MAX_PROMPT).map_err(PromptError::Template)?;
        if template.placeholders().count() > MAX_PLACEHOLDERS {
            return Err(PromptError::TooMany);
        }
        let hidden = template.placeholders().find(|name| !ContextField::is_visible(name));
        match hidden.map(str::to_owned) {
            Some(name) => Err(PromptError::Hidden(name)),
            None => Ok(Self { text: text.to_owned(), template }),
        }
    }
}

impl PromptTemplate {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Fills the placeholders, once: what a value contains is never read as a template. Hidden
    /// fields, and hidden names within a field, are as if they were not there; what is not there is
    /// nothing. A value is one line, so that it cannot look like another part of the prompt, and is
    /// cut at 4,096 characters.
    pub fn render(&self, context: &Map<String, Value>) -> String {
        self.template.render_each(|name| {
            let value = context.get(name).filter(|_| ContextField::is_visible(name));
            value.map(one_line).unwrap_or_default()
        })
    }
}

impl fmt::Display for PromptTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A value of the context as a model sees it: without hidden names, on one line, not endless.
fn one_line(value: &Value) -> String {
    let text = text_of(&hidden::without_hidden_names(value));
    let flat = text.chars().map(|c| if is_break(c) { ' ' } else { c });
    flat.take(MAX_VALUE).collect()
}

fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
