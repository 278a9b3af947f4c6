//! Teams' message.

use recado_text::units;
use serde::Serialize;

/// The most bytes of a message, all of it: Teams says 28 KB, and these are so either way.
const MAX_BODY: usize = 28_000;

#[derive(Serialize)]
struct Message<'t> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'t str,
}

/// A message whose text is as long as the limit allows.
pub(super) fn body(text: &str) -> String {
    let room = MAX_BODY - message("").len();
    let cut = units::ellipsized_by(text, room, len_in_json);
    message(cut.as_deref().unwrap_or(text))
}

fn message(text: &str) -> String {
    serde_json::to_string(&Message { kind: "message", text }).expect("texts are JSON")
}

/// How many bytes `serde_json` writes for it.
fn len_in_json(scalar: char) -> usize {
    match scalar {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => r"\n".len(),
        '\0'..='\u{1f}' => r"\u0000".len(),
        _ => scalar.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_measured_as_they_are_written() {
        for scalar in ('\0'..='\u{3000}').chain(['😀', char::MAX]) {
            let written = message(&scalar.to_string()).len() - message("").len();
            assert_eq!(len_in_json(scalar), written, "{scalar:?}");
        }
    }
}
