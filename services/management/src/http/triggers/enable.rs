//! POST `/api/triggers/{id}/enable` and `/disable`. Doing it twice changes nothing.

use actix_web::web::{Data, Path};
use recado_http::{ApiError, Problem};
use recado_store::triggers;

use super::{One, Shown, one, parse_id, version_seen};
use crate::Api;
use crate::access::Caller;
use crate::etag::{IfMatch, Tagged};
use crate::failure::store_failed;
use crate::optimistic::{unless_stale, until_saved};

pub(in crate::http) async fn enable(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Tagged<One<Shown>>, ApiError> {
    set_enabled(&api, &caller, &id, &if_match, true).await
}

pub(in crate::http) async fn disable(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
) -> Result<Tagged<One<Shown>>, ApiError> {
    set_enabled(&api, &caller, &id, &if_match, false).await
}

async fn set_enabled(
    api: &Api,
    caller: &Caller,
    id: &str,
    if_match: &IfMatch,
    enabled: bool,
) -> Result<Tagged<One<Shown>>, ApiError> {
    let id = parse_id(id)?;
    let trigger = until_saved(async || {
        let version = version_seen(caller, id, if_match).await?;
        let (store, now) = (&caller.store, api.clock.now());
        let set = triggers::set_enabled(store, caller.tenant, id, version, enabled, now).await;
        match set.map_err(store_failed)? {
            Some(trigger) => Ok(Some(trigger)),
            None => unless_stale(version, Problem::TriggerNotFound),
        }
    })
    .await?;
    Ok(one(api, trigger))
}
