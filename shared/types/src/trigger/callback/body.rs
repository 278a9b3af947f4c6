//! `callback.content_type` and `callback.body_template`, which only make sense together.

use serde_json::Value;

use crate::shape::ObjectReader;
use crate::template::{JsonTemplate, Template, XmlTemplate};

/// The longest text of a template, in characters: no longer than a template may be.
const MAX_TEXT: usize = 16_384;

/// The text of a callback that says nothing but the answer.
const DEFAULT_TEXT: &str = "{{agent_response}}";

/// What the body says, and in which form.
#[derive(Clone, Debug, PartialEq)]
pub enum CallbackBody {
    /// `application/json`, the default.
    Json(Fields),
    /// `application/x-www-form-urlencoded`: texts and numbers only.
    Form(Fields),
    /// `text/plain`.
    Text(Template),
    /// `application/xml`.
    Xml(XmlTemplate),
}

/// The fields of a JSON object or of a form.
#[derive(Clone, Debug, PartialEq)]
pub enum Fields {
    /// Recado's own: every built-in placeholder under its name.
    Standard,
    /// The trigger's `body_template`, an object.
    Template(JsonTemplate),
}

#[derive(Clone, Copy)]
enum ContentType {
    Json,
    Form,
    Text,
    Xml,
}

impl CallbackBody {
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let content_types = [
            ("application/json", ContentType::Json),
            ("application/x-www-form-urlencoded", ContentType::Form),
            ("text/plain", ContentType::Text),
            ("application/xml", ContentType::Xml),
        ];
        let content_type =
            fields.choice("content_type", &content_types).unwrap_or(ContentType::Json);
        match content_type {
            ContentType::Json => Fields::read(fields).map(Self::Json),
            ContentType::Form => read_form(fields).map(Self::Form),
            ContentType::Text => {
                let text = match fields.any("body_template") {
                    None => DEFAULT_TEXT,
                    Some(_) => fields.string("body_template", 1..=MAX_TEXT)?,
                };
                fields.accept("body_template", Template::parse(text)).map(Self::Text)
            }
            ContentType::Xml => {
                let text = fields.required_string("body_template", 1..=MAX_TEXT)?;
                fields.accept("body_template", XmlTemplate::parse(text)).map(Self::Xml)
            }
        }
    }

    /// The names of all placeholders in it.
    pub(super) fn placeholders(&self) -> Vec<&str> {
        match self {
            Self::Json(Fields::Standard) | Self::Form(Fields::Standard) => Vec::new(),
            Self::Json(Fields::Template(template)) | Self::Form(Fields::Template(template)) => {
                template.placeholders()
            }
            Self::Text(template) => template.placeholders().collect(),
            Self::Xml(template) => template.placeholders().collect(),
        }
    }
}

impl Fields {
    fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let Some(value) = fields.any("body_template") else { return Some(Self::Standard) };
        if has_template_for_a_name(value) {
            fields.refuse(
                "body_template",
                "must not have `{{` in the name of a field: names are not filled in",
            );
            return None;
        }
        let template = fields.accept("body_template", JsonTemplate::parse(value))?;
        if !matches!(template, JsonTemplate::Object(_)) {
            fields.refuse("body_template", "must be an object");
            return None;
        }
        Some(Self::Template(template))
    }
}

/// As deep as JSON can be read, which has its own limit.
fn has_template_for_a_name(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_template_for_a_name),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains("{{") || has_template_for_a_name(value))
        }
        _ => false,
    }
}

fn read_form(fields: &mut ObjectReader<'_>) -> Option<Fields> {
    let read = Fields::read(fields)?;
    let nested = |t: &JsonTemplate| matches!(t, JsonTemplate::Array(_) | JsonTemplate::Object(_));
    if let Fields::Template(JsonTemplate::Object(entries)) = &read
        && entries.iter().any(|(_, value)| nested(value))
    {
        fields.refuse("body_template", "a form has texts and numbers only, no lists or objects");
        return None;
    }
    Some(read)
}
