//! How far a mailbox was read.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How often a mail may fail to be fetched before those behind it are read without it …
const MAX_FAILURES: u32 = 5;
/// … and for how long at least: a server that cannot send any for a while loses none.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// How far a mailbox was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// As long as it is the same, UIDs mean the same mails.
    pub(super) uid_validity: u32,
    /// The last mail that was taken.
    pub(super) last_uid: u32,
    /// When that was.
    pub(super) at: DateTime<Utc>,
    /// The mail that stands in the way, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failing: Option<Failing>,
}

/// A mail that could not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failing {
    uid: u32,
    count: u32,
    since: DateTime<Utc>,
}

impl Position {
    pub(super) fn of(saved: &Value) -> Option<Self> {
        serde_json::from_value(saved.clone()).ok()
    }

    pub(super) fn with(self, last_uid: u32, at: DateTime<Utc>) -> Self {
        Self { last_uid, at, failing: None, ..self }
    }

    /// The same, after `uid` could not be fetched.
    pub(super) fn failing_at(self, uid: u32, now: DateTime<Utc>) -> Self {
        let before = self.failing.filter(|failing| failing.uid == uid);
        let (count, since) = before.map_or((0, now), |before| (before.count, before.since));
        Self { failing: Some(Failing { uid, count: count.saturating_add(1), since }), ..self }
    }

    /// Whether `uid` could not be fetched when it was last tried.
    pub(super) fn is_failing(self, uid: u32) -> bool {
        self.failing.is_some_and(|failing| failing.uid == uid)
    }

    /// Whether it is not to be tried any more, because it has failed too often.
    pub(super) fn gives_up(self, uid: u32, now: DateTime<Utc>) -> bool {
        self.is_failing(uid)
            && self.failing.is_some_and(|failing| {
                failing.count >= MAX_FAILURES && now - failing.since >= PATIENCE
            })
    }

    pub(super) fn to_json(self) -> Value {
        super::json(&self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mail_is_given_up_after_five_failures_and_ten_minutes() {
        let saved = json!({"uid_validity": 1, "last_uid": 6, "at": "2026-11-22T09:00:00Z"});
        let begun = Position::of(&saved).unwrap();
        assert_eq!(begun.to_json(), saved);
        let mut now = begun.at;
        let mut position = begun;
        for _ in 0..4 {
            position = position.failing_at(7, now);
            now += TimeDelta::hours(1);
        }
        assert!(!position.gives_up(7, now), "four times");
        let position = Position::of(&position.failing_at(7, now).to_json()).unwrap();
        assert!(position.gives_up(7, now) && !position.gives_up(8, now));
        assert!(!position.failing_at(8, now).is_failing(7), "another one counts from its first");
        assert_eq!(position.with(6, begun.at), begun);
        let mut hasty = begun;
        for _ in 0..9 {
            hasty = hasty.failing_at(7, now);
        }
        assert!(!hasty.gives_up(7, now), "nine times within a moment");
    }
}
