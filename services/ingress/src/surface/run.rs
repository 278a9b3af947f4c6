//! `/run/tenants/{t}/projects/{p}/agents/{a}/triggers/{id}` (seed 001): always acknowledged, with
//! the ids of what comes of it.
//!
//! Errors are problem documents (RFC 9457). A trigger that is disabled, deleted, or below another
//! path is not there: this surface tells strangers nothing.

use std::time::Instant;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use recado_http::ApiError;
use recado_types::{AgentId, ProjectId, TenantId, TriggerId};
use serde::Serialize;
use serde_json::{Map, json};

use super::{acknowledged, id_in_path, note, only_post};
use crate::ingress::Ingress;
use crate::refusal::Refusal;
use crate::take::{Accepted, Taken, Telling};

/// The route.
pub(crate) const PATH: &str =
    "/run/tenants/{tenant_id}/projects/{project_id}/agents/{agent_id}/triggers/{id}";

const SURFACE: &str = "run";

/// What seed 001 answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invoked {
    success: bool,
    /// The execution.
    invocation_id: String,
    /// The session.
    conversation_id: String,
}

/// POST: somebody wrote something.
pub(crate) async fn receive(
    request: HttpRequest,
    payload: Payload,
    ingress: Data<Ingress>,
) -> Result<HttpResponse, ApiError> {
    let begun = Instant::now();
    let outcome = Box::pin(take(&ingress, &request, payload)).await;
    note(SURFACE, id_in_path(&request, "id").map(TriggerId), begun, &outcome);
    match outcome {
        Ok((response, _)) => Ok(response),
        Err(refusal) => Err(problem(refusal.into(), request.path())),
    }
}

/// Anything but POST.
pub(crate) async fn method_not_allowed(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(problem(only_post(), request.path()))
}

async fn take(
    ingress: &Ingress,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(HttpResponse, &'static str), Refusal> {
    let id = |name| id_in_path(request, name).ok_or(Refusal::TriggerNotFound);
    let (tenant, project) = (TenantId(id("tenant_id")?), ProjectId(id("project_id")?));
    let agent = AgentId(id("agent_id")?);
    let trigger = ingress.trigger(TriggerId(id("id")?)).await?;
    let is_here =
        (trigger.tenant_id, trigger.project_id, trigger.agent_id) == (tenant, project, agent);
    if !is_here || !trigger.enabled {
        return Err(Refusal::TriggerNotFound);
    }
    let body = ingress.body(request, payload).await?;
    let received = ingress.received(request, &body);
    ingress.authenticate(&trigger, &received).await?;
    let value = ingress.parse(&trigger, &received)?;
    match ingress.take(&trigger, &received, value, Telling::Acceptance).await? {
        Taken::Notice(answer) => Ok((answer.into(), "notice")),
        Taken::Messages(messages) => {
            let first = messages.first();
            let body = first.map_or_else(|| json!({"success": true}), invoked);
            Ok((acknowledged(body, first.and_then(|message| message.rate)), "accepted"))
        }
    }
}

fn invoked(message: &Accepted<'_>) -> serde_json::Value {
    json!(Invoked {
        success: true,
        invocation_id: message.execution_id().to_string(),
        conversation_id: message.session_id.to_string(),
    })
}

/// The error as seed 001 documents errors: a problem document that repeats itself in `error`.
fn problem(error: ApiError, path: &str) -> ApiError {
    let repeated = json!({"code": error.problem().code(), "message": error.message()});
    let further =
        Map::from_iter([("instance".to_owned(), path.into()), ("error".to_owned(), repeated)]);
    error.as_rfc9457(further)
}
