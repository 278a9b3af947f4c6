//! `/api/sessions`: conversations, what was said in them, whether the agent answers, and saying
//! something in its place.

mod list;
mod origin;
mod say;
mod state;
mod transcript;

use actix_web::web;
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::views::SessionState;
use recado_types::SessionId;
use recado_types::scope::Scope;

use crate::http::operation::{Access, Operation, Resource};
use crate::page::{self, Listing};

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/sessions",
        "Sessions",
        &[Operation::get("List sessions", Access::Key(Scope::ReadSessions), || {
            web::get().to(list::list)
        })
        .details(
            "Newest first. A request looks at so many sessions and no more, so a page may have \
             fewer entries than `limit`, or none: go on as long as there is a `next_cursor`.",
        )
        .query(list::QUERY)
        .answers::<Listing<list::Shown>>(200)],
    ),
    Resource::new(
        "/api/sessions/{id}",
        "Sessions",
        &[Operation::get("Show a session", Access::Key(Scope::ReadSessions), || {
            web::get().to(state::show)
        })
        .answers_data::<state::Session>(200)
        .problems(&[Problem::SessionNotFound])],
    ),
    Resource::new(
        "/api/sessions/{id}/suspend",
        "Sessions",
        &[Operation::post("Suspend a session", Access::Role(Role::Editor), || {
            web::post().to(state::suspend)
        })
        .details("Within moments nothing runs in it, and what comes waits. Answers still go out.")
        .body(state::REASON)
        .answers_data::<state::Session>(200)
        .problems(&[Problem::SessionNotFound])],
    ),
    Resource::new(
        "/api/sessions/{id}/resume",
        "Sessions",
        &[Operation::post("Resume a session", Access::Role(Role::Editor), || {
            web::post().to(state::resume)
        })
        .details("After a suspension what waits runs; after a handoff the agent answers again.")
        .body(state::REASON)
        .answers_data::<state::Session>(200)
        .problems(&[Problem::SessionNotFound])],
    ),
    Resource::new(
        "/api/sessions/{id}/handoff",
        "Sessions",
        &[Operation::post("Hand a session over to a person", Access::Role(Role::Editor), || {
            web::post().to(state::hand_off)
        })
        .details("The agent answers no more; what comes is remembered.")
        .body(state::REASON)
        .answers_data::<state::Session>(200)
        .problems(&[Problem::SessionNotFound])],
    ),
    Resource::new(
        "/api/sessions/{id}/transcript",
        "Sessions",
        &[Operation::get(
            "List what was said in a session",
            Access::Key(Scope::ReadSessions),
            || web::get().to(transcript::list),
        )
        .details(
            "Newest first. What tools and models said is not in it: that is in the executions. A \
             page may have fewer entries than `limit`: go on as long as there is a `next_cursor`.",
        )
        .query(&[page::LIMIT, page::CURSOR])
        .answers::<Listing<transcript::Shown>>(200)
        .problems(&[Problem::SessionNotFound])],
    ),
    Resource::new(
        "/api/sessions/{id}/messages",
        "Sessions",
        &[Operation::post("Say something to the user", Access::Role(Role::Editor), || {
            web::post().to(say::say)
        })
        .details(
            "Sent in the agent's place, through the trigger's callback, behind what the session \
             has on its way; whether the session is active, suspended or handed off. The agent \
             remembers it as something that was said to the user.",
        )
        .body(say::MESSAGE)
        .answers_data::<say::Said>(202)
        .problems(&[
            Problem::SessionNotFound,
            Problem::NoCallback,
            Problem::TriggerDeleted,
            Problem::ContentRemoved,
        ])],
    ),
    Resource::new(
        "/api/v1/sessions/{id}/trigger-context",
        "Sessions",
        &[Operation::get(
            "Find the trigger behind a session",
            Access::Key(Scope::ReadSessions),
            || web::get().to(origin::trigger_context),
        )
        .answers::<origin::TriggerContext>(200)
        .problems(&[Problem::SessionNotFound])],
    ),
];

/// Where a session may stand.
pub(super) fn statuses() -> [&'static str; 3] {
    SessionState::ALL.map(SessionState::as_str)
}

fn parse_id(id: &str) -> Result<SessionId, ApiError> {
    id.parse().map_err(|_no_id| Problem::SessionNotFound.into())
}
