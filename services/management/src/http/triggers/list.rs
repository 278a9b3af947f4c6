//! GET `/api/triggers`: newest first.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use recado_http::ApiError;
use recado_store::triggers::{self, Trigger};
use recado_types::TriggerId;

use super::Shown;
use crate::Api;
use crate::access::{Caller, Read};
use crate::failure::store_failed;
use crate::page::{Listing, Page};
use crate::query::QueryReader;

pub(in crate::http) async fn list(
    api: Data<Api>,
    caller: Caller<Read>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("triggers/{}", caller.tenant);
    let page: Page<TriggerId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = triggers::list(&api.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |trigger: &Trigger| trigger.id.to_string();
    let show = |trigger| Shown::of(&api, trigger);
    Ok(Json(page.listing(&api.cursors, found, position, show)))
}
