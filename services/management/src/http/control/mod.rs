//! What people do to executions: cancel them, and approve or deny the tool calls they wait with.
//!
//! Each may be done twice: what is so already is answered like what has just become so. Who did it
//! is the subject of their token.

mod objectives;
mod waiting;

pub(super) use objectives::{
    approve as approve_objective, cancel as cancel_objective, deny as deny_objective,
};
pub(super) use waiting::list as waiting_tool_calls;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Json, Path};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::control::{self, Cancellation, Decision, Ruling, Verdict};
use recado_types::scope::Scope;
use recado_types::shape::{ObjectReader, Problems};
use recado_types::{ExecutionId, ToolCallId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::executions::execution_of;
use super::{Found, schema};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::operation::{Access, ErrorForm, Operation, RequestBody, Resource};
use crate::page::{self, Listing};

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/executions/{id}/cancel",
        "Executions",
        &[Operation::post("Cancel an execution", Access::Role(Role::Editor), || {
            web::post().to(cancel)
        })
        .details(
            "It ends a moment later; asking twice changes nothing. The id may be what the sender \
             of a message was told, as for `GET`; the answer has that of the execution.",
        )
        .answers_data::<Cancelled>(202)
        .problems(&[Problem::ExecutionNotFound, Problem::ExecutionEnded])],
    ),
    Resource::new(
        "/api/executions/{id}/tool-calls/{tool_call_id}/approve",
        "Executions",
        &[
            Operation::put("Approve a tool call", Access::Role(Role::Editor), || {
                web::put().to(approve)
            })
            .details(DECIDED)
            .body(MEMO)
            .answers_data::<Decided>(200)
            .problems(REFUSALS),
            Operation::post("Approve a tool call (as POST)", Access::Role(Role::Editor), || {
                web::post().to(approve)
            })
            .details(DECIDED)
            .body(MEMO)
            .answers_data::<Decided>(200)
            .problems(REFUSALS),
        ],
    ),
    Resource::new(
        "/api/executions/{id}/tool-calls/{tool_call_id}/deny",
        "Executions",
        &[
            Operation::put("Deny a tool call", Access::Role(Role::Editor), || web::put().to(deny))
                .details(DENIED)
                .body(MEMO)
                .answers_data::<Decided>(200)
                .problems(REFUSALS),
            Operation::post("Deny a tool call (as POST)", Access::Role(Role::Editor), || {
                web::post().to(deny)
            })
            .details(DENIED)
            .body(MEMO)
            .answers_data::<Decided>(200)
            .problems(REFUSALS),
        ],
    ),
    Resource::new(
        "/api/tool-calls",
        "Executions",
        &[Operation::get(
            "List tool calls that wait for an approval",
            Access::Key(Scope::ReadExecutions),
            || web::get().to(waiting_tool_calls),
        )
        .details("In no particular order.")
        .query(&[waiting::STATUS, page::LIMIT, page::CURSOR])
        .answers::<Listing<waiting::Shown>>(200)],
    ),
    Resource::new(
        "/v1/objectives/{id}/cancel",
        "Objectives",
        &[Operation::post("Cancel an objective", Access::Role(Role::Editor), || {
            web::post().to(cancel_objective)
        })
        .answers::<objectives::Objective>(200)
        .problems(&[Problem::ExecutionNotFound, Problem::ExecutionEnded])],
    )
    .with_errors(ErrorForm::RpcStatus),
    Resource::new(
        "/v1/objectives/{id}/tool_calls/{tool_call_id}/approve",
        "Objectives",
        &[Operation::put("Approve an objective's tool call", Access::Role(Role::Editor), || {
            web::put().to(approve_objective)
        })
        .body(MEMO)
        .answers::<objectives::ToolCall>(200)
        .problems(REFUSALS)],
    )
    .with_errors(ErrorForm::RpcStatus),
    Resource::new(
        "/v1/objectives/{id}/tool_calls/{tool_call_id}/deny",
        "Objectives",
        &[Operation::put("Deny an objective's tool call", Access::Role(Role::Editor), || {
            web::put().to(deny_objective)
        })
        .body(MEMO)
        .answers::<objectives::ToolCall>(200)
        .problems(REFUSALS)],
    )
    .with_errors(ErrorForm::RpcStatus),
];

const DECIDED: &str = "The first decision counts. Who decided is the subject of the token.";
const DENIED: &str = "\
The model is told the memo. The first decision counts. Who decided is the subject of the token.";

/// Why there may be nothing to decide.
const REFUSALS: &[Problem] = &[
    Problem::ExecutionNotFound,
    Problem::ToolCallNotFound,
    Problem::ExecutionEnded,
    Problem::ToolCallNotWaiting,
    Problem::ToolCallDecided,
    Problem::ApprovalExpired,
];

/// The longest thing that somebody may say about a decision, in characters.
const MAX_MEMO: usize = 4_000;

/// What somebody says about a decision.
const MEMO: RequestBody = RequestBody::optional_json(
    || {
        let memo = schema::about(schema::text(0, MAX_MEMO), "Why.");
        schema::object(&[], [("memo", memo)])
    },
    || json!({ "memo": "Ask for the invoice first." }),
);

/// An execution that somebody wants to end.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Cancellation")]
struct Cancelled {
    id: ExecutionId,
    /// Where it stood.
    #[schemars(extend("enum" = super::executions::statuses()))]
    status: String,
}

