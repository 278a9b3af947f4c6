//! POST `/api/event-endpoints/{id}/rotate-secret`.

use actix_web::web::{Data, Path};
use chrono::TimeDelta;
use recado_http::{ApiError, Problem};
use recado_store::event_endpoints;
use recado_types::shape::{ObjectReader, Problems};
use serde_json::Value;

use super::draft::read_secret;
use super::{WithSecret, parse_id, seen_at, with_secret};
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged};
use crate::failure::{invalid, store_failed};
use crate::http::Found;
use crate::optimistic::{unless_stale, until_saved};

/// How long the old secret signs too if nothing is said: a day.
pub(super) const DEFAULT_EXPIRES_IN_S: u32 = 86_400;
/// The longest it can: a week. A secret that leaked has to end.
pub(super) const MAX_EXPIRES_IN_S: u32 = 604_800;

/// What a body asks for.
#[derive(Debug)]
struct Rotation {
    expires_in: TimeDelta,
    secret: Option<String>,
}

/// Replaces the secret, by one of the caller's or a fresh one, which is in this answer and in no
/// other. Until the old one expires, every event is signed with both.
pub(super) async fn rotate_secret(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<WithSecret>>, ApiError> {
    let (id, rotation) = (parse_id(&id)?, read(body.json_if_any().await?.as_ref())?);
    let secret = rotation.secret.unwrap_or_else(event_endpoints::generate_secret);
    let (store, tenant) = (&caller.store, caller.tenant);
    let endpoint = until_saved(async || {
        let read_at = seen_at(&caller, id, &if_match).await?;
        let now = api.clock.now();
        let expires_at = (!rotation.expires_in.is_zero()).then(|| now + rotation.expires_in);
        let rotated =
            event_endpoints::rotate_secret(store, tenant, id, read_at, &secret, expires_at, now);
        match rotated.await.map_err(store_failed)? {
            Some(endpoint) => Ok(Some(endpoint)),
            None => unless_stale(read_at, Problem::EventEndpointNotFound),
        }
    })
    .await?;
    Ok(with_secret(endpoint, secret))
}

fn read(body: Option<&Value>) -> Result<Rotation, ApiError> {
    let problems = Problems::default();
    let (expires_in_s, secret) = body
        .and_then(|body| {
            let mut fields = ObjectReader::new(body, "", &problems)?;
            let expires_in_s = fields.integer("expires_in_s", 0..=MAX_EXPIRES_IN_S);
            let secret = read_secret(&mut fields);
            fields.done();
            Some((expires_in_s, secret))
        })
        .unwrap_or_default();
    problems.finish(()).map_err(invalid)?;
    let expires_in_s = expires_in_s.unwrap_or(DEFAULT_EXPIRES_IN_S);
    Ok(Rotation { expires_in: TimeDelta::seconds(expires_in_s.into()), secret })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_old_secret_expires_after_a_day_and_at_most_a_week() {
        let seconds = |body: Option<&Value>| read(body).map(|it| it.expires_in.num_seconds());
        assert_eq!(seconds(None).unwrap(), 86_400);
        assert_eq!(seconds(Some(&json!({}))).unwrap(), 86_400);
        for good in [0, 1, 604_800] {
            assert_eq!(seconds(Some(&json!({"expires_in_s": good}))).unwrap(), good);
        }
        for bad in [
            json!({"expires_in_s": 604_801}),
            json!({"expires_in_s": -1}),
            json!({"secret": "x"}),
            json!({"grace_period_s": 1}),
            json!([]),
        ] {
            assert_eq!(seconds(Some(&bad)).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
    }
}
