//! `/api/sessions/{id}`, and whether the agent answers in it.

use actix_web::web::{Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::control::{self, SessionChange};
use recado_store::views::{self, SessionDetail};
use recado_types::shape::{ObjectReader, Problems};
use recado_types::{AgentId, SessionId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::parse_id;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::operation::RequestBody;
use crate::http::{Found, schema};

/// The longest reason for a change, in characters.
const MAX_REASON: usize = 1_000;

/// Why.
pub(super) const REASON: RequestBody = RequestBody::optional_json(
    || {
        let why = schema::about(schema::text(1, MAX_REASON), "Why, for whoever looks at it.");
        schema::object(&[], [("reason", why)])
    },
    || json!({ "reason": "The customer asked for a person." }),
);

/// A session by itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub(in crate::http) struct Session {
    id: SessionId,
    agent_id: AgentId,
    agent_name: Option<String>,
    trigger_id: TriggerId,
    trigger_name: Option<String>,
    #[schemars(extend("enum" = super::statuses()))]
    status: String,
    /// Why, as whoever changed it said.
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
pub(in crate::http) async fn show(
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Found<Session>>, ApiError> {
    shown(&caller, parse_id(&id)?).await
}

/// POST `…/suspend`: nothing runs in it any more, and what comes waits.
pub(in crate::http) async fn suspend(
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Session>>, ApiError> {
    let (id, reason) = (parse_id(&id)?, reason(body).await?);
    let change = control::suspend(&caller.store, caller.tenant, id, reason.as_deref()).await;
    changed(&caller, id, change.map_err(store_failed)?).await
}

/// POST `…/resume`: what waits in it runs, and what comes.
pub(in crate::http) async fn resume(
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Session>>, ApiError> {
    let (id, reason) = (parse_id(&id)?, reason(body).await?);
    let change = control::resume(&caller.store, caller.tenant, id, reason.as_deref()).await;
    changed(&caller, id, change.map_err(store_failed)?).await
}

/// POST `…/handoff`: from here on a person answers in it.
pub(in crate::http) async fn hand_off(
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Session>>, ApiError> {
    let (id, reason) = (parse_id(&id)?, reason(body).await?);
    let change = control::hand_off(&caller.store, caller.tenant, id, reason.as_deref()).await;
    changed(&caller, id, change.map_err(store_failed)?).await
}

async fn changed(
    caller: &Caller,
    id: SessionId,
    change: SessionChange,
) -> Result<Json<Found<Session>>, ApiError> {
    match change {
        SessionChange::Changed | SessionChange::Unchanged => shown(caller, id).await,
        SessionChange::NotFound => Err(Problem::SessionNotFound.into()),
    }
}

async fn shown(caller: &Caller, id: SessionId) -> Result<Json<Found<Session>>, ApiError> {
    let found = views::session(&caller.store, caller.tenant, id).await;
    let found = found.map_err(store_failed)?.ok_or(Problem::SessionNotFound)?;
    Ok(Json(Found::new(found.into())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_may_be_left_out_and_is_not_empty() {
        assert_eq!(read_reason(&json!({})).unwrap(), None);
        assert_eq!(read_reason(&json!({"reason": "holidays"})).unwrap(), Some("holidays".into()));
        for bad in [json!({"reason": ""}), json!({"why": "x"}), json!({"reason": 1}), json!(1)] {
            assert_eq!(read_reason(&bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
