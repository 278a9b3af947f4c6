//! What signatures are made with. Several keys may be good at once: the provider or we are
//! changing them.

use std::fmt;

use chrono::{DateTime, Utc};

/// Some keys of one purpose.
#[derive(Clone, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    bytes: Vec<u8>,
    /// `None` for ever.
    good_until: Option<DateTime<Utc>>,
}

impl fmt::Debug for Keys {
    /// How many they are, and nothing of what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Keys {
    /// The keys in a secret, one a line, each as `read` understands it. An empty one is none: what
    /// is signed with it is anybody's to make.
    pub fn lines(secret: &str, read: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        let lines = secret.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.filter_map(read).filter(|bytes| !bytes.is_empty());
        Self(keys.map(|bytes| Key { bytes, good_until: None }).collect())
    }

    /// A trigger's own secret, and the one before it for as long as that is good.
    pub fn own(current: &str, previous: Option<(&str, DateTime<Utc>)>) -> Self {
        let current = Key { bytes: current.as_bytes().to_vec(), good_until: None };
        let previous = previous.map(|(secret, until)| Key {
            bytes: secret.as_bytes().to_vec(),
            good_until: Some(until),
        });
        let keys = std::iter::once(current).chain(previous);
        Self(keys.filter(|key| !key.bytes.is_empty()).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of those that are good `now` passes.
    pub fn any(&self, now: DateTime<Utc>, passes: impl Fn(&[u8]) -> bool) -> bool {
        let is_good = |key: &&Key| key.good_until.is_none_or(|until| now < until);
        self.0.iter().filter(is_good).any(|key| passes(&key.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_secret_before_is_good_until_its_end() {
        let keys = Keys::own("new", Some(("old", at(100))));
        let is_good = |key: &str, now| keys.any(at(now), |bytes| bytes == key.as_bytes());
        assert!(is_good("new", 0) && is_good("new", 1_000));
        assert!(is_good("old", 99) && !is_good("old", 100));
        assert!(!is_good("other", 0));
    }

    #[test]
    fn each_line_is_a_key_and_an_empty_one_is_none() {
        let keys = Keys::lines(" one \n\n two\r\n", |line| Some(line.as_bytes().to_vec()));
        for key in ["one", "two"] {
            assert!(keys.any(at(0), |bytes| bytes == key.as_bytes()));
        }
        assert!(!keys.any(at(0), <[u8]>::is_empty));
        assert!(Keys::lines(" \n", |line| Some(line.into())).is_empty());
        assert!(Keys::lines("x", |_| None).is_empty());
        assert!(Keys::own("", None).is_empty());
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        assert_eq!(format!("{:?}", Keys::own("whs_1", None)), "Keys(1)");
    }
}
