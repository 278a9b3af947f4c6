//! `callback.response_transform`: Markdown is taken out or rewritten, then the length is limited.

use std::borrow::Cow;

use recado_types::trigger::Transform;

use crate::{markdown, units};

/// A response as the channel gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformed<'t> {
    /// The text.
    pub text: Cow<'t, str>,
    /// Whether `max_length` cut something off; then the text ends with an ellipsis.
    pub truncated: bool,
}

/// Applies `transform` to `text`.
pub fn transform<'t>(text: &'t str, transform: &Transform) -> Transformed<'t> {
    // A configuration that asks for both is refused where it is parsed.
    let text = match (transform.to_whatsapp, transform.strip_markdown) {
        (true, _) => Cow::Owned(markdown::to_whatsapp(text)),
        (false, true) => Cow::Owned(markdown::strip(text)),
        (false, false) => Cow::Borrowed(text),
    };
    let limit = transform.max_length.map_or(usize::MAX, |units| units as usize);
    match units::ellipsized(&text, limit) {
        Some(cut) => Transformed { text: Cow::Owned(cut), truncated: true },
        None => Transformed { text, truncated: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTOUCHED: Transform =
        Transform { strip_markdown: false, to_whatsapp: false, max_length: None };

    #[test]
    fn the_marks_of_whatsapp_count() {
        let both = Transform { to_whatsapp: true, max_length: Some(5), ..UNTOUCHED };
        let done = transform("**123** 4", &both);
        assert_eq!((done.text.as_ref(), done.truncated), ("*123…", true));
    }

    #[test]
    fn the_length_is_that_of_the_text_without_marks() {
        let both = Transform { strip_markdown: true, max_length: Some(5), ..UNTOUCHED };
        let done = transform("**12345**", &both);
        assert_eq!((done.text.as_ref(), done.truncated), ("12345", false));
        let done = transform("**123456**", &both);
        assert_eq!((done.text.as_ref(), done.truncated), ("1234…", true));
    }

    #[test]
    fn nothing_is_done_unless_asked_for() {
        let text = "  **a**  ".repeat(1_000);
        let done = transform(&text, &UNTOUCHED);
        assert!(matches!(done.text, Cow::Borrowed(t) if t == text) && !done.truncated);
    }
}
