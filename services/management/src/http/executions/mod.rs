//! `/api/triggers/{id}/executions`: what happened.

mod context;
mod list;
mod show;

pub(super) use list::list;
pub(super) use show::show;

use chrono::{DateTime, Utc};

/// From the first run to the end, in milliseconds.
pub(super) fn execution_time_ms(
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
) -> Option<i64> {
    Some((finished_at? - started_at?).num_milliseconds())
}
