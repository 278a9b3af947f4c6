//! GET `/api/sessions/{id}/transcript`: what was said in a session, newest first.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::views::{self, Speaker, TranscriptPosition, Utterance};
use recado_types::{ExecutionId, MessageId};
use schemars::JsonSchema;
use serde::Serialize;

use super::parse_id;
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::deliveries;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

/// Something that was said.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TranscriptEntry")]
pub(in crate::http) struct Shown {
    /// `person`: somebody in the agent's place.
    #[schemars(extend("enum" = Speaker::ALL.map(Speaker::as_str)))]
    role: &'static str,
    /// At most its first 20,000 characters.
    text: String,
    /// Whether it is longer than that.
    truncated: bool,
    /// When it was accepted, or was ready to be sent.
    said_at: DateTime<Utc>,
    /// The execution that it is in, or that said it; `null` while it waits for one.
    execution_id: Option<ExecutionId>,
    /// Of a user's.
    message_id: Option<MessageId>,
    /// Of a person's: who.
    author: Option<String>,
    /// Where its delivery stands; `null` without one.
    #[schemars(extend("enum" = deliveries::statuses_or_null()))]
    delivery_status: Option<String>,
}

impl From<Utterance> for Shown {
    fn from(said: Utterance) -> Self {
        Self {
            role: said.speaker.as_str(),
            text: said.text,
            truncated: said.is_cut,
            said_at: said.said_at,
            execution_id: said.execution_id,
            message_id: said.message_id,
            author: said.author,
            delivery_status: said.delivery_status,
        }
    }
}

pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let id = parse_id(&id)?;
    let mut query = QueryReader::of(&request);
    let scope = format!("transcript/{}/{id}", caller.tenant);
    let page: Page<TranscriptPosition> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let (store, tenant) = (&caller.store, caller.tenant);
    if !recado_store::sessions::exists(store, tenant, id).await.map_err(store_failed)? {
        return Err(Problem::SessionNotFound.into());
    }
    let found = views::transcript(store, tenant, id, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |said: &Utterance| said.position.to_string();
    let stopped_at = found.stopped_at.map(|position| position.to_string());
    Ok(Json(page.stretch(&api.cursors, found.said, stopped_at, position, Shown::from)))
}
