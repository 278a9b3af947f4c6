//! GET `/api/triggers`: newest first.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use recado_http::ApiError;
use recado_store::triggers::{self, Trigger, TriggerFilter, TriggerPosition};
use recado_types::AgentId;
use recado_types::shape::judge_name;
use serde_json::json;

use super::Shown;
use super::draft::MAX_NAME;
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::operation::Parameter;
use crate::http::schema;
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;

/// What the query may say.
pub(super) const QUERY: &[Parameter] = &[
    Parameter { name: "agent_id", about: "Those of one agent only.", schema: schema::id },
    Parameter {
        name: "enabled",
        about: "Those that take messages, or those that do not.",
        schema: || json!({ "type": "boolean" }),
    },
    Parameter {
        name: "name",
        about: "Those that are called exactly so.",
        schema: || schema::name(MAX_NAME),
    },
    LIMIT,
    CURSOR,
];

pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let agent_id: Option<AgentId> = query.parsed("agent_id", "an id");
    let word = |is_enabled| if is_enabled { "true" } else { "false" };
    let enabled = query.choice("enabled", &[true, false], word);
    let name = query.text("name").map(str::to_owned);
    if let Some(Err(reason)) = name.as_deref().map(judge) {
        query.refuse("name", reason);
    }
    let scope = format!("triggers/{}/{agent_id:?}/{enabled:?}/{name:?}", caller.tenant);
    let page: Page<TriggerPosition> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let filter = TriggerFilter { agent_id, enabled, name: name.as_deref() };
    let found =
        triggers::list(&caller.store, caller.tenant, &filter, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |trigger: &Trigger| trigger.position().to_string();
    let show = |trigger| Shown::of(&api, trigger);
    Ok(Json(page.listing(&api.cursors, found, position, show)))
}

fn judge(name: &str) -> Result<(), String> {
    if !(1..=MAX_NAME).contains(&name.chars().count()) {
        return Err(format!("must have 1 to {MAX_NAME} characters"));
    }
    Ok(judge_name(name)?)
}
