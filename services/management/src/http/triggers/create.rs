//! POST `/api/triggers`.

use actix_web::web::Data;
use recado_http::{ApiError, Problem};
use recado_store::triggers::{self, Saved};
use recado_types::TriggerId;
use schemars::JsonSchema;
use serde::Serialize;

use super::draft::Reading;
use super::shown::{One, Shown, told};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::Tagged;
use crate::failure::{store_failed, taken};

/// Besides that of a rotation, the only answer that holds a webhook secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreatedTrigger")]
pub(in crate::http) struct Created {
    #[serde(flatten)]
    trigger: Shown,
    /// What its webhooks are signed with, if it takes any. It is told here and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
}

/// Makes a trigger. Its webhook secret is in this answer and in no other.
pub(in crate::http) async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<Tagged<One<Created>>, ApiError> {
    let now = api.clock.now();
    let reading = Reading::of_new(&body.json().await?, now);
    let draft = reading.draft(&caller.store, caller.tenant).await?;
    let chosen = draft.external_id.as_ref().map(|chosen| TriggerId::chosen(draft.agent_id, chosen));
    let id = chosen.unwrap_or_else(|| TriggerId(api.clock.fresh_id()));
    let webhook_secret = triggers::generate_webhook_secret();
    let saved = triggers::create(&caller.store, caller.tenant, id, &draft, &webhook_secret, now);
    match saved.await.map_err(store_failed)? {
        Saved::Saved(trigger) => {
            let webhook_secret = trigger.takes_requests().then_some(webhook_secret);
            let answer = told(&api, trigger, |trigger| Created { trigger, webhook_secret });
            Ok(answer.made_at(format!("/api/triggers/{id}")))
        }
        Saved::Missing(missing) => Err(reading.refused(&missing)),
        Saved::Taken => Err(taken("trigger of the agent", &["external_id"])),
        Saved::Stale => Err(Problem::Conflict.into()),
    }
}
