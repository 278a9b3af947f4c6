//! `/api/v1/sessions/{id}/trigger-context`: from a session back to what it began with.

use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::{self, Origin, OriginTrigger, SessionOrigin};
use recado_types::{AgentId, ExecutionId, SessionId, TriggerId};
use serde::Serialize;

use super::executions::execution_time_ms;
use crate::Api;
use crate::access::{Caller, Read};
use crate::failure::store_failed;

/// As seed 000 prints it: not in `data`.
#[derive(Serialize)]
pub(super) struct Shown {
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
) -> Result<Json<Shown>, ApiError> {
    let id: SessionId = id.parse().map_err(|_no_id| Problem::SessionNotFound)?;
    let origin = views::session_origin(&api.store, caller.tenant, id).await;
    let origin = origin.map_err(store_failed)?.ok_or(Problem::SessionNotFound)?;
    Ok(Json(show(origin)))
}

/// An execution is reached through its trigger only.
fn show(origin: SessionOrigin) -> Shown {
    let trigger_id = origin.trigger.as_ref().map(|trigger| trigger.id);
    let execution = origin.execution.filter(|_| trigger_id.is_some());
    let navigation = trigger_id.zip(execution.as_ref()).map(|(trigger, execution)| {
        let execution_detail = format!("/api/triggers/{trigger}/executions/{}", execution.id);
        Navigation { execution_detail }
    });
    Shown {
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
    fn a_session_that_no_trigger_made_says_so() {
        let shown = show(SessionOrigin { trigger: None, execution: None });
        let expected = json!({"success": true, "has_trigger": false});
        assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    }
}
