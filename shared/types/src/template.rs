//! Text with `{{placeholders}}`, and JSON made of such texts.
//!
//! The placeholders of a [`Template`] are names that its user gives values for; those of a
//! [`PayloadTemplate`] are paths into a payload. An [`XmlTemplate`] is a text that is XML.
//!
//! Values are put in once: what a value contains is never read as a template again, so an agent
//! that answers `{{token}}` sends exactly that. JSON templates are filled value by value and
//! serialised afterwards, so nothing in a value can break out of its string.

use std::borrow::Cow;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::field_path::{FieldPathError, scalar_text};

mod payload;
mod xml;

pub use payload::{PayloadTemplate, TooLarge};
pub use xml::{Malformed, XmlTemplate, XmlTemplateError};

/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 16_384;
/// How deep and how large a JSON template may be.
const MAX_DEPTH: usize = 16;
const MAX_NODES: usize = 512;

/// A text with placeholders, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part<String>>,
}

/// A piece of a template, whose placeholders say what they mean by a `P`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part<P> {
    Text(String),
    Placeholder(P),
}

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without its `}}`.
    #[error("`{{{{` at character {0} has no closing `}}}}`")]
    Unclosed(usize),
    /// Something else than a name between the braces.
    #[error("`{{{{{0}}}}}` is not a placeholder: a name has letters, digits, `_`, `-` and `.`")]
    BadName(String),
    /// Something else than a path between the braces of a [`PayloadTemplate`].
    #[error(
        "`{{{{{0}}}}}` is not a placeholder: a path has letters, digits, `_`, `-`, `.`, `[` and `]`"
    )]
    NoPath(String),
    /// A path with a mistake in it.
    #[error("`{{{{{path}}}}}` is not a placeholder: {reason}")]
    BadPath {
        /// What stands between the braces.
        path: String,
        /// What is wrong with it.
        reason: FieldPathError,
    },
    /// More text, levels or values than a template may have.
    #[error(
        "the template is too large: at most {MAX_TEMPLATE} bytes a text, \
         {MAX_DEPTH} levels and {MAX_NODES} values"
    )]
    TooLarge,
}

/// A placeholder that nothing was given for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no value for the placeholder `{name}`")]
pub struct MissingValue {
    /// The placeholder's name.
    pub name: String,
}

/// Where placeholders get their values.
pub trait Values {
    /// The value of a placeholder.
    fn get(&self, name: &str) -> Option<Cow<'_, Value>>;
}

impl Values for Map<String, Value> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        Map::get(self, name).map(Cow::Borrowed)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}

impl Template {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_within(text, MAX_TEMPLATE)
    }

    /// Parses `text` of at most `most` bytes: prompts are longer than what else is a template.
    pub(crate) fn parse_within(text: &str, most: usize) -> Result<Self, TemplateError> {
        Ok(Self { parts: parse_parts(text, most, name_of)? })
    }

    /// The names of its placeholders, in order, repeated where they repeat.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The names of the placeholders that stand in front of the first `mark` of its own text.
    pub fn placeholders_before(&self, mark: char) -> impl Iterator<Item = &str> {
        let is_before = move |part: &&Part<String>| match part {
            Part::Text(text) => !text.contains(mark),
            Part::Placeholder(_) => true,
        };
        self.parts.iter().take_while(is_before).filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text in front of the first placeholder.
    pub fn literal_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Fills the placeholders. Objects and arrays appear as JSON, `null` as nothing.
    pub fn render(&self, values: &impl Values) -> Result<String, MissingValue> {
        self.render_with(values, |text| Cow::Borrowed(text))
    }

    /// Fills the placeholders, passing each value (not the template's own text) through `escape`.
    pub fn render_with(
        &self,
        values: &impl Values,
        escape: impl Fn(&str) -> Cow<'_, str>,
    ) -> Result<String, MissingValue> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Placeholder(name) => {
                    let value = lookup(values, name)?;
                    text.push_str(&escape(&text_of(&value)));
                }
            }
        }
        Ok(text)
    }

    /// Fills the placeholders with what `text_of_name` makes of their names.
    pub(crate) fn render_each(&self, text_of_name: impl Fn(&str) -> String) -> String {
        let pieces = self.parts.iter().map(|part| match part {
            Part::Text(literal) => Cow::Borrowed(literal.as_str()),
            Part::Placeholder(name) => Cow::Owned(text_of_name(name)),
        });
        pieces.collect()
    }

    /// The name, if the whole template is one placeholder.
    fn sole_placeholder(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Placeholder(name)] => Some(name),
            _ => None,
        }
    }
}

/// JSON whose strings are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonTemplate {
    /// Anything without placeholders.
    Fixed(Value),
    /// A text to fill. `"{{count}}"` alone takes the value as it is, a number for example.
    Text(Template),
    /// An array.
    Array(Vec<JsonTemplate>),
    /// An object; its keys are fixed.
    Object(Vec<(String, JsonTemplate)>),
}

impl JsonTemplate {
    /// Parses every string in `value`.
    pub fn parse(value: &Value) -> Result<Self, TemplateError> {
        let mut nodes = 0;
        Self::parse_node(value, 0, &mut nodes)
    }

