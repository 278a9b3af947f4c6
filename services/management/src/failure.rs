//! What becomes of mistakes and failures on their way to an HTTP client.

use recado_http::problem::FieldReason;
use recado_http::{ApiError, Problem};
use recado_store::references::UsedBy;
use recado_store::{Failure, StoreError};
use recado_types::shape::FieldProblem;
use serde_json::{Value, json};

/// What a failed statement means for the client. The cause is logged and not shown.
pub(crate) fn store_failed(error: StoreError) -> ApiError {
    match error.failure() {
        Failure::Unavailable => ApiError::unavailable(error),
        Failure::Duplicate => ApiError::from(Problem::AlreadyExists).with_source(error),
        // Whatever a client may send was judged before it came to a statement.
        Failure::Rejected | Failure::Internal => ApiError::internal(error),
    }
}

/// 400, naming every mistake.
pub(crate) fn invalid(problems: Vec<FieldProblem>) -> ApiError {
    let reason = |problem: FieldProblem| FieldReason { path: problem.path, reason: problem.reason };
    ApiError::invalid_fields(problems.into_iter().map(reason))
}

/// 409, naming what stops working without it.
pub(crate) fn in_use(what: &str, users: &[UsedBy]) -> ApiError {
    let users: Vec<Value> = users.iter().map(user).collect();
    ApiError::new(Problem::Conflict, format!("the {what} is in use; see details.used_by"))
        .with_details(json!({ "used_by": users }))
}

fn user(user: &UsedBy) -> Value {
    match user {
        UsedBy::Trigger { id, name } => json!({"type": "trigger", "id": id, "name": name}),
        UsedBy::Provider { id, name } => json!({"type": "provider", "id": id, "name": name}),
        UsedBy::Agent { id, name } => json!({"type": "agent", "id": id, "name": name}),
        UsedBy::Tool { id, name } => json!({"type": "tool", "id": id, "name": name}),
        UsedBy::EventEndpoint { id, name } => {
            json!({"type": "event_endpoint", "id": id, "name": name})
        }
    }
}
