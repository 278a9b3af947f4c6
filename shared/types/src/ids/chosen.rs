//! What its maker calls something, in addresses: an id that was chosen and not given.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::TriggerId;

/// A trigger's id as its maker chose it: 1 to 255 letters, digits, `-`, `_` and `.`.
///
/// It is none that could be taken for an id of ours, so an address means one trigger; and not
/// `new`, where user interfaces have a form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ChosenId(String);

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChosenIdError {
    /// Too short or too long.
    #[error("must have 1 to {} characters", ChosenId::MAX_LENGTH)]
    Length,
    /// Something that an address would have to escape.
    #[error("may have letters from A to Z, digits, `-`, `_` and `.`")]
    Characters,
    /// `.` and `..` are steps of a path and no names.
    #[error("must not be `.` or `..`, which mean something else in an address")]
    Dots,
    /// The word for what is not there yet.
    #[error("must not be `new`")]
    New,
    /// An id that Recado gives.
    #[error("must not look like an id that is given by Recado: a UUID, or `trigger_` and a ULID")]
    Given,
}

impl ChosenId {
    /// The most characters.
    pub const MAX_LENGTH: usize = 255;
    /// What it looks like, as a regular expression.
    pub const PATTERN: &str = r"^[a-zA-Z0-9\-_.]+$";

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ChosenId {
    type Err = ChosenIdError;

    fn from_str(text: &str) -> Result<Self, ChosenIdError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.chars().count() > Self::MAX_LENGTH {
            return Err(ChosenIdError::Length);
        }
        if !text.chars().all(is_plain) {
            return Err(ChosenIdError::Characters);
        }
        match text {
            "." | ".." => Err(ChosenIdError::Dots),
            "new" => Err(ChosenIdError::New),
            _ if text.parse::<TriggerId>().is_ok() => Err(ChosenIdError::Given),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for ChosenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::AgentId;

    fn chosen(text: &str) -> Result<ChosenId, ChosenIdError> {
        text.parse()
    }

    #[test]
    fn a_chosen_id_is_no_id_of_ours() {
        for fine in ["a", "GitHub.push-1_x", "renewal", "...", &"a".repeat(255)] {
            assert_eq!(chosen(fine).unwrap().as_str(), fine);
        }
        let ours = TriggerId(Uuid::from_u128(7));
        let given = [
            ours.to_string(),
            ours.0.simple().to_string(),
            ours.to_string().to_uppercase(),
            ours.prefixed().to_string(),
        ];
        for given in given {
            assert_eq!(chosen(&given), Err(ChosenIdError::Given), "{given}");
        }
        assert_eq!(chosen("new"), Err(ChosenIdError::New));
        assert_eq!(chosen(".."), Err(ChosenIdError::Dots));
        for (bad, error) in [
            ("", ChosenIdError::Length),
            (&*"a".repeat(256), ChosenIdError::Length),
            ("a b", ChosenIdError::Characters),
            ("a/b", ChosenIdError::Characters),
            ("é", ChosenIdError::Characters),
            ("a\n", ChosenIdError::Characters),
        ] {
            assert_eq!(chosen(bad), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn agents_may_choose_the_same() {
        let [one, other] = [1, 2].map(|n| AgentId(Uuid::from_u128(n)));
        let (push, pull) = (chosen("push").unwrap(), chosen("pull").unwrap());
        assert_eq!(TriggerId::chosen(one, &push), TriggerId::chosen(one, &push));
        assert_ne!(TriggerId::chosen(one, &push), TriggerId::chosen(other, &push));
        assert_ne!(TriggerId::chosen(one, &push), TriggerId::chosen(one, &pull));
        // Pinned: addresses that were given out lead there.
        let id = TriggerId::chosen(one, &push).to_string();
        assert_eq!(id, "514805bf-3f86-8a2f-a5ab-de29d376393e");
    }
}
