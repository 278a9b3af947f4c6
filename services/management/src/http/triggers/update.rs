//! PATCH `/api/triggers/{id}`.

use actix_web::web::{Data, Json, Path};
use recado_http::{ApiError, Problem};
use recado_store::triggers::{self, Saved};

use super::draft::Reading;
use super::{One, Shown, one, parse_id};
use crate::Api;
use crate::access::{Caller, Write};
use crate::body::Body;
use crate::failure::store_failed;
use crate::optimistic::until_saved;

/// Changes what is given. Two changes at the same time are both made, one after the other.
pub(in crate::http) async fn update(
    api: Data<Api>,
    caller: Caller<Write>,
    id: Path<String>,
    body: Body,
) -> Result<Json<One<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let trigger = until_saved(async || {
        let current = triggers::find(&api.store, caller.tenant, id).await;
        let current = current.map_err(store_failed)?.ok_or(Problem::TriggerNotFound)?;
        let reading = Reading::of_patch(&current, &body);
        let draft = reading.draft(&api.store, caller.tenant).await?;
        let (version, now) = (current.version, api.clock.now());
        let saved = triggers::replace(&api.store, caller.tenant, id, version, &draft, now).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(trigger) => Ok(Some(trigger)),
            Saved::Missing(missing) => Err(reading.refused(&missing)),
            Saved::Stale => Ok(None),
        }
    })
    .await?;
    Ok(Json(one(&api, trigger)))
}
