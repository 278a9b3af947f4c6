//! GET `/api/triggers/{id}/executions` and `/api/executions`: newest first, those that the query
//! asks for.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::{self, ExecutionFilter, ExecutionSummary, Position};
use recado_types::{AgentId, ExecutionId, SessionId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;

use super::{execution_time_ms, filter};
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::deliveries;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExecutionSummary")]
pub(in crate::http) struct Shown {
    id: ExecutionId,
    trigger_id: TriggerId,
    agent_id: AgentId,
    /// The version that it began with; `null` until it did.
    agent_version: Option<i32>,
    session_id: SessionId,
    #[schemars(extend("enum" = super::statuses()))]
    status: String,
    /// Who said it in the agent's place; `null` for the agent.
    author: Option<String>,
    message_count: i32,
    attempt_count: i32,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    execution_time_ms: Option<i64>,
    tokens_used: Option<i64>,
    cost_usd: Option<f64>,
    error_code: Option<String>,
    /// `null` before the answer, and without a callback.
    #[schemars(extend("enum" = deliveries::statuses_or_null()))]
    delivery_status: Option<String>,
}

impl From<ExecutionSummary> for Shown {
    fn from(summary: ExecutionSummary) -> Self {
        Self {
            id: summary.id,
            trigger_id: summary.trigger_id,
            agent_id: summary.agent_id,
            agent_version: summary.agent_version,
            session_id: summary.session_id,
            status: summary.status,
            author: summary.author,
            message_count: summary.n_messages,
            attempt_count: summary.attempt_count,
            created_at: summary.created_at,
            started_at: summary.started_at,
            finished_at: summary.finished_at,
            execution_time_ms: execution_time_ms(summary.started_at, summary.finished_at),
            tokens_used: summary.tokens_used,
            cost_usd: summary.cost_usd,
            error_code: summary.error_code,
            delivery_status: summary.delivery_status,
        }
    }
}

/// GET: a trigger's.
pub(in crate::http) async fn list_of_trigger(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let trigger: TriggerId = id.parse().map_err(|_no_id| Problem::TriggerNotFound)?;
    let (filter, page) = read(&api, &caller, &request, Some(trigger))?;
    if !views::trigger_exists(&caller.store, caller.tenant, trigger).await.map_err(store_failed)? {
        return Err(Problem::TriggerNotFound.into());
    }
    find(&api, &caller, &filter, &page).await
}

/// GET: a tenant's.
pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let (filter, page) = read(&api, &caller, &request, None)?;
    find(&api, &caller, &filter, &page).await
}

fn read(
    api: &Api,
    caller: &Caller,
    request: &HttpRequest,
    trigger: Option<TriggerId>,
) -> Result<(ExecutionFilter, Page<Position>), ApiError> {
    let mut query = QueryReader::of(request);
    let filter = filter::read(&mut query, trigger);
    let scope = format!("executions/{}/{filter:?}", caller.tenant);
    let page = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    Ok((filter, page))
}

async fn find(
    api: &Api,
    caller: &Caller,
    filter: &ExecutionFilter,
    page: &Page<Position>,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let found =
        views::executions(&caller.store, caller.tenant, filter, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |execution: &ExecutionSummary| execution.position.to_string();
    let stopped_at = found.stopped_at.map(|position| position.to_string());
    Ok(Json(page.stretch(&api.cursors, found.found, stopped_at, position, Shown::from)))
}
