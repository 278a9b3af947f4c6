//! `callback.url`.

use std::borrow::Cow;

use serde_json::Value;

use crate::address;
use crate::shape::ObjectReader;
use crate::template::{Template, Values};

pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Template> {
    let text = fields.required_string("url", 1..=2_048)?;
    let template = fields.accept("url", Template::parse(text))?;
    // With every placeholder replaced by a plain letter it must be a URL, and its scheme, host
    // and port must be there already: only a tenant decides where requests go, never a payload.
    let filled = filled(&template);
    fields.accept("url", address::parse(&filled))?;
    if !authority_is_fixed(&template) {
        fields.refuse("url", "placeholders may stand in the path and the query only");
        return None;
    }
    if template.placeholders().next().is_some() && has_dot_segment(&filled) {
        fields.refuse("url", "must not have `.` or `..` for a segment beside placeholders");
        return None;
    }
    Some(template)
}

/// Whether the query has a parameter of this name, whatever the placeholders are filled with.
pub(super) fn has_parameter(url: &Template, name: &str) -> bool {
    let url = address::parse(&filled(url));
    url.is_ok_and(|url| url.query_pairs().any(|(parameter, _)| parameter == name))
}

/// With a plain letter for every placeholder.
fn filled(url: &Template) -> String {
    url.render(&Anything).expect("there is a value for every name")
}

/// Whether a segment of the path is `.` or `..`, as URL parsers see it: they skip tabs and line
/// breaks, take `\` for `/`, and `%2e` for a dot. Such a segment takes away itself, or the one
/// before it, and the URL leads elsewhere than it says.
pub fn has_dot_segment(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.replace(['\t', '\n', '\r'], "").to_ascii_lowercase().replace("%2e", ".");
    let path = path.trim_matches(|c: char| c <= ' ');
    path.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

fn authority_is_fixed(template: &Template) -> bool {
    let has_no_placeholder = template.placeholders().next().is_none();
    let ends_before_the_first = || {
        let (_scheme, rest) = template.literal_prefix().split_once("://")?;
        Some(rest.contains(['/', '?', '#']))
    };
    has_no_placeholder || ends_before_the_first().unwrap_or(false)
}

/// Has a value for every name.
struct Anything;

impl Values for Anything {
    fn get(&self, _name: &str) -> Option<Cow<'_, Value>> {
        Some(Cow::Owned(Value::String("x".into())))
    }
}
