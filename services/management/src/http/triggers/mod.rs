//! `/api/triggers`: configured ways in.

mod create;
mod delete;
mod draft;
mod dry_run;
mod enable;
mod list;
mod rotate;
mod schema;
mod show;
mod shown;
mod source;
mod stats;
mod types;
mod update;

pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use dry_run::test;
pub(super) use enable::{disable, enable};
pub(super) use list::list;
pub(super) use rotate::rotate_secret;
pub(super) use show::show;
pub(super) use source::source;
pub(super) use stats::stats;
pub(super) use types::types;
pub(super) use update::update;

use actix_web::web;
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::triggers;
use recado_types::TriggerId;
use recado_types::scope::Scope;

use crate::access::Caller;
use crate::etag::{IfMatch, Version};
use crate::failure::store_failed;
use crate::http::Done;
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::page::Listing;

use create::Created;
use rotate::Rotated;
use schema::{
    new_trigger_example, new_trigger_schema, rotation_example, rotation_schema,
    trigger_patch_example, trigger_patch_schema,
};
use shown::{One, Shown, one};

pub(in crate::http) use draft::{MAX_DESCRIPTION, MAX_NAME};

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/triggers",
        "Triggers",
        &[
            Operation::get("List triggers", Access::Key(Scope::ReadTriggers), || {
                web::get().to(list)
            })
            .details("Newest first.")
            .query(list::QUERY)
            .answers::<Listing<Shown>>(200),
            Operation::post("Make a trigger", Access::Role(Role::Editor), || {
                web::post().to(create)
            })
            .details(
                "Its `webhook_secret` is in this answer and in no other. One that was deleted and \
                 had an `external_id` comes back when it is made again, with another secret.",
            )
            .body(RequestBody::json(new_trigger_schema, new_trigger_example))
            .answers::<One<Created>>(201)
            .problems(&[Problem::AlreadyExists])
            .with_etag(),
        ],
    ),
    Resource::new(
        "/api/triggers/types",
        "Triggers",
        &[Operation::get("List the kinds of triggers", Access::Key(Scope::ReadTriggers), || {
            web::get().to(types)
        })
        .answers_data::<Vec<types::Kind>>(200)],
    ),
    Resource::new(
        "/api/triggers/stats",
        "Triggers",
        &[Operation::get(
            "Count triggers and their executions",
            Access::Key(Scope::ReadTriggers),
            || web::get().to(stats),
        )
        .answers_data::<stats::Shown>(200)],
    ),
    Resource::new(
        "/api/triggers/{id}",
        "Triggers",
        &[
            Operation::get("Show a trigger", Access::Key(Scope::ReadTriggers), || {
                web::get().to(show)
            })
            .answers::<One<Shown>>(200)
            .problems(&[Problem::TriggerNotFound])
            .with_etag(),
            Operation::patch("Change a trigger", Access::Role(Role::Editor), || {
                web::patch().to(update)
            })
            .details(
                "What is not given stays. `trigger_config` is a merge patch (RFC 7396), and what \
                 comes of it is judged as a whole.",
            )
            .body(RequestBody::json(trigger_patch_schema, trigger_patch_example))
            .answers::<One<Shown>>(200)
            .problems(&[Problem::TriggerNotFound, Problem::Conflict])
            .with_etag(),
            Operation::delete("Delete a trigger", Access::Role(Role::Editor), || {
                web::delete().to(delete)
            })
            .details("What it has accepted is still answered, and can still be looked up.")
            .answers::<Done>(200)
            .problems(&[Problem::TriggerNotFound, Problem::Conflict])
            .with_etag(),
        ],
    ),
    Resource::new(
        "/api/triggers/{id}/enable",
        "Triggers",
        &[Operation::post("Switch a trigger on", Access::Role(Role::Editor), || {
            web::post().to(enable)
        })
        .details("Doing it twice changes nothing.")
        .answers::<One<Shown>>(200)
        .problems(&[Problem::TriggerNotFound, Problem::Conflict])
        .with_etag()],
    ),
    Resource::new(
        "/api/triggers/{id}/disable",
        "Triggers",
        &[Operation::post("Switch a trigger off", Access::Role(Role::Editor), || {
            web::post().to(disable)
        })
        .details("Doing it twice changes nothing.")
        .answers::<One<Shown>>(200)
        .problems(&[Problem::TriggerNotFound, Problem::Conflict])
        .with_etag()],
    ),
    Resource::new(
        "/api/triggers/{id}/test",
        "Triggers",
        &[Operation::post("Try a trigger", Access::Role(Role::Editor), || web::post().to(test))
            .details(
                "Shows step by step what a webhook would do, and does nothing of it. Hidden values \
                 and secrets are not shown.",
            )
            .body(RequestBody::json(dry_run::body_schema, dry_run::body_example))
            .answers_data::<dry_run::DryRun>(200)
            .problems(&[Problem::TriggerNotFound])],
    ),
    Resource::new(
        "/api/triggers/{id}/source",
        "Triggers",
        &[Operation::get(
            "Show how a trigger that fires by itself is doing",
            Access::Key(Scope::ReadTriggers),
            || web::get().to(source),
        )
        .details("Whether it works, when it is looked at next, and how far it got.")
        .answers_data::<source::Shown>(200)
        .problems(&[Problem::TriggerNotFound])],
    ),
    Resource::new(
        "/api/triggers/{id}/rotate-secret",
        "Triggers",
        &[Operation::post(
            "Give a trigger another webhook secret",
            Access::Role(Role::Editor),
            || web::post().to(rotate_secret),
        )
        .details(
            "The new secret is in this answer and in no other. The one before it stays good for \
             the grace period; the one before that ends at once.",
        )
        .body(RequestBody::optional_json(rotation_schema, rotation_example))
        .answers::<One<Rotated>>(200)
        .problems(&[Problem::TriggerNotFound, Problem::Conflict, Problem::NoWebhookSecret])
        .with_etag()],
    ),
];

fn parse_id(id: &str) -> Result<TriggerId, ApiError> {
    id.parse().map_err(|_no_id| Problem::TriggerNotFound.into())
}

/// The version that a change is for, if the client says what it has seen.
async fn version_seen(
    caller: &Caller,
    id: TriggerId,
    if_match: &IfMatch,
) -> Result<Option<i32>, ApiError> {
    let current = async {
        let found = triggers::find(&caller.store, caller.tenant, id).await;
        found.map_err(store_failed)?.ok_or_else(|| Problem::TriggerNotFound.into())
    };
    let seen = if_match.confirmed(current, |trigger| Version::number(trigger.version)).await?;
    Ok(seen.map(|trigger| trigger.version))
}
