//! POST `/api/triggers`.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::Data;
use recado_http::{ApiError, Problem};
use recado_store::triggers::{self, Saved};
use recado_types::TriggerId;
use serde::Serialize;

use super::draft::Reading;
use super::{Shown, one};
use crate::Api;
use crate::access::{Caller, Write};
use crate::body::Body;
use crate::failure::store_failed;

/// Besides that of a rotation, the only answer that holds a webhook secret.
#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    trigger: Shown,
    webhook_secret: String,
}

/// Makes a trigger. Its webhook secret is in this answer and in no other.
pub(in crate::http) async fn create(
    api: Data<Api>,
    caller: Caller<Write>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let reading = Reading::of_new(&body.json().await?);
    let draft = reading.draft(&api.store, caller.tenant).await?;
    let id = TriggerId(api.clock.fresh_id());
    let secret = triggers::generate_webhook_secret();
    let now = api.clock.now();
    let saved = triggers::create(&api.store, caller.tenant, id, &draft, &secret, now).await;
    match saved.map_err(store_failed)? {
        Saved::Saved(trigger) => {
            let data = |trigger| Created { trigger, webhook_secret: secret };
            let answer = one(&api, trigger).map(data);
            let location = (LOCATION, format!("/api/triggers/{id}"));
            Ok(HttpResponse::Created().insert_header(location).json(answer))
        }
        Saved::Missing(missing) => Err(reading.refused(&missing)),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}
