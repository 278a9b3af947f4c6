//! `/run/tenants/{t}/projects/{p}/agents/{a}/triggers/{id}` (seed 001): always acknowledged, with
//! the ids of what comes of it.
//!
//! Project and agent are named by their ids, or by what their owner calls them; a trigger by its id,
//! or by the one that its maker chose, from which and from its agent the id follows.
//!
//! Errors are problem documents (RFC 9457). A trigger that is disabled, deleted, or below another
//! path is not there: this surface tells strangers nothing.

use std::time::Instant;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use recado_http::ApiError;
use recado_intake::payload;
use recado_store::triggers::Place;
use recado_types::{ChosenId, TenantId, TriggerId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::{acknowledged, note, only_post};
use crate::ingress::Ingress;
use crate::place::Places;
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

/// What the path says.
#[derive(Deserialize)]
struct Address {
    tenant_id: String,
    project_id: String,
    agent_id: String,
    id: String,
}

impl Address {
    fn of(request: &HttpRequest) -> Option<Self> {
        request.match_info().load().ok()
    }

    fn tenant(&self) -> Option<TenantId> {
        self.tenant_id.parse().ok()
    }

    /// The agent that is meant, whether its project is the one that is named or not.
    async fn place(&self, ingress: &Ingress) -> Result<Option<Place>, Refusal> {
        match Places::by_ids(&self.project_id, &self.agent_id) {
            Some(place) => Ok(Some(place)),
            None => self.known_place(ingress).await,
        }
    }

    /// The agent that is meant, if it is one of the project that is named.
    async fn known_place(&self, ingress: &Ingress) -> Result<Option<Place>, Refusal> {
        let Some(tenant) = self.tenant() else { return Ok(None) };
        let found = ingress.places.get(tenant, &self.project_id, &self.agent_id).await;
        found.map_err(Refusal::Lookup)
    }

    /// The trigger that is meant.
    fn trigger_id(&self, place: &Place) -> Option<TriggerId> {
        let given = self.id.parse().ok();
        given
            .or_else(|| Some(TriggerId::chosen(place.agent_id, &self.id.parse::<ChosenId>().ok()?)))
    }
}

/// POST: somebody wrote something.
pub(crate) async fn receive(
    request: HttpRequest,
    payload: Payload,
    ingress: Data<Ingress>,
) -> Result<HttpResponse, ApiError> {
    let begun = Instant::now();
    let mut trigger_id = None;
    let outcome = Box::pin(take(&ingress, &request, payload, &mut trigger_id)).await;
    note(SURFACE, trigger_id, begun, &outcome);
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
    trigger_id: &mut Option<TriggerId>,
) -> Result<(HttpResponse, &'static str), Refusal> {
    let address = Address::of(request).ok_or(Refusal::TriggerNotFound)?;
    let place = address.place(ingress).await?.ok_or(Refusal::TriggerNotFound)?;
    *trigger_id = address.trigger_id(&place);
    let trigger = ingress.trigger(trigger_id.ok_or(Refusal::TriggerNotFound)?).await?;
    let is_here = address.tenant() == Some(trigger.tenant_id) && trigger.agent_id == place.agent_id;
    // Where the trigger's agent was when it was saved, or else where the agent is now.
    let is_here = is_here
        && (trigger.project_id == place.project_id
            || address.known_place(ingress).await?.is_some());
    if !is_here || !trigger.enabled {
        return Err(Refusal::TriggerNotFound);
    }
    let body = ingress.body(&trigger, request, payload).await?;
    let received = ingress.received(request, &body);
    ingress.authenticate(&trigger, &received).await?;
    let value = payload::of(&trigger, &received)?;
    match ingress.take(&trigger, &received, &body, value, Telling::Acceptance).await? {
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
