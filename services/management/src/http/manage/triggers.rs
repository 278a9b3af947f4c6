//! `/manage/…/triggers`: made, looked at, changed and deleted.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use recado_http::ApiError;
use recado_store::triggers::{self, Saved};
use serde_json::Value;

use super::address::{Asked, Here, answer, name_of};
use super::draft::Reading;
use super::page::{Numbered, Pages};
use super::view::{Created, Document, Shown};
use crate::Api;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged, Version};
use crate::failure::{store_failed, taken};
use crate::optimistic::until_saved;
use crate::query::QueryReader;

/// What a client believes to be there, as it may be written wrongly.
type Believed = Result<IfMatch, ApiError>;

/// GET: an agent's triggers, newest first.
pub(super) async fn list(
    api: Data<Api>,
    request: HttpRequest,
    caller: Asked,
) -> Result<Json<Pages<Shown>>, ApiError> {
    answer(&request, async {
        let here = Here::find(&request, caller).await?;
        let mut query = QueryReader::of(&request);
        let page = Numbered::read(&mut query);
        query.done()?;
        let (store, tenant) = (&here.caller.store, here.caller.tenant);
        let found =
            triggers::list_page(store, tenant, here.agent_id, page.offset(), page.limit()).await;
        let found = found.map_err(store_failed)?;
        let shown = found.items.iter().map(|trigger| Shown::of(&api, &here, trigger)).collect();
        Ok(Json(page.listing(shown, found.total)))
    })
    .await
}

/// POST: makes a trigger with a generic channel.
pub(super) async fn create(
    api: Data<Api>,
    request: HttpRequest,
    caller: Asked,
    body: Body,
) -> Result<Tagged<Document<Created>>, ApiError> {
    answer(&request, async {
        let here = Here::find(&request, caller).await?;
        let reading = Reading::of_new(&api, &here, &body.json().await?);
        let draft = reading.draft(&here).await?;
        let secret = triggers::generate_webhook_secret();
        let (store, tenant, now) = (&here.caller.store, here.caller.tenant, api.clock.now());
        let saved = triggers::create(store, tenant, reading.id, draft, &secret, now).await;
        let trigger = match saved.map_err(store_failed)? {
            Saved::Saved(trigger) => trigger,
            Saved::Missing(missing) => return Err(reading.refused(&missing)),
            Saved::Taken | Saved::Stale => return Err(taken("trigger of the agent", &["id"])),
        };
        let location = format!("{}/{}", request.path(), name_of(&trigger));
        let webhook_secret = is_checked_by_us(&trigger.trigger_config).then_some(secret);
        let data = Created { trigger: Shown::of(&api, &here, &trigger), webhook_secret };
        let version = Version::number(trigger.version);
        Ok(Tagged::new(Document { data }, version).made_at(location))
    })
    .await
}

/// Whether nothing describes how requests are checked, so that they are signed as all are.
fn is_checked_by_us(config: &Value) -> bool {
    let channel = &config["channel"];
    channel["authentication"].is_null() && channel["signatureVerification"].is_null()
}

/// GET: one trigger.
pub(super) async fn show(
    api: Data<Api>,
    request: HttpRequest,
    caller: Asked,
) -> Result<Tagged<Document<Shown>>, ApiError> {
    answer(&request, async {
        let here = Here::find(&request, caller).await?;
        let trigger = here.trigger(&request).await?;
        let data = Shown::of(&api, &here, &trigger);
        Ok(Tagged::new(Document { data }, Version::number(trigger.version)))
    })
    .await
}

/// PATCH: replaces the fields that are given; `null` takes one away.
pub(super) async fn update(
    api: Data<Api>,
    request: HttpRequest,
    caller: Asked,
    if_match: Believed,
    body: Body,
) -> Result<Tagged<Document<Shown>>, ApiError> {
    answer(&request, async {
        let (here, if_match) = (Here::find(&request, caller).await?, if_match?);
        here.trigger(&request).await?;
        let body = body.json().await?;
        let trigger = until_saved(async || {
            let current = here.trigger(&request).await?;
            if_match.check(&Version::number(current.version))?;
            let reading = Reading::of_patch(&api, &here, &current, &body)?;
            let draft = reading.draft(&here).await?;
            let (store, tenant, now) = (&here.caller.store, here.caller.tenant, api.clock.now());
            let (id, version) = (current.id, current.version);
            let saved = triggers::replace(store, tenant, id, version, draft, now).await;
            match saved.map_err(store_failed)? {
                Saved::Saved(trigger) => Ok(Some(trigger)),
                Saved::Missing(missing) => Err(reading.refused(&missing)),
                Saved::Stale | Saved::Taken => Ok(None),
            }
        })
        .await?;
        let data = Shown::of(&api, &here, &trigger);
        Ok(Tagged::new(Document { data }, Version::number(trigger.version)))
    })
    .await
}

/// DELETE: what it has accepted is still answered.
pub(super) async fn delete(
    api: Data<Api>,
    request: HttpRequest,
    caller: Asked,
    if_match: Believed,
) -> Result<HttpResponse, ApiError> {
    answer(&request, async {
        let (here, if_match) = (Here::find(&request, caller).await?, if_match?);
        until_saved(async || {
            let current = here.trigger(&request).await?;
            if_match.check(&Version::number(current.version))?;
            let (store, tenant, now) = (&here.caller.store, here.caller.tenant, api.clock.now());
            let (id, version) = (current.id, Some(current.version));
            let deleted = triggers::delete(store, tenant, id, version, now).await;
            Ok(deleted.map_err(store_failed)?.then(|| HttpResponse::NoContent().finish()))
        })
        .await
    })
    .await
}
