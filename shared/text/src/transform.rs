//! `callback.response_transform`: Markdown is taken out first, then the length is limited.

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
    let text = if transform.strip_markdown {
        Cow::Owned(markdown::strip(text))
    } else {
        Cow::Borrowed(text)
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

    #[test]
    fn the_length_is_that_of_the_text_without_marks() {
        let both = Transform { strip_markdown: true, max_length: Some(5) };
        let done = transform("**12345**", &both);
        assert_eq!((done.text.as_ref(), done.truncated), ("12345", false));
        let done = transform("**123456**", &both);
        assert_eq!((done.text.as_ref(), done.truncated), ("1234…", true));
    }

    #[test]
    fn nothing_is_done_unless_asked_for() {
        let text = "  **a**  ".repeat(1_000);
        let done = transform(&text, &Transform { strip_markdown: false, max_length: None });
        assert!(matches!(done.text, Cow::Borrowed(t) if t == text) && !done.truncated);
    }
}
