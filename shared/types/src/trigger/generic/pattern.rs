//! A pattern that finds one piece of a text.
//!
//! The engine is linear in the text for any pattern; how steep the line is depends on the size of
//! the compiled pattern, so both are bounded.

use std::str::FromStr;

use regex::{Regex, RegexBuilder};

/// The longest pattern, in characters.
const MAX_PATTERN: usize = 512;
/// The most memory of a compiled pattern, in bytes. One `\w` of Unicode takes a tenth of it.
const MAX_COMPILED: usize = 256 * 1024;
/// The longest text that a pattern is tried on, in bytes; a longer one does not match. No signature
/// or timestamp is as long, and the worst pattern takes some ten milliseconds for it.
pub const MAX_MATCHED: usize = 4_096;

/// A regular expression with a group; cheap to clone, equal if its text is.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// Over 512 characters.
    #[error("a regular expression has at most {MAX_PATTERN} characters")]
    TooLong,
    /// Not a regular expression, or one with back references or look-around.
    #[error("is not a regular expression without back references and look-around")]
    Syntax(#[source] regex::Error),
    /// Compiled, it takes too much memory.
    #[error("is too large: repeat less, or use `[0-9]` for `\\d` and `[A-Za-z0-9_]` for `\\w`")]
    TooLarge,
    /// It says what to look for, but not which part of it is meant.
    #[error("must have a group: what the first `(…)` matches is used")]
    NoGroup,
}

impl Pattern {
    /// What the first group matches in the first match, if that is anything.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        if text.len() > MAX_MATCHED {
            return None;
        }
        let found = self.0.captures(text)?.get(1)?.as_str();
        (!found.is_empty()).then_some(found)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.chars().count() > MAX_PATTERN {
            return Err(PatternError::TooLong);
        }
        let built = RegexBuilder::new(text)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_COMPILED)
            .nest_limit(50)
            .build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            error => PatternError::Syntax(error),
        })?;
        if regex.captures_len() < 2 {
            return Err(PatternError::NoGroup);
        }
        Ok(Self(regex))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::trigger::generic::tests::scramble;

    #[test]
    fn a_pattern_finds_its_first_group() {
        let find =
            |pattern: &str, text: &'static str| pattern.parse::<Pattern>().unwrap().find(text);
        assert_eq!(find("(?:^|,)v1=([0-9a-f]+)", "t=1,v1=ab,v1=cd"), Some("ab"));
        assert_eq!(find("v1=([0-9]*)", "v1="), None);
        assert_eq!(find("(a)|b", "b"), None);
        assert_eq!("a".parse::<Pattern>(), Err(PatternError::NoGroup));
        assert_eq!("(\\w{99}){99}".parse::<Pattern>(), Err(PatternError::TooLarge));
    }

    #[test]
    fn the_worst_pattern_ends_soon() {
        let worst = |repeats: usize| format!("1[012]{{{repeats}}}0{{20}}([12])").parse::<Pattern>();
        let pattern = (1..9_000).rev().step_by(50).find_map(|n| worst(n).ok()).unwrap();
        let text = scramble(MAX_MATCHED);
        let started = Instant::now();
        assert_eq!(pattern.find(&text), None);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert_eq!("(a+)+$".parse::<Pattern>().unwrap().find(&"a".repeat(MAX_MATCHED + 1)), None);
    }

    proptest! {
        #[test]
        fn no_pattern_does_harm(pattern in "[()\\[\\]{}a-c0-9*+?|.\\\\^$]{0,40}", text in "[a-c0-9]{0,60}") {
            if let Ok(pattern) = pattern.parse::<Pattern>() {
                let _ = pattern.find(&text);
            }
        }
    }
}
