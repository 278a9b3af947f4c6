//! What a tool says, made fit for a model: no hidden value, no secret, no U+0000, not too long.
//!
//! The order matters. U+0000 goes first, or it would hide a secret by standing in the middle of it.
//! A text that was cut where it was read may end with the beginning of a secret, which nobody would
//! recognise; so more is read than is shown ([`Scrubber::margin`]), and the end is dropped after the
//! secrets were taken out.

use std::borrow::Cow;

use recado_types::hidden::Redactor;
use recado_types::trigger::ContextField;
use serde_json::{Map, Value};

use super::cut;
use super::secrets::Secrets;

/// The most bytes that a byte of a secret takes in a form of it that is recognised: `\u0000`.
const LONGEST_FORM: usize = 6;
/// The most that is read beyond what is shown. A hidden value that is longer than a sixth of this
/// may show its first bytes at the place where a text was cut.
const MAX_MARGIN: usize = 256 * 1024;

/// Knows what must not be shown in an execution.
pub(super) struct Scrubber {
    redactor: Redactor,
    margin: usize,
}

impl Scrubber {
    pub(super) fn new(context: &Map<String, Value>, secrets: &Secrets) -> Self {
        let hidden = context.iter().filter(|(name, _)| !ContextField::is_visible(name));
        let hidden = hidden.map(|(_, value)| match value {
            Value::String(text) => text.len(),
            other => other.to_string().len(),
        });
        let secret = secrets.values().map(str::len);
        let longest = hidden.chain(secret).max().unwrap_or_default();
        Self {
            redactor: Redactor::of(context, secrets.values()),
            margin: (longest * LONGEST_FORM).min(MAX_MARGIN),
        }
    }

    /// How much more has to be read of a text than is shown of it.
    pub(super) fn margin(&self) -> usize {
        self.margin
    }

    /// `text` without what must not be shown.
    pub(super) fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !text.contains('\0') {
            return self.redactor.redact(text);
        }
        Cow::Owned(self.redactor.redact(&text.replace('\0', "")).into_owned())
    }

    /// `value` without what must not be shown, in its texts and in its names.
    pub(super) fn json(&self, value: &Value) -> Value {
        self.redactor.redact_json(value)
    }

    /// At most `most` bytes of what a tool said, and whether that is not all. `was_cut` tells that
    /// the tool said more than was read.
    pub(super) fn foreign(&self, said: &str, was_cut: bool, most: usize) -> (String, bool) {
        let mut text = self.text(said).into_owned();
        if was_cut {
            text.truncate(text.floor_char_boundary(text.len().saturating_sub(self.margin)));
        }
        let is_cut = was_cut || text.len() > most;
        if is_cut {
            text.truncate(text.floor_char_boundary(most));
            text.push_str(&cut::remark(most));
        }
        (text, is_cut)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scrubber() -> Scrubber {
        let context = json!({"_key": "canary-12345", "name": "Ana"});
        Scrubber::new(context.as_object().unwrap(), &Secrets::default())
    }

    #[test]
    fn nul_does_not_hide_a_secret() {
        assert_eq!(scrubber().text("x canary\u{0}-12\u{0}345 y"), "x [hidden] y");
        assert_eq!(scrubber().text("Ana\0"), "Ana");
    }

    #[test]
    fn the_beginning_of_a_secret_at_the_end_of_a_cut_text_is_dropped() {
        let scrubber = scrubber();
        for shown in 0..70 {
            let said = format!("{}canary-12345 and more", "x".repeat(60));
            let read = &said[..said.len().min(shown + scrubber.margin())];
            let (text, is_cut) = scrubber.foreign(read, read.len() < said.len(), shown);
            assert!(is_cut && !text.contains("cana"), "{shown}: {text}");
        }
    }

    #[test]
    fn a_text_that_fits_is_whole() {
        let said = "what they said";
        assert_eq!(scrubber().foreign(said, false, 100), (said.to_owned(), false));
    }
}
