//! DELETE `/api/triggers/{id}`.

use actix_web::web::{Data, Json, Path};
use recado_http::{ApiError, Problem};
use recado_store::triggers;

use super::parse_id;
use crate::Api;
use crate::access::{Caller, Write};
use crate::failure::store_failed;
use crate::http::{DONE, Done};

/// Deletes a trigger. What it has accepted is still answered, and can still be looked up.
pub(in crate::http) async fn delete(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<Done>, ApiError> {
    let (id, now) = (parse_id(&id)?, api.clock.now());
    if triggers::delete(&api.store, caller.tenant, id, now).await.map_err(store_failed)? {
        return Ok(Json(DONE));
    }
    Err(Problem::TriggerNotFound.into())
}
