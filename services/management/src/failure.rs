//! What becomes of mistakes and failures on their way to an HTTP client.

use recado_http::problem::FieldReason;
use recado_http::{ApiError, Problem};
use recado_store::references::{Deletion, UsedBy};
use recado_store::{Failure, StoreError};
use recado_types::shape::FieldProblem;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

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

/// What came of deleting `what`; `None` if somebody changed it meanwhile.
///
/// # Errors
/// 404 as `not_found` says, and 409 if it is in use.
pub(crate) fn deleted(
    deletion: Deletion,
    what: &str,
    not_found: Problem,
) -> Result<Option<()>, ApiError> {
    match deletion {
        Deletion::Deleted => Ok(Some(())),
        Deletion::Changed => Ok(None),
        Deletion::NotFound => Err(not_found.into()),
        Deletion::InUse(users) => Err(in_use(what, &users)),
    }
}

/// 409, naming the fields whose values another `what` has, as the 400 of a field does.
pub(crate) fn taken(what: &str, fields: &[&str]) -> ApiError {
    taken_as(format!("another {what} has this {}", fields.join(" and this ")), what, fields)
}

/// The same, in other words.
pub(crate) fn taken_as(message: impl Into<String>, what: &str, fields: &[&str]) -> ApiError {
    let reason = format!("another {what} has it");
    let fields = fields.iter().map(|path| json!({ "path": path, "reason": reason }));
    let details = json!({ "fields": fields.collect::<Vec<_>>() });
    ApiError::new(Problem::AlreadyExists, message).with_details(details)
}

/// 409, naming what stops working without it.
pub(crate) fn in_use(what: &str, users: &[UsedBy]) -> ApiError {
    let users: Vec<User> = users.iter().cloned().map(User::from).collect();
    ApiError::new(Problem::Conflict, format!("the {what} is in use; see details.used_by"))
        .with_details(json!({ "used_by": users }))
}

/// What stops working without something else.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct User {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["trigger", "provider", "agent", "tool", "event_endpoint"]))]
    kind: &'static str,
    id: Uuid,
    name: String,
}

impl From<UsedBy> for User {
    fn from(user: UsedBy) -> Self {
        let (kind, id, name) = match user {
            UsedBy::Trigger { id, name } => ("trigger", id.0, name),
            UsedBy::Provider { id, name } => ("provider", id.0, name),
            UsedBy::Agent { id, name } => ("agent", id.0, name),
            UsedBy::Tool { id, name } => ("tool", id.0, name),
            UsedBy::EventEndpoint { id, name } => ("event_endpoint", id.0, name),
        };
        Self { kind, id, name }
    }
}
