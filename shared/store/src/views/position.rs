//! Places in lists that are shown newest first, and lists that are looked through.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Later than any clock of ours, and a time that PostgreSQL can hold.
pub(super) const END_OF_TIME: DateTime<Utc> = DateTime::from_timestamp_millis(253_402_300_799_999)
    .expect("the last millisecond of the year 9999 is a time");

/// Earlier than any clock of ours.
pub(super) const BEGINNING_OF_TIME: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// A place in a list: `<number>.<id>` as text. The number is what the list goes by: microseconds,
/// or a place in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where.
    pub at: i64,
    /// Which of those that are there.
    pub id: Uuid,
}

impl Position {
    /// Of what was made at some time.
    pub(super) fn in_time(at: DateTime<Utc>, id: Uuid) -> Self {
        Self { at: at.timestamp_micros(), id }
    }

    /// The time that it stands for, where it stands for one.
    pub(super) fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.at).unwrap_or(END_OF_TIME).min(END_OF_TIME)
    }
}

/// A text that is no [`Position`].
#[derive(Debug, thiserror::Error)]
pub enum NoPosition {
    /// One of the two parts is missing.
    #[error("the position has no id")]
    NoId,
    /// The number is none.
    #[error("the position's number is none")]
    Number(#[source] ParseIntError),
    /// The id is none.
    #[error("the position's id is none")]
    Id(#[source] uuid::Error),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at, self.id)
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (at, id) = text.split_once('.').ok_or(NoPosition::NoId)?;
        let at = at.parse().map_err(NoPosition::Number)?;
        Ok(Self { at, id: id.parse().map_err(NoPosition::Id)? })
    }
}

/// What was found in a list by looking at so many of its rows and no more: what is looked for may
/// be rare.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch<T> {
    /// What was found, in order.
    pub found: Vec<T>,
    /// The last row that was looked at, if there may be more behind it.
    pub stopped_at: Option<Position>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let made_at = DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap();
        let position = Position::in_time(made_at, Uuid::from_u128(7));
        assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        assert_eq!(position.time(), made_at);
        assert_eq!(Position { at: i64::MAX, id: Uuid::nil() }.time(), END_OF_TIME);
        for bad in ["", "1", "1.x", "x.1", "9223372036854775808.x", "."] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
