//! `callback.success_status`: which statuses mean that the channel took the message.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::shape::ObjectReader;

/// The most entries of the list.
const MAX_ENTRIES: usize = 32;
/// What a success can be: below are no final answers, a redirect is never followed, so what it
/// leads to has not taken anything, and a 5xx never has.
const CLASSES: [(&str, RangeInclusive<u16>); 2] = [("2xx", 200..=299), ("4xx", 400..=499)];

/// Statuses, at most 32 single ones or classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(Vec<RangeInclusive<u16>>);

/// `["2xx"]`.
impl Default for StatusSet {
    fn default() -> Self {
        Self(vec![200..=299])
    }
}

impl StatusSet {
    /// Whether `status` is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Self {
        let Some(value) = fields.any("success_status") else { return Self::default() };
        let entries = value.as_array().filter(|entries| (1..=MAX_ENTRIES).contains(&entries.len()));
        let ranges = entries.and_then(|entries| entries.iter().map(range).collect());
        ranges.map_or_else(
            || {
                fields.refuse(
                    "success_status",
                    format!(
                        "must be a list of 1 to {MAX_ENTRIES} statuses: numbers from 200 to 299 \
                         or 400 to 499, \"2xx\" or \"4xx\"; a redirect is never a success"
                    ),
                );
                Self::default()
            },
            Self,
        )
    }
}

fn range(entry: &Value) -> Option<RangeInclusive<u16>> {
    match entry {
        Value::String(class) => {
            let named = CLASSES.into_iter().find(|(name, _)| name == class);
            named.map(|(_, range)| range)
        }
        single => {
            let status = u16::try_from(single.as_u64()?).ok()?;
            let is_possible = CLASSES.iter().any(|(_, range)| range.contains(&status));
            is_possible.then_some(status..=status)
        }
    }
}
