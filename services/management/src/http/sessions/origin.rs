//! GET `/api/v1/sessions/{id}/trigger-context`: from a session back to what it began with.

use actix_web::web::{Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::{self, Origin, OriginTrigger, SessionOrigin};
use recado_types::{AgentId, ExecutionId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;

use super::parse_id;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::executions::{self, execution_time_ms};

/// As seed 000 prints it: not in `data`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriggerContext")]
pub(in crate::http) struct TriggerContext {
    #[schemars(extend("const" = true))]
    success: bool,
    has_trigger: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<ShownTrigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<ShownExecution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    navigation: Option<Navigation>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct ShownTrigger {
    id: TriggerId,
    name: String,
    trigger_type: String,
    agent_id: AgentId,
    agent_name: Option<String>,
    enabled: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct ShownExecution {
    id: ExecutionId,
    #[schemars(extend("enum" = executions::statuses()))]
    status: String,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    execution_time_ms: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Navigation {
    /// Where the execution is shown.
    execution_detail: String,
}

/// GET: the trigger of a session and the execution it began with.
pub(in crate::http) async fn trigger_context(
    caller: Caller,
    id: Path<String>,
) -> Result<Json<TriggerContext>, ApiError> {
    let origin = views::session_origin(&caller.store, caller.tenant, parse_id(&id)?).await;
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
    fn a_session_that_no_trigger_made_says_so() {
        let shown = show_origin(SessionOrigin { trigger: None, execution: None });
        let expected = json!({"success": true, "has_trigger": false});
        assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    }
}
