//! POST `/api/triggers/{id}/test`: what a webhook, or whatever makes the trigger fire, would do, step
//! by step, without doing it.
//!
//! Nothing is written, published or sent: what ingress and delivery would decide is decided by the
//! same code ([`recado_intake`], [`recado_callback`]), and shown. Limits of rates and quotas are
//! not asked, since asking them would count.

mod mask;
mod request;
mod steps;
mod subject;
mod told;
mod walk;

pub(super) use request::{body_example, body_schema};

use actix_web::web::{Data, Json, Path};
use recado_http::ApiError;
use schemars::JsonSchema;
use serde::Serialize;

use super::parse_id;
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::http::Found;
use request::Sample;
use steps::{Step, Steps};
use subject::Subject;
use walk::Walk;

/// What a webhook would do.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriggerTest")]
pub(in crate::http) struct DryRun {
    /// Whether the agent would run because of it.
    would_execute: bool,
    steps: Vec<Step>,
}

/// Shows what a webhook would do.
pub(in crate::http) async fn test(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<DryRun>>, ApiError> {
    let id = parse_id(&id)?;
    let body = body.json().await?;
    let subject = Subject::load(&caller, id).await?;
    let sample = Sample::read(&body, subject.trigger.config.source.trigger_type())?;
    let mut steps = Steps::default();
    let walk = Walk { api: &api, caller: &caller, subject: &subject, sample: &sample };
    let would_execute = Box::pin(walk.go(&mut steps)).await?;
    Ok(Json(Found::new(DryRun { would_execute, steps: steps.all() })))
}