    fn parse_node(value: &Value, depth: usize, nodes: &mut usize) -> Result<Self, TemplateError> {
        *nodes += 1;
        if depth > MAX_DEPTH || *nodes > MAX_NODES {
            return Err(TemplateError::TooLarge);
        }
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text)?),
            Value::Array(items) => {
                let items = items.iter().map(|item| Self::parse_node(item, depth + 1, nodes));
                Self::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(object) => {
                let mut fields = Vec::with_capacity(object.len());
                for (key, value) in object {
                    fields.push((key.clone(), Self::parse_node(value, depth + 1, nodes)?));
                }
                Self::Object(fields)
            }
            fixed => Self::Fixed(fixed.clone()),
        })
    }

    /// The names of all placeholders in it.
    pub fn placeholders(&self) -> Vec<&str> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::Text(template) => template.placeholders().collect(),
            Self::Array(items) => items.iter().flat_map(Self::placeholders).collect(),
            Self::Object(fields) => fields.iter().flat_map(|(_, f)| f.placeholders()).collect(),
        }
    }

    /// Fills the placeholders.
    pub fn render(&self, values: &impl Values) -> Result<Value, MissingValue> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => match template.sole_placeholder() {
                Some(name) => lookup(values, name)?.into_owned(),
                None => Value::String(template.render(values)?),
            },
            Self::Array(items) => Value::Array(
                items.iter().map(|item| item.render(values)).collect::<Result<_, _>>()?,
            ),
            Self::Object(fields) => {
                let mut object = Map::new();
                for (key, template) in fields {
                    object.insert(key.clone(), template.render(values)?);
                }
                Value::Object(object)
            }
        })
    }
}

/// Takes a template apart; `placeholder` judges what stands between the braces.
fn parse_parts<P>(
    text: &str,
    most: usize,
    placeholder: impl Fn(&str) -> Result<P, TemplateError>,
) -> Result<Vec<Part<P>>, TemplateError> {
    if text.len() > most {
        return Err(TemplateError::TooLarge);
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        let inner = &rest[open + 2..];
        let position = || text[..text.len() - rest.len() + open].chars().count();
        let close = inner.find("}}").ok_or_else(|| TemplateError::Unclosed(position()))?;
        parts.push(Part::Placeholder(placeholder(&inner[..close])?));
        rest = &inner[close + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

fn name_of(inner: &str) -> Result<String, TemplateError> {
    let name = inner.trim();
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 128 || !name.chars().all(allowed) {
        return Err(TemplateError::BadName(beginning_of(inner)));
    }
    Ok(name.to_owned())
}

/// As much of a placeholder as its mistake is told with.
fn beginning_of(inner: &str) -> String {
    inner.chars().take(64).collect()
}

fn lookup<'v>(values: &'v impl Values, name: &str) -> Result<Cow<'v, Value>, MissingValue> {
    values.get(name).ok_or_else(|| MissingValue { name: name.to_owned() })
}

/// A value as it appears inside a text.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        scalar => scalar_text(scalar).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> Map<String, Value> {
        let Value::Object(map) = json!({
            "phoneNumber": "whatsapp:+5511", "count": 3, "nothing": null,
            "agent_response": "say \"{{token}}\"", "list": [1, 2],
        }) else {
            unreachable!("an object literal")
        };
        map
    }

    #[test]
    fn a_value_is_never_read_as_a_template() {
        let template = Template::parse("<{{ agent_response }}>").unwrap();
        assert_eq!(template.render(&values()).unwrap(), "<say \"{{token}}\">");
    }

    #[test]
    fn a_json_template_keeps_the_type_of_a_lone_placeholder() {
        let template =
            JsonTemplate::parse(&json!({"n": "{{count}}", "t": "n={{count}}", "l": ["{{list}}"]}));
        let rendered = template.unwrap().render(&values()).unwrap();
        assert_eq!(rendered, json!({"n": 3, "t": "n=3", "l": [[1, 2]]}));
    }

    #[test]
    fn null_is_nothing_and_a_missing_value_is_named() {
        assert_eq!(Template::parse("[{{nothing}}]").unwrap().render(&values()).unwrap(), "[]");
        let error = Template::parse("{{who}}").unwrap().render(&values()).unwrap_err();
        assert_eq!(error.name, "who");
    }

    #[test]
    fn broken_templates_are_refused() {
        assert_eq!(Template::parse("é{{a"), Err(TemplateError::Unclosed(1)));
        assert!(matches!(Template::parse("{{a b}}"), Err(TemplateError::BadName(_))));
        assert!(matches!(Template::parse("{{}}"), Err(TemplateError::BadName(_))));
        assert_eq!(Template::parse(&"x".repeat(20_000)), Err(TemplateError::TooLarge));
        let mut deep = json!("x");
        for _ in 0..20 {
            deep = json!([deep]);
        }
        assert_eq!(JsonTemplate::parse(&deep), Err(TemplateError::TooLarge));
    }

    proptest! {
        #[test]
        fn text_without_braces_is_itself(text in "[^{]{0,200}") {
            prop_assert_eq!(Template::parse(&text).unwrap().render(&values()).unwrap(), text);
        }

        #[test]
        fn parsing_never_panics(text in "[{} a-c.é]{0,60}") {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.render(&values());
            }
        }
    }
}
