//! GET `/api/triggers/{id}/executions`: newest first, by status if one is named.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::{self, ExecutionStatus, ExecutionSummary, Filter};
use recado_types::{AgentId, ExecutionId, SessionId, TriggerId};
use serde::Serialize;

use super::execution_time_ms;
use crate::Api;
use crate::access::{Caller, Read};
use crate::failure::store_failed;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

#[derive(Serialize)]
pub(in crate::http) struct Shown {
    id: ExecutionId,
    trigger_id: TriggerId,
    agent_id: AgentId,
    agent_version: Option<i32>,
    session_id: SessionId,
    status: String,
    message_count: i32,
    attempt_count: i32,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    execution_time_ms: Option<i64>,
    tokens_used: Option<i64>,
    cost_usd: Option<f64>,
    error_code: Option<String>,
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

pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let trigger: TriggerId = id.parse().map_err(|_no_id| Problem::TriggerNotFound)?;
    let mut query = QueryReader::of(&request)?;
    let status = query.choice("status", &ExecutionStatus::ALL, ExecutionStatus::as_str);
    let named = status.map_or("any", ExecutionStatus::as_str);
    let scope = format!("executions/{}/{trigger}/{named}", caller.tenant);
    let page: Page<i64> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    if !views::trigger_exists(&api.store, caller.tenant, trigger).await.map_err(store_failed)? {
        return Err(Problem::TriggerNotFound.into());
    }
    let filter = Filter { before: page.after, status, limit: page.n_rows() };
    let found = views::executions(&api.store, caller.tenant, trigger, filter).await;
    let found = found.map_err(store_failed)?;
    let position = |execution: &ExecutionSummary| execution.seq.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}
