//! How deep a syntax tree can become, read off the text without building it.
//!
//! The parser recurses into brackets, prefixes and projections, and the tree grows by one level
//! with each operator of a chain (`a.b.c`, `a | b | c`). Both are counted: every opening bracket
//! and every operator adds a level, a comma starts a sibling, a closing bracket keeps the depth of
//! its deepest inside, since what follows it is built on top. Texts between quotes add nothing; the
//! JSON between backticks is read by `serde_json`, which stops at 128 levels.

/// The levels between two brackets.
struct Level {
    /// At its opening bracket, where each of its siblings starts.
    start: usize,
    /// Of the sibling being read.
    current: usize,
    /// Of the deepest sibling that is finished.
    deepest: usize,
}

impl Level {
    fn at(depth: usize) -> Self {
        Self { start: depth, current: depth, deepest: depth }
    }
}

/// An upper bound, up to a small factor, of the depth of the syntax tree of `text`, whether or not
/// it is an expression at all.
pub(super) fn depth_bound(text: &str) -> usize {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::at(0);
    let mut deepest_ever = 0;
    let mut half_operator = None;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let second_half = is_second_half(half_operator.take(), byte);
        match byte {
            b'"' | b'\'' | b'`' => skip_quoted(&mut bytes, byte),
            b'(' | b'[' | b'{' => {
                let inner = Level::at(level.current + 1);
                outer.push(std::mem::replace(&mut level, inner));
            }
            b')' | b']' | b'}' => {
                if let Some(parent) = outer.pop() {
                    let depth = level.current.max(level.deepest);
                    level = Level { current: depth, ..parent };
                }
            }
            b',' => {
                level.deepest = level.deepest.max(level.current);
                level.current = level.start;
            }
            b'.' | b'*' | b'!' | b'|' | b'&' | b'=' | b'<' | b'>' if !second_half => {
                level.current += 1;
                half_operator = Some(byte);
            }
            _ => {}
        }
        deepest_ever = deepest_ever.max(level.current);
    }
    deepest_ever
}

/// Whether `byte` completes `||`, `&&`, `==`, `!=`, `<=` or `>=`.
fn is_second_half(first: Option<u8>, byte: u8) -> bool {
    matches!(
        (first, byte),
        (Some(b'|'), b'|') | (Some(b'&'), b'&') | (Some(b'=' | b'!' | b'<' | b'>'), b'=')
    )
}

/// Passes over a quoted text up to its closing `quote`, as the lexer does.
fn skip_quoted(bytes: &mut std::str::Bytes<'_>, quote: u8) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            end if end == quote => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::depth_bound;

    #[test]
    fn operators_and_brackets_add_up_and_siblings_do_not() {
        for (text, depth) in [
            ("", 0),
            ("a", 0),
            ("a.b.c", 2),
            ("a || b && c == d", 3),
            ("a&&&b", 2),
            ("((a))", 2),
            ("[a.b, c.d, e.f]", 2),
            ("[a.b.c, d].e", 4),
            ("{a: {b: c}}.d", 3),
            ("f(a, &b.c)[0]", 4),
        ] {
            assert_eq!(depth_bound(text), depth, "{text}");
        }
    }

    #[test]
    fn quoted_text_adds_nothing_and_ends_where_the_lexer_ends_it() {
        for text in [r#""a.b\"((""#, r"'((\'(('", r"`[[\`[[`", "'(("] {
            assert_eq!(depth_bound(text), 0, "{text}");
        }
        assert_eq!(depth_bound(r"'\\'.((a"), 3);
    }

    #[test]
    fn unbalanced_text_is_bounded_too() {
        assert_eq!(depth_bound(")]}((("), 3);
        assert_eq!(depth_bound("((,(("), 4);
    }
}
