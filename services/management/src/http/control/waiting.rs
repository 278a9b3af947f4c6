//! GET `/api/tool-calls?status=waiting_for_approval`: what waits for somebody to decide.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_store::views::{self, WaitingCall};
use recado_types::{ExecutionId, SessionId, ToolCallId, ToolId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::Parameter;
use crate::http::schema;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

/// The only status that is listed: the others are looked up with their execution.
const WAITING: &str = "waiting_for_approval";

/// What may be asked for.
pub(super) const STATUS: Parameter = Parameter {
    name: "status",
    about: "The only one there is to ask for.",
    schema: || schema::choice([WAITING]),
};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WaitingToolCall")]
pub(in crate::http) struct Shown {
    id: ToolCallId,
    execution_id: ExecutionId,
    session_id: SessionId,
    trigger_id: TriggerId,
    tool_id: Option<ToolId>,
    tool_name: String,
    /// `null` if it is too large for a list.
    tool_input: Option<Value>,
    #[schemars(extend("const" = WAITING))]
    status: &'static str,
    created_at: DateTime<Utc>,
    approval_expires_at: Option<DateTime<Utc>>,
}

impl From<WaitingCall> for Shown {
    fn from(call: WaitingCall) -> Self {
        Self {
            id: call.id,
            execution_id: call.execution_id,
            session_id: call.session_id,
            trigger_id: call.trigger_id,
            tool_id: call.tool_id,
            tool_name: call.tool_name,
            tool_input: call.input,
            status: WAITING,
            created_at: call.created_at,
            approval_expires_at: call.approval_expires_at,
        }
    }
}

pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    if query.text("status").is_some_and(|status| status != WAITING) {
        query.refuse("status", format!("must be {WAITING}"));
    }
    let scope = format!("waiting-tool-calls/{}", caller.tenant);
    let page: Page<ToolCallId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let n_rows = page.n_rows();
    let found = views::waiting_tool_calls(&caller.store, caller.tenant, page.after, n_rows).await;
    let found = found.map_err(store_failed)?;
    let position = |call: &WaitingCall| call.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}
