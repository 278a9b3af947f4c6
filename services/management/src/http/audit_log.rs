//! `/api/audit-log`: who changed what through this API.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json};
use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_http::auth::Role;
use recado_store::views::{self, AuditFilter, AuditLine, Position};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::executions::{FROM, TO, read_time};
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::{Access, Operation, Resource};
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;

/// What can be done with it.
pub(in crate::http) const RESOURCES: &[Resource] = &[Resource::new(
    "/api/audit-log",
    "Audit log",
    &[Operation::get("List who changed what", Access::Role(Role::Admin), || {
        web::get().to(list)
    })
    .details(
        "Newest first. A line is there before the change is made: one without a `status` is of a \
         request that is under way, or whose process died over it. Bodies are not kept, only the \
         names of their fields.",
    )
    .query(&[FROM, TO, LIMIT, CURSOR])
    .answers::<Listing<Line>>(200)],
)];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditLine")]
struct Line {
    id: Uuid,
    at: DateTime<Utc>,
    /// Of a token, its `sub`.
    subject: String,
    role: String,
    method: String,
    path: String,
    /// What it is in this document: `/api/triggers/{id}`.
    operation: String,
    request_id: String,
    fields: Vec<String>,
    status: Option<i32>,
    /// The id of what was made.
    resource_id: Option<String>,
}

impl From<AuditLine> for Line {
    fn from(line: AuditLine) -> Self {
        Self {
            id: line.id,
            at: line.at,
            subject: line.subject,
            role: line.role,
            method: line.method,
            path: line.path,
            operation: line.operation,
            request_id: line.request_id,
            fields: line.fields,
            status: line.status,
            resource_id: line.resource_id,
        }
    }
}

/// GET: the lines, newest first.
async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Line>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let (from, to) = read_time(&mut query);
    let filter = AuditFilter { from, to };
    let scope = format!("audit-log/{}/{filter:?}", caller.tenant);
    let page: Page<Position> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found =
        views::audit_log(&caller.store, caller.tenant, &filter, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |line: &AuditLine| line.position().to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Line::from)))
}
