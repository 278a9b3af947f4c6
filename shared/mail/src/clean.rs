//! Texts as they may be stored and shown: without control characters, and no longer than a bound.

/// Cuts `text` at `most` bytes, at the end of a character. Whether anything was cut off.
pub(crate) fn cut(text: &mut String, most: usize) -> bool {
    if text.len() <= most {
        return false;
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    true
}

/// A text of several lines: line breaks are `\n`, and of other control characters only tabs stay.
pub(crate) fn lines(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    clean.push('\n');
                }
            }
            '\n' | '\t' => clean.push(char),
            '\u{feff}' => {}
            _ if char.is_control() => {}
            _ => clean.push(char),
        }
    }
    clean
}

/// A text of one line and at most `most` characters: white space is single spaces.
pub(crate) fn line(text: &str, most: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(4 * most));
    let mut length = 0;
    let mut is_after_space = true;
    for char in text.chars().filter(|char| *char != '\u{feff}') {
        let is_space = char.is_whitespace();
        if (is_space && is_after_space) || (!is_space && char.is_control()) {
            continue;
        }
        if length == most {
            break;
        }
        clean.push(if is_space { ' ' } else { char });
        length += 1;
        is_after_space = is_space;
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// The name of a file: on one line, no path, and shown in the order in which it is written.
pub(crate) fn file_name(name: &str) -> Option<String> {
    let is_shown_otherwise =
        |char: char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let name = line(&name.replace(['/', '\\'], "_").replace(is_shown_otherwise, ""), 255);
    (!name.is_empty()).then_some(name)
}

/// An id of a mail (RFC 5322, 3.6.4), if it looks like one: what is sent back must neither break a
/// line nor begin another id.
pub(crate) fn message_id(id: &str) -> Option<&str> {
    let inner = id.strip_prefix('<')?.strip_suffix('>')?;
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'<' && byte != b'>';
    let (left, right) = inner.rsplit_once('@')?;
    let is_id = !left.is_empty() && !right.is_empty() && inner.bytes().all(plain);
    (is_id && id.len() <= 998).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_the_end_of_a_character() {
        for (most, left, is_cut) in [(5, "aé👋", true), (7, "aé👋", false), (2, "aé", true)]
        {
            let mut text = "aé👋".to_owned();
            assert_eq!(cut(&mut text, most), is_cut, "{most}");
            assert!(left.starts_with(&text) && text.len() <= most, "{text}");
        }
    }

    #[test]
    fn lines_have_one_kind_of_break_and_no_control_characters() {
        assert_eq!(lines("a\r\nb\rc\n\td\0\u{1b}[2J\u{85}\u{feff}"), "a\nb\nc\n\td[2J");
        assert_eq!(line(" a\r\n b\0c\t\u{a0}d ", 99), "a bc d");
        assert_eq!(line("áéíóú", 3), "áéí");
    }

    #[test]
    fn a_file_name_is_no_path() {
        assert_eq!(file_name("../../etc/passwd\0\r\n").as_deref(), Some(".._.._etc_passwd"));
        assert_eq!(file_name("C:\\a.txt").as_deref(), Some("C:_a.txt"));
        assert_eq!(file_name("gnp.\u{202e}exe").as_deref(), Some("gnp.exe"));
        assert_eq!(file_name(" \n"), None);
        assert_eq!(file_name(&"é".repeat(300)).unwrap().chars().count(), 255);
    }

    #[test]
    fn an_id_looks_like_one() {
        let long = |length: usize| format!("<{}@b>", "a".repeat(length - 4));
        assert!(message_id("<a.b@c>").is_some() && message_id(&long(998)).is_some());
        for bad in
            ["", "a@b", "<>", "<@>", "<a@>", "<ab>", "<a b@c>", "<a@b\r\n>", "<a@b> <c@d>", "<ü@b>"]
        {
            assert_eq!(message_id(bad), None, "{bad:?}");
        }
        assert_eq!(message_id(&long(999)), None);
    }
}
