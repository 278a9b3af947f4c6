//! GET `/api/sessions`: newest first, those that the query asks for.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_store::views::{self, Position, SessionFilter, SessionState, SessionSummary};
use recado_types::{AgentId, SessionId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::Parameter;
use crate::http::{executions, schema};
use crate::page::{self, Listing, Page};
use crate::query::QueryReader;

/// What the query may say.
pub(super) const QUERY: &[Parameter] = &[
    Parameter {
        name: "status",
        about: "Those that stand here only.",
        schema: || schema::choice(super::statuses()),
    },
    executions::FROM,
    executions::TO,
    executions::TRIGGER,
    executions::AGENT,
    page::LIMIT,
    page::CURSOR,
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SessionSummary")]
pub(in crate::http) struct Shown {
    session_id: SessionId,
    agent_id: AgentId,
    agent_name: Option<String>,
    trigger_id: TriggerId,
    trigger_name: Option<String>,
    #[schemars(extend("enum" = super::statuses()))]
    status: String,
    /// Why, as whoever changed it said.
    status_reason: Option<String>,
    created_at: DateTime<Utc>,
    /// When its newest execution began or ended.
    updated_at: DateTime<Utc>,
}

impl From<SessionSummary> for Shown {
    fn from(summary: SessionSummary) -> Self {
        Self {
            session_id: summary.id,
            agent_id: summary.agent_id,
            agent_name: summary.agent_name,
            trigger_id: summary.trigger_id,
            trigger_name: summary.trigger_name,
            status: summary.status,
            status_reason: summary.status_reason,
            created_at: summary.created_at,
            updated_at: summary.updated_at,
        }
    }
}

pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let filter = read(&mut query);
    let scope = format!("sessions/{}/{filter:?}", caller.tenant);
    let page: Page<Position> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found =
        views::sessions(&caller.store, caller.tenant, &filter, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |session: &SessionSummary| session.position().to_string();
    let stopped_at = found.stopped_at.map(|position| position.to_string());
    Ok(Json(page.stretch(&api.cursors, found.found, stopped_at, position, Shown::from)))
}

fn read(query: &mut QueryReader) -> SessionFilter {
    let status = query.choice("status", &SessionState::ALL, SessionState::as_str);
    let (from, to) = executions::read_time(query);
    SessionFilter {
        status,
        trigger_id: query.parsed("trigger_id", "an id"),
        agent_id: query.parsed("agent_id", "an id"),
        from,
        to,
    }
}
