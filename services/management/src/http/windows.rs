//! `/api/windows`: the bursts of messages that wait to become executions.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json};
use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_store::views::{self, OpenBurst};
use recado_types::scope::Scope;
use recado_types::{AgentId, SessionId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::{Access, Operation, Resource};
use crate::page::{self, Listing, Page};
use crate::query::QueryReader;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[Resource::new(
    "/api/windows",
    "Sessions",
    &[Operation::get("List open windows", Access::Key(Scope::ReadSessions), || {
        web::get().to(list)
    })
    .details(
        "The sessions that have messages in no execution yet, in no particular order. It is what \
         the database knows: when a window really closes is decided elsewhere, so `expected_at` \
         is an estimate.",
    )
    .query(&[page::LIMIT, page::CURSOR])
    .answers::<Listing<Shown>>(200)],
)];

/// A session's messages that are in no execution yet.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenWindow")]
pub(super) struct Shown {
    session_id: SessionId,
    trigger_id: TriggerId,
    trigger_name: String,
    agent_id: AgentId,
    /// `requested`: all of them are on their way to the agent.
    #[schemars(extend("enum" = ["buffered", "requested"]))]
    status: &'static str,
    message_count: i64,
    first_accepted_at: DateTime<Utc>,
    last_accepted_at: DateTime<Utc>,
    /// When it closes if nothing else comes; `null` if the trigger does not buffer any more.
    expected_at: Option<DateTime<Utc>>,
}

impl From<OpenBurst> for Shown {
    fn from(burst: OpenBurst) -> Self {
        Self {
            session_id: burst.session_id,
            trigger_id: burst.trigger_id,
            trigger_name: burst.trigger_name,
            agent_id: burst.agent_id,
            status: if burst.is_requested { "requested" } else { "buffered" },
            message_count: burst.n_messages,
            first_accepted_at: burst.first_accepted_at,
            last_accepted_at: burst.last_accepted_at,
            expected_at: burst.expected_at,
        }
    }
}

/// GET: those that are open now.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("windows/{}", caller.tenant);
    let page: Page<SessionId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = views::open_bursts(&caller.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |burst: &OpenBurst| burst.session_id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}
