//! A text's paragraphs, each for itself.

use super::fences;

/// The paragraphs of `text`: what blank lines part, with fenced code in one piece. White space at
/// their ends is left out.
///
/// At most `at_most`, and at least one of a text that is not blank; the last one then is all that
/// is left of the text, so nothing is lost.
pub fn paragraphs(text: &str, at_most: usize) -> Vec<&str> {
    let fences = fences::find_all(text);
    let is_fenced = |at: usize| {
        let next = fences.partition_point(|fence| fence.end <= at);
        fences.get(next).is_some_and(|fence| fence.is_cut_by(at))
    };
    let mut paragraphs = Vec::new();
    let mut begun: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let parts = line.trim().is_empty() && !is_fenced(at);
        match begun {
            None if !parts => begun = Some(at),
            Some(start) if parts && paragraphs.len() + 1 < at_most => {
                paragraphs.push(text[start..at].trim_end());
                begun = None;
            }
            _ => {}
        }
        at += line.len();
    }
    paragraphs.extend(begun.map(|start| text[start..].trim_end()));
    paragraphs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blank_lines_part_them() {
        let text = "\n \r\nFound 2:\r\n\r\n\n1. A\n2. B  \n \t \n  indented\n\n";
        assert_eq!(paragraphs(text, 9), ["Found 2:", "1. A\n2. B", "  indented"]);
        assert_eq!(paragraphs(" \n\u{3000}\n", 9), [""; 0]);
        assert_eq!(paragraphs("a", 0), ["a"]);
    }

    #[test]
    fn fenced_code_is_in_one_piece() {
        let text = "See:\n\n```rust\na;\n\nb;\n```\n\nDone.\n\n~~~\nopen\n\nend";
        let code = ["```rust\na;\n\nb;\n```", "~~~\nopen\n\nend"];
        assert_eq!(paragraphs(text, 9), ["See:", code[0], "Done.", code[1]]);
    }

    #[test]
    fn the_last_one_is_all_that_is_left() {
        assert_eq!(paragraphs("a\n\nb\n\nc\n", 2), ["a", "b\n\nc"]);
        assert_eq!(paragraphs("a\n\nb\n\n", 2), ["a", "b"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_lost_and_none_is_blank(
            lines in prop::collection::vec("(```|~~~|[a-z\u{301}字]{0,9}| |\r)", 0..40),
            at_most in 1usize..12,
        ) {
            let text = lines.join("\n");
            let paragraphs = paragraphs(&text, at_most);
            prop_assert!(paragraphs.len() <= at_most);
            prop_assert!(paragraphs.iter().all(|it| !it.trim().is_empty()));
            let letters = |text: &str| -> String { text.split_whitespace().collect() };
            prop_assert_eq!(letters(&paragraphs.concat()), letters(&text));
        }
    }
}
