//! Text with `{{paths}}` into a payload.

use std::borrow::Cow;
use std::str::FromStr;

use serde_json::Value;

use super::{MAX_TEMPLATE, Part, TemplateError, beginning_of, parse_parts, text_of};
use crate::field_path::FieldPath;

/// A text with values of a payload in it: `{{user.name}} writes: {{items[0].text}}`.
///
/// That a placeholder is a path is judged when the text is parsed. What stands at it depends on
/// the payload, and what the payload does not have is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadTemplate {
    parts: Vec<Part<FieldPath>>,
}

/// The rendered text is larger than it may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rendered text is larger than {0} bytes")]
pub struct TooLarge(pub usize);

impl FromStr for PayloadTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { parts: parse_parts(text, MAX_TEMPLATE, path_of)? })
    }
}

impl PayloadTemplate {
    /// The paths that its placeholders are.
    pub fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(path) => Some(path),
            Part::Text(_) => None,
        })
    }

    /// Fills the placeholders from `payload`, and gives up before the text is larger than `most`
    /// bytes: a template may name a large value many times. Objects and arrays appear as JSON,
    /// `null` as nothing.
    pub fn render_within(&self, payload: &Value, most: usize) -> Result<String, TooLarge> {
        let mut text = String::new();
        for part in &self.parts {
            let piece = match part {
                Part::Text(literal) => Cow::Borrowed(literal.as_str()),
                Part::Placeholder(path) => {
                    Cow::Owned(path.find(payload).map(text_of).unwrap_or_default())
                }
            };
            if text.len() + piece.len() > most {
                return Err(TooLarge(most));
            }
            text.push_str(&piece);
        }
        Ok(text)
    }
}

/// Fewer characters than a path may have elsewhere: what else stands between braces is likelier
/// to belong to another language of templates than to a payload.
fn path_of(inner: &str) -> Result<FieldPath, TemplateError> {
    let path = inner.trim();
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']');
    if path.is_empty() || !path.chars().all(allowed) {
        return Err(TemplateError::NoPath(beginning_of(inner)));
    }
    path.parse().map_err(|reason| TemplateError::BadPath { path: beginning_of(inner), reason })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::field_path::FieldPathError;

    fn parse(text: &str) -> Result<PayloadTemplate, TemplateError> {
        text.parse()
    }

    fn render(text: &str, payload: &Value) -> String {
        parse(text).unwrap().render_within(payload, 1_000).unwrap()
    }

    #[test]
    fn values_are_found_by_their_paths() {
        let payload = json!({
            "user": {"name": "Ana {{x}}"}, "items": [{"text": "one"}], "n": 7, "x": null,
            "data[email]": "a@b",
        });
        let text = "<{{user.name}}> {{ items[0].text }} {{items.0.text}} {{n}} {{data[email]}}";
        assert_eq!(render(text, &payload), "<Ana {{x}}> one one 7 a@b");
        assert_eq!(render("[{{x}}{{user.age}}{{items[1]}}]", &payload), "[]");
        assert_eq!(render("{{items}}", &payload), r#"[{"text":"one"}]"#);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["order..id", ".a", "user.", ".", "a.[0]", "[0]."] {
            let reason = FieldPathError::EmptyStep;
            let expected = TemplateError::BadPath { path: text.into(), reason };
            assert_eq!(parse(&format!("x {{{{{text}}}}}")), Err(expected));
        }
        for text in ["a[0", "a]", "a[-1]", "a[[0]]"] {
            let reason = FieldPathError::BadIndex;
            let expected = TemplateError::BadPath { path: text.into(), reason };
            assert_eq!(parse(&format!("{{{{{text}}}}} x")), Err(expected));
        }
        for text in ["", " ", "a b", "a|upper", "#if a", "'a'"] {
            let expected = TemplateError::NoPath(text.into());
            assert_eq!(parse(&format!("{{{{{text}}}}}")), Err(expected));
        }
        assert_eq!(parse("é{{a"), Err(TemplateError::Unclosed(1)));
        assert_eq!(parse(&"x".repeat(20_000)), Err(TemplateError::TooLarge));
    }

    #[test]
    fn a_mistake_says_what_is_wrong() {
        let error = parse("{{order..id}}").unwrap_err().to_string();
        assert_eq!(
            error,
            "`{{order..id}}` is not a placeholder: a path is made of names separated by single \
             dots, for example `user.id`"
        );
    }

    #[test]
    fn a_large_value_that_is_named_often_meets_the_limit() {
        let payload = json!({"a": "x".repeat(400)});
        let template = parse("{{a}}{{a}}{{a}}").unwrap();
        assert_eq!(template.render_within(&payload, 1_199), Err(TooLarge(1_199)));
        assert_eq!(template.render_within(&payload, 1_200).unwrap().len(), 1_200);
    }

    proptest! {
        #[test]
        fn a_rendered_text_is_within_its_limit(text in "[{}a-c.é\\[0\\]]{0,60}", most in 0_usize..80) {
            if let Ok(template) = parse(&text) {
                let payload = json!({"a": ["x", {"b": "éé"}], "b": {"a": 7}, "c": true});
                match template.render_within(&payload, most) {
                    Ok(rendered) => prop_assert!(rendered.len() <= most),
                    Err(TooLarge(limit)) => prop_assert_eq!(limit, most),
                }
            }
        }
    }
}
