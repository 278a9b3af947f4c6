//! Texts with `${context.field}`, and with `{{argument}}` where the model has a say.
//!
//! Values are put in once: what a value contains is never read as a template again.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::template::text_of;

/// The longest template and the longest name in it, in bytes.
const MAX_TEMPLATE: usize = 4_096;
const MAX_NAME: usize = 128;
/// The largest filled text, in bytes.
const MAX_FILLED: usize = 16_384;

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    /// `${context.field}`.
    Context(String),
    /// `{{argument}}`.
    Argument(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Hole(Hole),
}

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolTemplateError {
    /// Over 4,096 bytes.
    #[error("must have at most {MAX_TEMPLATE} bytes")]
    TooLong,
    /// `${` or `{{` without its end.
    #[error("has a `{0}` that is not closed")]
    Unclosed(&'static str),
    /// Something else than `context.<name>` between `${` and `}`.
    #[error("`${{{0}}}` is not a placeholder: write `${{context.<field>}}`")]
    NotContext(String),
    /// Something else than a name between `{{` and `}}`.
    #[error("`{{{{{0}}}}}` is not a placeholder: a name has letters, digits, `_`, `-` and `.`")]
    BadName(String),
    /// `{{argument}}` where the model has no say.
    #[error("`{{{{{0}}}}}` cannot stand here: only `${{context.<field>}}` can")]
    NoArguments(String),
    /// A line break or another control character.
    #[error("must not contain control characters")]
    Control,
}

/// Why a template cannot be filled. Shows names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The context does not have the field, or `null` for it.
    #[error("the context has no value for `{0}`")]
    MissingContext(String),
    /// The call does not have the argument, or `null` for it.
    #[error("the argument `{0}` is missing")]
    MissingArgument(String),
    /// A value would lead out of its place in the URL.
    #[error("the value of `{0}` cannot stand in the URL's path: it is empty, `.` or `..` there")]
    Segment(String),
    /// A value is no host.
    #[error("the value of `{0}` cannot name the host of a URL")]
    Host(String),
    /// A line break or another control character in a value.
    #[error("the value of `{0}` contains a control character")]
    Control(String),
    /// Over the limit for its place.
    #[error("the filled text is too long: at most {0} bytes")]
    TooLong(usize),
    /// Filled in, the URL is none.
    #[error("the filled-in URL is malformed")]
    Malformed(#[source] url::ParseError),
    /// Filled in, the URL is none that requests go to.
    #[error("the filled-in URL is not a plain http or https URL")]
    NotPlain,
}

impl Hole {
    /// Its name, for errors.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Context(name) | Self::Argument(name) => name,
        }
    }

    /// The text that takes its place.
    pub(super) fn fill(
        &self,
        context: &Map<String, Value>,
        arguments: &Map<String, Value>,
    ) -> Result<String, RenderError> {
        let (values, missing): (_, fn(String) -> RenderError) = match self {
            Self::Context(_) => (context, RenderError::MissingContext),
            Self::Argument(_) => (arguments, RenderError::MissingArgument),
        };
        let value = values.get(self.name()).filter(|value| !value.is_null());
        value.map(text_of).ok_or_else(|| missing(self.name().to_owned()))
    }
}

