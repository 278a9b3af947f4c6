//! PATCH `/api/triggers/{id}`.

use actix_web::web::{Data, Path};
use recado_http::{ApiError, Problem};
use recado_store::triggers::{self, Saved};

use super::draft::Reading;
use super::{One, Shown, one, parse_id};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged, Version};
use crate::failure::store_failed;
use crate::optimistic::until_saved;

/// Changes what is given. Two changes at the same time are both made, one after the other, unless
/// they say what they have seen.
pub(in crate::http) async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<One<Shown>>, ApiError> {
    let (id, body) = (parse_id(&id)?, body.json().await?);
    let trigger = until_saved(async || {
        let current = triggers::find(&caller.store, caller.tenant, id).await;
        let current = current.map_err(store_failed)?.ok_or(Problem::TriggerNotFound)?;
        if_match.check(&Version::number(current.version))?;
        let reading = Reading::of_patch(&current, &body);
        let draft = reading.draft(&caller.store, caller.tenant).await?;
        let (version, now) = (current.version, api.clock.now());
        let saved = triggers::replace(&caller.store, caller.tenant, id, version, &draft, now).await;
        match saved.map_err(store_failed)? {
            Saved::Saved(trigger) => Ok(Some(trigger)),
            Saved::Missing(missing) => Err(reading.refused(&missing)),
            Saved::Stale | Saved::Taken => Ok(None),
        }
    })
    .await?;
    Ok(one(&api, trigger))
}
