//! POST `/api/triggers/{id}/rotate-secret`.

use actix_web::web::{Data, Path};
use chrono::{DateTime, TimeDelta, Utc};
use recado_http::{ApiError, Problem};
use recado_store::triggers::{self, Replacement};
use recado_types::TriggerId;
use recado_types::shape::{ObjectReader, Problems};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::shown::told;
use super::{One, Shown, parse_id, version_seen};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged};
use crate::failure::{invalid, store_failed};
use crate::optimistic::{unless_stale, until_saved};

/// How long the old secret stays good if nothing is said: a day.
pub(super) const DEFAULT_GRACE_S: u32 = 86_400;
/// The longest it can: a week. A secret that leaked has to end.
pub(super) const MAX_GRACE_S: u32 = 604_800;

/// Besides that of a creation, the only answer that holds a webhook secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RotatedTrigger")]
pub(in crate::http) struct Rotated {
    #[serde(flatten)]
    trigger: Shown,
    /// What its webhooks are signed with from now on. It is told here and never again.
    webhook_secret: String,
    /// Until when the secret before it is good.
    previous_secret_expires_at: Option<DateTime<Utc>>,
}

/// Makes another webhook secret, which is in this answer and in no other. The one before it stays
/// good for the grace period, so that senders can be told in time.
pub(in crate::http) async fn rotate_secret(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<One<Rotated>>, ApiError> {
    let (id, grace) = (parse_id(&id)?, read_grace(body.json_if_any().await?.as_ref())?);
    ensure_takes_requests(&caller, id).await?;
    let webhook_secret = triggers::generate_webhook_secret();
    let rotated = until_saved(async || {
        let version = version_seen(&caller, id, &if_match).await?;
        let now = api.clock.now();
        let previous_expires_at = (!grace.is_zero()).then(|| now + grace);
        let replacement = Replacement { webhook_secret: &webhook_secret, previous_expires_at };
        let (store, tenant) = (&caller.store, caller.tenant);
        let rotated = triggers::rotate_secret(store, tenant, id, version, replacement, now).await;
        match rotated.map_err(store_failed)? {
            Some(rotated) => Ok(Some(rotated)),
            None => unless_stale(version, Problem::TriggerNotFound),
        }
    })
    .await?;
    let previous_secret_expires_at = rotated.previous_expires_at;
    let data = |trigger| Rotated { trigger, webhook_secret, previous_secret_expires_at };
    Ok(told(&api, rotated.trigger, data))
}

/// What fires by itself is not asked for a secret.
async fn ensure_takes_requests(caller: &Caller, id: TriggerId) -> Result<(), ApiError> {
    let trigger = triggers::find(&caller.store, caller.tenant, id).await.map_err(store_failed)?;
    if trigger.ok_or(Problem::TriggerNotFound)?.takes_requests() {
        return Ok(());
    }
    Err(Problem::NoWebhookSecret.into())
}

fn read_grace(body: Option<&Value>) -> Result<TimeDelta, ApiError> {
    let problems = Problems::default();
    let given = body.and_then(|body| {
        let mut fields = ObjectReader::new(body, "", &problems)?;
        let grace = fields.integer("grace_period_s", 0..=MAX_GRACE_S);
        fields.done();
        grace
    });
    problems.finish(()).map_err(invalid)?;
    Ok(TimeDelta::seconds(given.unwrap_or(DEFAULT_GRACE_S).into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_grace_is_a_day_and_at_most_a_week() {
        let seconds = |body: Option<&Value>| read_grace(body).map(|grace| grace.num_seconds());
        assert_eq!(seconds(None).unwrap(), 86_400);
        assert_eq!(seconds(Some(&json!({}))).unwrap(), 86_400);
        for good in [0, 1, 604_800] {
            assert_eq!(seconds(Some(&json!({"grace_period_s": good}))).unwrap(), good);
        }
        for bad in [
            json!({"grace_period_s": 604_801}),
            json!({"grace_period_s": -1}),
            json!({"grace_period_s": 1.5}),
            json!({"grace_period_s": "1"}),
            json!({"grace": 1}),
            json!([]),
        ] {
            assert_eq!(seconds(Some(&bad)).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
