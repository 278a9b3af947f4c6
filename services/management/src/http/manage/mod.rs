//! `/manage/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/triggers…`: triggers and what
//! came of them, in the words of seed 001 (docs/manage.md).
//!
//! There is one kind of trigger. What is made here is a trigger with the channel `generic`, and
//! those that were made elsewhere are shown here, too.

mod address;
mod authentication;
mod draft;
mod error;
mod invocations;
mod page;
mod schema;
mod triggers;
mod view;

pub(crate) use error::{manage_error, manage_error_schema};

use actix_web::web;
use recado_http::Problem;
use recado_http::auth::Role;
use recado_types::scope::Scope;

use crate::http::operation::{Access, ErrorForm, Operation, RequestBody, Resource};

use page::{LIMIT, PAGE, Pages};
use schema::{
    new_trigger_example, new_trigger_schema, trigger_patch_example, trigger_patch_schema,
};
use view::{Created, Document, Shown};

const TAG: &str = "Triggers, in seed 001's words";

const TRIGGERS: Access = Access::Key(Scope::ReadTriggers);
const INVOCATIONS: Access = Access::Key(Scope::ReadExecutions);
const EDITOR: Access = Access::Role(Role::Editor);

/// What an address may lead to in vain.
const NOT_THERE: &[Problem] = &[Problem::AgentNotFound, Problem::TriggerNotFound];
const CHANGED: &[Problem] = &[Problem::AgentNotFound, Problem::TriggerNotFound, Problem::Conflict];

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/manage/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/triggers",
        TAG,
        &[
            Operation::get("List an agent's triggers", TRIGGERS, || web::get().to(triggers::list))
                .details("Newest first.")
                .query(&[PAGE, LIMIT])
                .answers::<Pages<Shown>>(200)
                .problems(&[Problem::AgentNotFound]),
            Operation::post("Make a trigger for an agent", EDITOR, || {
                web::post().to(triggers::create)
            })
            .details(
                "It has the channel `generic`. A header's `value` is kept as a secret of the \
                 tenant, and never told.",
            )
            .body(RequestBody::json(new_trigger_schema, new_trigger_example))
            .answers::<Document<Created>>(201)
            .problems(&[Problem::AgentNotFound, Problem::AlreadyExists])
            .with_etag(),
        ],
    )
    .with_errors(ErrorForm::Manage),
    Resource::new(
        "/manage/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/triggers/{id}",
        TAG,
        &[
            Operation::get("Show an agent's trigger", TRIGGERS, || web::get().to(triggers::show))
                .answers::<Document<Shown>>(200)
                .problems(NOT_THERE)
                .with_etag(),
            Operation::patch("Change an agent's trigger", EDITOR, || {
                web::patch().to(triggers::update)
            })
            .details(
                "What is given is replaced, `null` takes it away. Of a trigger of another channel \
                 than `generic`, only `name`, `description` and `enabled` can change here.",
            )
            .body(RequestBody::json(trigger_patch_schema, trigger_patch_example))
            .answers::<Document<Shown>>(200)
            .problems(CHANGED)
            .with_etag(),
            Operation::delete("Delete an agent's trigger", EDITOR, || {
                web::delete().to(triggers::delete)
            })
            .details("What it has accepted is still answered.")
            .answers_nothing()
            .problems(CHANGED)
            .with_etag(),
        ],
    )
    .with_errors(ErrorForm::Manage),
    Resource::new(
        "/manage/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/triggers/{id}\
         /invocations",
        TAG,
        &[Operation::get("List a trigger's invocations", INVOCATIONS, || {
            web::get().to(invocations::list)
        })
        .details("Newest first, of the newest 10,000 in the time asked for.")
        .query(invocations::QUERY)
        .answers::<Pages<invocations::Shown>>(200)
        .problems(NOT_THERE)],
    )
    .with_errors(ErrorForm::Manage),
    Resource::new(
        "/manage/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/triggers/{id}\
         /invocations/{invocationId}",
        TAG,
        &[Operation::get("Show an invocation", INVOCATIONS, || web::get().to(invocations::show))
            .details("By what its sender was told, or by the id of an execution.")
            .answers::<Document<invocations::Shown>>(200)
            .problems(&[
                Problem::AgentNotFound,
                Problem::TriggerNotFound,
                Problem::ExecutionNotFound,
            ])],
    )
    .with_errors(ErrorForm::Manage),
];
