//! DELETE `/api/triggers/{id}`.

use actix_web::web::{Data, Json, Path};
use recado_http::{ApiError, Problem};
use recado_store::triggers;

use super::{parse_id, version_seen};
use crate::Api;
use crate::access::Caller;
use crate::etag::IfMatch;
use crate::failure::store_failed;
use crate::http::{DONE, Done};
use crate::optimistic::{unless_stale, until_saved};

/// Deletes a trigger. What it has accepted is still answered, and can still be looked up.
pub(in crate::http) async fn delete(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    until_saved(async || {
        let version = version_seen(&caller, id, &if_match).await?;
        let now = api.clock.now();
        let deleted = triggers::delete(&caller.store, caller.tenant, id, version, now).await;
        if deleted.map_err(store_failed)? {
            Ok(Some(Json(DONE)))
        } else {
            unless_stale(version, Problem::TriggerNotFound)
        }
    })
    .await
}