/// A tool call that was decided on.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Decision")]
pub(super) struct Decided {
    id: ToolCallId,
    execution_id: ExecutionId,
    #[schemars(extend("enum" = ["approved", "denied"]))]
    status: String,
    memo: Option<String>,
}

/// POST `/api/executions/{id}/cancel`: asks an execution to end. 202, because it does so a moment
/// later.
pub(super) async fn cancel(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let cancelled = request_cancel(&api, &caller, &id).await?;
    Ok(HttpResponse::Accepted().json(Found::new(cancelled)))
}

/// PUT or POST `/api/executions/{id}/tool-calls/{tool_call_id}/approve`: lets a call be made.
pub(super) async fn approve(
    api: Data<Api>,
    caller: Caller,
    ids: Path<(String, String)>,
    body: Body,
) -> Result<Json<Found<Decided>>, ApiError> {
    let decided = decide(&api, &caller, &ids, body, Verdict::Approve).await?;
    Ok(Json(Found::new(decided)))
}

/// PUT or POST `…/deny`: keeps a call from being made; the model is told the memo.
pub(super) async fn deny(
    api: Data<Api>,
    caller: Caller,
    ids: Path<(String, String)>,
    body: Body,
) -> Result<Json<Found<Decided>>, ApiError> {
    let decided = decide(&api, &caller, &ids, body, Verdict::Deny).await?;
    Ok(Json(Found::new(decided)))
}

async fn request_cancel(api: &Api, caller: &Caller, id: &str) -> Result<Cancelled, ApiError> {
    let told = parse_execution(id)?;
    let cancel = async |id| {
        let now = api.clock.now();
        let cancellation = control::request_cancel(&caller.store, caller.tenant, id, now).await;
        Ok::<_, ApiError>((id, cancellation.map_err(store_failed)?))
    };
    let (id, cancellation) = match cancel(told).await? {
        known @ (_, Cancellation::Requested { .. }) => known,
        // What a sender was told is the id of a message's own execution, which it may not have got,
        // or which may have ended because a newer one took the message over.
        known => match execution_of(caller, None, told).await? {
            same if same == told => known,
            other => cancel(other).await?,
        },
    };
    match cancellation {
        Cancellation::Requested { status } => Ok(Cancelled { id, status }),
        Cancellation::AlreadyEnded { status } if status == "cancelled" => {
            Ok(Cancelled { id, status })
        }
        Cancellation::AlreadyEnded { status } => {
            let message = format!("the execution has ended: {status}");
            let details = json!({ "status": status });
            Err(ApiError::new(Problem::ExecutionEnded, message).with_details(details))
        }
        Cancellation::NotFound => Err(Problem::ExecutionNotFound.into()),
    }
}

async fn decide(
    api: &Api,
    caller: &Caller,
    (execution, call): &(String, String),
    body: Body,
    verdict: Verdict,
) -> Result<Decided, ApiError> {
    let execution_id = parse_execution(execution)?;
    let id: ToolCallId = call.parse().map_err(|_no_id| Problem::ToolCallNotFound)?;
    let body = body.json_if_any().await?;
    let memo = body.as_ref().map_or(Ok(None), read_memo)?;
    let decision = Decision { verdict, memo: memo.as_deref(), by: &caller.subject };
    let now = api.clock.now();
    let ruling =
        control::decide(&caller.store, caller.tenant, execution_id, id, &decision, now).await;
    let decided = |status: &str, memo| Decided { id, execution_id, status: status.into(), memo };
    match ruling.map_err(store_failed)? {
        Ruling::Decided => Ok(decided(verdict.as_str(), memo)),
        Ruling::AlreadyDecided { status, same: true, memo } => Ok(decided(&status, memo)),
        Ruling::AlreadyDecided { status, same: false, memo } => {
            let details = json!({ "status": status, "memo": memo });
            Err(ApiError::from(Problem::ToolCallDecided).with_details(details))
        }
        Ruling::Over => {
            let message = "the execution has ended, or was cancelled".to_owned();
            Err(ApiError::new(Problem::ExecutionEnded, message))
        }
        Ruling::NotWaiting { status } => {
            let details = json!({ "status": status });
            Err(ApiError::from(Problem::ToolCallNotWaiting).with_details(details))
        }
        Ruling::Expired => Err(Problem::ApprovalExpired.into()),
        Ruling::NoExecution => Err(Problem::ExecutionNotFound.into()),
        Ruling::NoCall => Err(Problem::ToolCallNotFound.into()),
    }
}

fn parse_execution(id: &str) -> Result<ExecutionId, ApiError> {
    id.parse().map_err(|_no_id| Problem::ExecutionNotFound.into())
}

fn read_memo(body: &Value) -> Result<Option<String>, ApiError> {
    let problems = Problems::default();
    let memo = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let memo = fields.string("memo", 0..=MAX_MEMO).map(str::to_owned);
        fields.done();
        memo
    });
    problems.finish(memo).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_may_be_left_out_and_has_an_end() {
        assert_eq!(read_memo(&json!({})).unwrap(), None);
        assert_eq!(read_memo(&json!({"memo": null})).unwrap(), None);
        let longest = "é".repeat(MAX_MEMO);
        assert_eq!(read_memo(&json!({"memo": longest})).unwrap(), Some(longest));
        for bad in [
            json!({"memo": "a".repeat(MAX_MEMO + 1)}),
            json!({"memo": 1}),
            json!({"memo": "a", "reason": "b"}),
            json!([]),
        ] {
            assert_eq!(read_memo(&bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
