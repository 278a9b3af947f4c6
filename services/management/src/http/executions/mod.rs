//! `/api/executions`, `/api/triggers/{id}/executions`, and one of them: what happened.

mod context;
mod deliveries;
mod filter;
mod list;
mod llm_calls;
mod show;
mod tool_calls;

pub(super) use context::redacted_value;
pub(super) use filter::{AGENT, FROM, TO, TRIGGER, read_time};
pub(super) use list::{list, list_of_trigger};
pub(super) use show::{execution_of, show, show_alone};

use actix_web::web;
use chrono::{DateTime, Utc};
use recado_http::Problem;
use recado_store::views::ExecutionStatus;
use recado_types::scope::Scope;

use crate::http::operation::{Access, Operation, Resource};
use crate::page::Listing;

const LISTED: &str = "\
Newest first; those of one session by their places in it, newest first too. What sub-agents did is \
found through the calls that they answer, and not listed. A request looks at so many executions \
and no more, so a page may have fewer entries than `limit`, or none: go on as long as there is a \
`next_cursor`.";

const RESOLVED: &str = "\
The id may also be one that an acknowledgement told (`execution_id`, `invocationId`) of a message \
that went into an execution with others: then that one is shown, by its own id. If the message is \
in none yet, the answer is 404 with `details` that say where it waits.";

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/executions",
        "Executions",
        &[Operation::get("List executions", Access::Key(Scope::ReadExecutions), || {
            web::get().to(list)
        })
        .details(LISTED)
        .query(filter::OF_TENANT)
        .answers::<Listing<list::Shown>>(200)],
    ),
    Resource::new(
        "/api/triggers/{id}/executions",
        "Executions",
        &[Operation::get(
            "List a trigger's executions",
            Access::Key(Scope::ReadExecutions),
            || web::get().to(list_of_trigger),
        )
        .details(LISTED)
        .query(filter::OF_TRIGGER)
        .answers::<Listing<list::Shown>>(200)
        .problems(&[Problem::TriggerNotFound])],
    ),
    Resource::new(
        "/api/triggers/{id}/executions/{execution_id}",
        "Executions",
        &[Operation::get(
            "Show an execution of a trigger",
            Access::Key(Scope::ReadExecutions),
            || web::get().to(show),
        )
        .details(RESOLVED)
        .answers::<show::Detail>(200)
        .problems(&[Problem::TriggerNotFound, Problem::ExecutionNotFound])],
    ),
    Resource::new(
        "/api/executions/{id}",
        "Executions",
        &[Operation::get("Show an execution", Access::Key(Scope::ReadExecutions), || {
            web::get().to(show_alone)
        })
        .details(RESOLVED)
        .answers::<show::Detail>(200)
        .problems(&[Problem::ExecutionNotFound])],
    ),
];

/// From the first run to the end, in milliseconds.
pub(super) fn execution_time_ms(
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
) -> Option<i64> {
    Some((finished_at? - started_at?).num_milliseconds())
}

/// Where an execution may stand.
pub(super) fn statuses() -> [&'static str; 7] {
    ExecutionStatus::ALL.map(ExecutionStatus::as_str)
}
