//! `/api/sessions/{id}`: a session, and whether the agent answers in it; and
//! `/api/v1/sessions/{id}/trigger-context`: from a session back to what it began with.

use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::control::{self, SessionChange};
use recado_store::views::{self, Origin, OriginTrigger, SessionDetail, SessionOrigin};
use recado_types::shape::{ObjectReader, Problems};
use recado_types::{AgentId, ExecutionId, SessionId, TriggerId};
use serde::Serialize;
use serde_json::Value;

use super::Found;
use super::executions::execution_time_ms;
use crate::Api;
use crate::access::{Caller, Read, Write};
use crate::body::Body;
use crate::failure::{invalid, store_failed};

/// The longest reason for a change, in characters.
const MAX_REASON: usize = 1_000;

/// A session by itself.
#[derive(Serialize)]
pub(super) struct Session {
    id: SessionId,
    agent_id: AgentId,
    agent_name: Option<String>,
    trigger_id: TriggerId,
    trigger_name: Option<String>,
    status: String,
    status_reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    message_count: i64,
    execution_count: i64,
    unfinished_execution_count: i64,
}

impl From<SessionDetail> for Session {
    fn from(detail: SessionDetail) -> Self {
        let session = detail.session;
        Self {
            id: session.id,
            agent_id: session.agent_id,
            agent_name: session.agent_name,
            trigger_id: detail.trigger_id,
            trigger_name: detail.trigger_name,
            status: session.status,
            status_reason: session.status_reason,
            created_at: session.created_at,
            updated_at: session.updated_at,
            message_count: session.n_messages,
            execution_count: detail.n_executions,
            unfinished_execution_count: detail.n_unfinished,
        }
    }
}

/// GET: one session.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<Found<Session>>, ApiError> {
    shown(&api, &caller, parse_id(&id)?).await
}

/// POST `…/suspend`: nothing runs in it any more, and what comes waits.
pub(super) async fn suspend(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Session>>, ApiError> {
    let (id, reason) = (parse_id(&id)?, reason(body).await?);
    let change = control::suspend(&api.store, caller.tenant, id, reason.as_deref()).await;
    changed(&api, &caller, id, change.map_err(store_failed)?).await
}

/// POST `…/resume`: what waits in it runs, and what comes.
pub(super) async fn resume(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Session>>, ApiError> {
    let (id, reason) = (parse_id(&id)?, reason(body).await?);
    let change = control::resume(&api.store, caller.tenant, id, reason.as_deref()).await;
    changed(&api, &caller, id, change.map_err(store_failed)?).await
}

/// POST `…/handoff`: from here on a person answers in it.
pub(super) async fn hand_off(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Session>>, ApiError> {
    let (id, reason) = (parse_id(&id)?, reason(body).await?);
    let change = control::hand_off(&api.store, caller.tenant, id, reason.as_deref()).await;
    changed(&api, &caller, id, change.map_err(store_failed)?).await
}

async fn changed(
    api: &Api,
    caller: &Caller<Write>,
    id: SessionId,
    change: SessionChange,
) -> Result<Json<Found<Session>>, ApiError> {
    match change {
        SessionChange::Changed | SessionChange::Unchanged => shown(api, caller, id).await,
        SessionChange::NotFound => Err(Problem::SessionNotFound.into()),
    }
}

async fn shown<P>(
    api: &Api,
    caller: &Caller<P>,
    id: SessionId,
) -> Result<Json<Found<Session>>, ApiError> {
    let found = views::session(&api.store, caller.tenant, id).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::SessionNotFound)?;
    Ok(Json(Found::new(found.into())))
}

fn parse_id(id: &str) -> Result<SessionId, ApiError> {
    id.parse().map_err(|_no_id| Problem::SessionNotFound.into())
}

async fn reason(body: Body) -> Result<Option<String>, ApiError> {
    let body = body.json_if_any().await?;
    body.as_ref().map_or(Ok(None), read_reason)
}

fn read_reason(body: &Value) -> Result<Option<String>, ApiError> {
    let problems = Problems::default();
    let reason = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let reason = fields.string("reason", 1..=MAX_REASON).map(str::to_owned);
        fields.done();
        reason
    });
    problems.finish(reason).map_err(invalid)
}

/// As seed 000 prints it: not in `data`.
#[derive(Serialize)]
pub(super) struct TriggerContext {
    success: bool,
    has_trigger: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<ShownTrigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<ShownExecution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    navigation: Option<Navigation>,
}

#[derive(Serialize)]
struct ShownTrigger {
    id: TriggerId,
    name: String,
    trigger_type: String,
    agent_id: AgentId,
    agent_name: Option<String>,
    enabled: bool,
}

#[derive(Serialize)]
struct ShownExecution {
    id: ExecutionId,
    status: String,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    execution_time_ms: Option<i64>,
}

#[derive(Serialize)]
struct Navigation {
    execution_detail: String,
}

/// GET: the trigger of a session and the execution it began with.
pub(super) async fn trigger_context(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
) -> Result<Json<TriggerContext>, ApiError> {
    let origin = views::session_origin(&api.store, caller.tenant, parse_id(&id)?).await;
    let origin = origin.map_err(store_failed)?.ok_or(Problem::SessionNotFound)?;
    Ok(Json(show_origin(origin)))
}

/// An execution is reached through its trigger only.
fn show_origin(origin: SessionOrigin) -> TriggerContext {
    let trigger_id = origin.trigger.as_ref().map(|trigger| trigger.id);
    let execution = origin.execution.filter(|_| trigger_id.is_some());
    let navigation = trigger_id.zip(execution.as_ref()).map(|(trigger, execution)| {
        let execution_detail = format!("/api/triggers/{trigger}/executions/{}", execution.id);
        Navigation { execution_detail }
    });
    TriggerContext {
        success: true,
        has_trigger: trigger_id.is_some(),
        trigger: origin.trigger.map(show_trigger),
        execution: execution.map(show_execution),
        navigation,
    }
}

fn show_trigger(trigger: OriginTrigger) -> ShownTrigger {
    let OriginTrigger { id, name, trigger_type, agent_id, agent_name, enabled } = trigger;
    ShownTrigger { id, name, trigger_type, agent_id, agent_name, enabled }
}

fn show_execution(execution: Origin) -> ShownExecution {
    let Origin { id, status, started_at, finished_at } = execution;
    let execution_time_ms = execution_time_ms(started_at, finished_at);
    ShownExecution { id, status, started_at, finished_at, execution_time_ms }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reason_may_be_left_out_and_is_not_empty() {
        assert_eq!(read_reason(&json!({})).unwrap(), None);
        assert_eq!(read_reason(&json!({"reason": "holidays"})).unwrap(), Some("holidays".into()));
        for bad in [json!({"reason": ""}), json!({"why": "x"}), json!({"reason": 1}), json!(1)] {
            assert_eq!(read_reason(&bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }

    #[test]
    fn a_session_that_no_trigger_made_says_so() {
        let shown = show_origin(SessionOrigin { trigger: None, execution: None });
        let expected = json!({"success": true, "has_trigger": false});
        assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    }
}