/// Takes a template apart.
pub(super) fn parts_of(text: &str) -> Result<Vec<Part>, ToolTemplateError> {
    if text.len() > MAX_TEMPLATE {
        return Err(ToolTemplateError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(ToolTemplateError::Control);
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((at, opening)) = next_opening(rest) {
        if at > 0 {
            parts.push(Part::Text(rest[..at].to_owned()));
        }
        let inner = &rest[at + opening.len()..];
        let of_context = opening == "${";
        let closing = if of_context { "}" } else { "}}" };
        let end = inner.find(closing).ok_or(ToolTemplateError::Unclosed(opening))?;
        let name = &inner[..end];
        let hole = if of_context { context_hole(name) } else { argument_hole(name) };
        parts.push(Part::Hole(hole?));
        rest = &inner[end + closing.len()..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

fn next_opening(text: &str) -> Option<(usize, &'static str)> {
    let openings = ["${", "{{"];
    openings.into_iter().filter_map(|opening| Some((text.find(opening)?, opening))).min()
}

fn context_hole(inner: &str) -> Result<Hole, ToolTemplateError> {
    let name = inner.trim().strip_prefix("context.").filter(|name| is_name(name));
    let name = name.ok_or_else(|| ToolTemplateError::NotContext(beginning_of(inner)))?;
    Ok(Hole::Context(name.to_owned()))
}

fn argument_hole(inner: &str) -> Result<Hole, ToolTemplateError> {
    let name = Some(inner.trim()).filter(|name| is_name(name));
    let name = name.ok_or_else(|| ToolTemplateError::BadName(beginning_of(inner)))?;
    Ok(Hole::Argument(name.to_owned()))
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(allowed)
}

fn beginning_of(inner: &str) -> String {
    inner.chars().take(64).collect()
}

pub(super) fn holes(parts: &[Part]) -> impl Iterator<Item = &Hole> {
    parts.iter().filter_map(|part| match part {
        Part::Hole(hole) => Some(hole),
        Part::Text(_) => None,
    })
}

/// Refuses `{{argument}}`: the model has no say in this text.
pub(super) fn refuse_arguments(parts: &[Part]) -> Result<(), ToolTemplateError> {
    match holes(parts).find(|hole| matches!(hole, Hole::Argument(_))) {
        Some(hole) => Err(ToolTemplateError::NoArguments(hole.name().to_owned())),
        None => Ok(()),
    }
}

/// Fills `parts`, passing each value through `judge`.
pub(super) fn fill(
    parts: &[Part],
    context: &Map<String, Value>,
    arguments: &Map<String, Value>,
    judge: impl Fn(&Hole, String) -> Result<String, RenderError>,
) -> Result<String, RenderError> {
    let mut filled = String::new();
    for part in parts {
        match part {
            Part::Text(literal) => filled.push_str(literal),
            Part::Hole(hole) => filled.push_str(&judge(hole, hole.fill(context, arguments)?)?),
        }
        if filled.len() > MAX_FILLED {
            return Err(RenderError::TooLong(MAX_FILLED));
        }
    }
    Ok(filled)
}

/// Lets a value without control characters through.
pub(super) fn one_line(hole: &Hole, value: String) -> Result<String, RenderError> {
    if value.chars().any(char::is_control) {
        return Err(RenderError::Control(hole.name().to_owned()));
    }
    Ok(value)
}

/// A text with `${context.field}`, on one line: the value of a header, for example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextTemplate {
    text: String,
    parts: Vec<Part>,
}

impl FromStr for ContextTemplate {
    type Err = ToolTemplateError;

    fn from_str(text: &str) -> Result<Self, ToolTemplateError> {
        let parts = parts_of(text)?;
        refuse_arguments(&parts)?;
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl ContextTemplate {
    /// Fills it, hidden fields included. Objects and arrays appear as JSON. What is not there, and
    /// a line break or another control character in a value, is an error.
    pub fn render(&self, context: &Map<String, Value>) -> Result<String, RenderError> {
        fill(&self.parts, context, &Map::new(), one_line)
    }
}

impl fmt::Display for ContextTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text with `${context.field}` and `{{argument}}`: the value of a query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgTemplate {
    text: String,
    parts: Vec<Part>,
}

impl FromStr for ArgTemplate {
    type Err = ToolTemplateError;

    fn from_str(text: &str) -> Result<Self, ToolTemplateError> {
        Ok(Self { text: text.to_owned(), parts: parts_of(text)? })
    }
}

impl ArgTemplate {
    /// The names of the arguments it uses.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        arguments_of(&self.parts)
    }

    /// Fills it; the result is not encoded and may have any characters. `None` if it uses an argument that the call does not
    /// have: then the parameter is left out. What the context does not have is an error.
    pub fn render(
        &self,
        context: &Map<String, Value>,
        arguments: &Map<String, Value>,
    ) -> Result<Option<String>, RenderError> {
        match fill(&self.parts, context, arguments, |_, value| Ok(value)) {
            Ok(filled) => Ok(Some(filled)),
            Err(RenderError::MissingArgument(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for ArgTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) fn arguments_of(parts: &[Part]) -> impl Iterator<Item = &str> {
    holes(parts).filter_map(|hole| match hole {
        Hole::Argument(name) => Some(name.as_str()),
        Hole::Context(_) => None,
    })
}
