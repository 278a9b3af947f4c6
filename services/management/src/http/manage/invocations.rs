//! `/manage/…/triggers/{id}/invocations`: what came of the requests to a trigger.

use actix_web::HttpRequest;
use actix_web::web::Json;
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::triggers::{self, Invocation, InvocationFilter, InvocationStatus, MAX_COUNTED};
use recado_types::{ExecutionId, SessionId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::address::{Asked, Here, answer, name_of};
use super::page::{LIMIT, Numbered, PAGE, Pages};
use super::view::Document;
use crate::failure::store_failed;
use crate::http::executions::{FROM, TO, read_time, redacted_value};
use crate::http::operation::Parameter;
use crate::query::QueryReader;

const _: () = assert!(MAX_COUNTED == 10_000, "the documentation says so");

/// What the query may say.
pub(super) const QUERY: &[Parameter] = &[
    PAGE,
    LIMIT,
    Parameter {
        name: "status",
        about: "Those that stand here only.",
        schema: || json!({ "type": "string", "enum": InvocationStatus::ALL.map(InvocationStatus::as_str) }),
    },
    FROM,
    TO,
];

/// An execution as seed 001 tells it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ManageInvocation")]
pub(in crate::http) struct Shown {
    /// What its sender was told.
    id: ExecutionId,
    /// What the trigger is called on this surface.
    trigger_id: String,
    /// The session.
    conversation_id: SessionId,
    #[schemars(extend("enum" = ["pending", "success", "failed"]))]
    status: &'static str,
    /// The body that came, without what gives access; of the channel `generic`, as long as it is
    /// kept.
    request_payload: Value,
    /// What `outputTransform` made of it; the same if there is none.
    transformed_payload: Value,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
}

impl Shown {
    fn of(trigger_id: &str, invocation: Invocation) -> Self {
        let payload = invocation.payload.unwrap_or_default();
        let request = &payload["request"];
        let transformed = payload.get("transformed").unwrap_or(request);
        Self {
            id: invocation.id,
            trigger_id: trigger_id.to_owned(),
            conversation_id: invocation.session_id,
            status: invocation.status.as_str(),
            request_payload: redacted_value(request),
            transformed_payload: redacted_value(transformed),
            error_message: invocation.error_message,
            created_at: invocation.created_at,
        }
    }
}

/// GET: newest first.
pub(super) async fn list(
    request: HttpRequest,
    caller: Asked,
) -> Result<Json<Pages<Shown>>, ApiError> {
    answer(&request, async {
        let here = Here::find(&request, caller).await?;
        let trigger = here.trigger(&request).await?;
        let mut query = QueryReader::of(&request);
        let page = Numbered::read(&mut query);
        let (from, to) = read_time(&mut query);
        let filter = InvocationFilter {
            status: query.choice("status", &InvocationStatus::ALL, InvocationStatus::as_str),
            from,
            to,
        };
        query.done()?;
        let (store, tenant) = (&here.caller.store, here.caller.tenant);
        let place = (page.offset(), page.limit());
        let found = triggers::invocations(store, tenant, trigger.id, &filter, place).await;
        let (found, name) = (found.map_err(store_failed)?, name_of(&trigger));
        let shown = found.items.into_iter().map(|invocation| Shown::of(&name, invocation));
        Ok(Json(page.listing(shown.collect(), found.total)))
    })
    .await
}

/// GET: one of them.
pub(super) async fn show(
    request: HttpRequest,
    caller: Asked,
) -> Result<Json<Document<Shown>>, ApiError> {
    answer(&request, async {
        let here = Here::find(&request, caller).await?;
        let trigger = here.trigger(&request).await?;
        let id = Here::invocation_id(&request)?;
        let (store, tenant) = (&here.caller.store, here.caller.tenant);
        let found = triggers::invocation(store, tenant, trigger.id, id).await;
        let found = found.map_err(store_failed)?.ok_or(Problem::ExecutionNotFound)?;
        Ok(Json(Document { data: Shown::of(&name_of(&trigger), found) }))
    })
    .await
}
