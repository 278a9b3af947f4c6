//! `/api/triggers/{id}/executions` and `/api/executions/{id}`: what happened.

mod context;
mod deliveries;
mod list;
mod llm_calls;
mod show;
mod tool_calls;

pub(super) use context::redacted_value;
pub(super) use list::list;
pub(super) use show::{show, show_alone};

use chrono::{DateTime, Utc};

/// From the first run to the end, in milliseconds.
pub(super) fn execution_time_ms(
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
) -> Option<i64> {
    Some((finished_at? - started_at?).num_milliseconds())
}
