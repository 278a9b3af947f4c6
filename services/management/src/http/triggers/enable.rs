//! POST `/api/triggers/{id}/enable` and `/disable`. Doing it twice changes nothing.

use actix_web::web::{Data, Json, Path};
use recado_http::{ApiError, Problem};
use recado_store::triggers;

use super::{One, Shown, one, parse_id};
use crate::Api;
use crate::access::{Caller, Write};
use crate::failure::store_failed;

pub(in crate::http) async fn enable(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<One<Shown>>, ApiError> {
    set_enabled(&api, &caller, &id, true).await
}

pub(in crate::http) async fn disable(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
) -> Result<Json<One<Shown>>, ApiError> {
    set_enabled(&api, &caller, &id, false).await
}

async fn set_enabled(
    api: &Api,
    caller: &Caller<Write>,
    id: &str,
    enabled: bool,
) -> Result<Json<One<Shown>>, ApiError> {
    let (id, now) = (parse_id(id)?, api.clock.now());
    let trigger = triggers::set_enabled(&api.store, caller.tenant, id, enabled, now).await;
    let trigger = trigger.map_err(store_failed)?.ok_or(Problem::TriggerNotFound)?;
    Ok(Json(one(api, trigger)))
}
