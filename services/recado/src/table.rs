//! Tables for a terminal, and texts of others made harmless for it.

/// What is shown where nothing is known.
pub(crate) const UNKNOWN: &str = "-";

/// One line for each row, under headings; the columns as wide as what is in them.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: Vec<[String; N]>) -> String {
    let headings = headings.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(headings).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What somebody else wrote must not move the cursor, turn the line around, or end it.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// The same of a text that may have several lines.
pub(crate) fn several_lines(text: &str) -> String {
    text.chars().map(|c| if steers(c) && c != '\n' { ' ' } else { c }).collect()
}

/// On one line, and no longer than `most` characters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= most {
        return text;
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

/// Control characters, and those that change the direction in which a line is read.
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_shown_cannot_steer_the_terminal() {
        assert_eq!(one_line("a\nb\u{1b}[2Jc"), "a b [2Jc");
        assert_eq!(one_line("a\u{202e}b\u{9b}c"), "a b c");
        assert_eq!(several_lines("a\nb\r\u{1b}[2J"), "a\nb  [2J");
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = vec![["a".into(), "ção".into()], ["abc".into(), String::new()]];
        assert_eq!(table(["X", "Y"], rows), "X    Y\na    ção\nabc");
    }

    proptest! {
        #[test]
        fn a_shortened_text_is_one_line_and_short(text in any::<String>(), most in 1_usize..40) {
            let shown = shortened(&text, most);
            prop_assert!(shown.chars().count() <= most);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
