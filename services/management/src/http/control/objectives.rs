//! `/v1/objectives/{id}`: the same in the interface of seed 002, where an execution is an
//! objective.
//!
//! Ids are as in its events, `obj_…` and `toolcall_…`; ours are understood as well. Errors are
//! `google.rpc.Status`.

use actix_web::web::{Data, Json, Path};
use recado_http::ApiError;
use recado_store::control::Verdict;
use schemars::JsonSchema;
use serde::Serialize;

use super::Cancelled;
use crate::Api;
use crate::access::Caller;
use crate::body::Body;

/// A tool call, as the seed's SDKs read it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ObjectiveToolCall")]
pub(in crate::http) struct ToolCall {
    /// `toolcall_…`
    id: String,
    #[schemars(extend("enum" = ["TOOL_CALL_STATUS_APPROVED", "TOOL_CALL_STATUS_DENIED"]))]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    memo: Option<String>,
}

/// An objective, as the seed's SDKs read it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Objective")]
pub(in crate::http) struct Objective {
    /// `obj_…`
    id: String,
    #[schemars(extend("enum" = ["STATE_PENDING", "STATE_RUNNING", "STATE_CANCELLED"]))]
    state: &'static str,
}

/// A credential that may not be good: that is told in the seed's form, too.
type Asked = Result<Caller, ApiError>;

/// PUT `/v1/objectives/{id}/tool_calls/{tool_call_id}/approve`.
pub(in crate::http) async fn approve(
    api: Data<Api>,
    caller: Asked,
    ids: Path<(String, String)>,
    body: Body,
) -> Result<Json<ToolCall>, ApiError> {
    let decided = decide(&api, caller, &ids, body, Verdict::Approve).await;
    decided.map(Json).map_err(ApiError::as_rpc_status)
}

/// PUT `/v1/objectives/{id}/tool_calls/{tool_call_id}/deny`.
pub(in crate::http) async fn deny(
    api: Data<Api>,
    caller: Asked,
    ids: Path<(String, String)>,
    body: Body,
) -> Result<Json<ToolCall>, ApiError> {
    let decided = decide(&api, caller, &ids, body, Verdict::Deny).await;
    decided.map(Json).map_err(ApiError::as_rpc_status)
}

/// POST `/v1/objectives/{id}/cancel`.
pub(in crate::http) async fn cancel(
    api: Data<Api>,
    caller: Asked,
    id: Path<String>,
) -> Result<Json<Objective>, ApiError> {
    let cancelled = async { super::request_cancel(&api, &caller?, &id).await }.await;
    cancelled.map(|it| Json(objective(&it))).map_err(ApiError::as_rpc_status)
}

async fn decide(
    api: &Api,
    caller: Asked,
    ids: &(String, String),
    body: Body,
    verdict: Verdict,
) -> Result<ToolCall, ApiError> {
    let decided = super::decide(api, &caller?, ids, body, verdict).await?;
    let status = match verdict {
        Verdict::Approve => "TOOL_CALL_STATUS_APPROVED",
        Verdict::Deny => "TOOL_CALL_STATUS_DENIED",
    };
    Ok(ToolCall { id: decided.id.prefixed().to_string(), status, memo: decided.memo })
}

/// The seed knows no waiting: what waits runs.
fn objective(cancelled: &Cancelled) -> Objective {
    let state = match cancelled.status.as_str() {
        "queued" => "STATE_PENDING",
        "cancelled" => "STATE_CANCELLED",
        _ => "STATE_RUNNING",
    };
    Objective { id: cancelled.id.prefixed().to_string(), state }
}
