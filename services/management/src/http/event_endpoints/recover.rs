//! POST `/api/event-endpoints/{id}/recover`: sends again what failed since some time.

use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, TimeDelta, Utc};
use recado_http::{ApiError, Problem};
use recado_store::event_endpoints::{self, Recovery};
use recado_types::shape::{ObjectReader, Problems};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::parse_id;
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::Found;

/// How far back one may ask for.
pub(super) const MAX_AGE: TimeDelta = TimeDelta::days(14);

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Recovery")]
pub(super) struct Recovered {
    /// How many deliveries are due again.
    recovered: u64,
}

/// What failed, or was recorded while the endpoint was disabled, is due again, the oldest first.
pub(super) async fn recover(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<Json<Found<Recovered>>, ApiError> {
    let since = read_since(&body.json().await?, api.clock.now())?;
    let id = parse_id(&id)?;
    let recovery = event_endpoints::recover(&caller.store, caller.tenant, id, since).await;
    match recovery.map_err(store_failed)? {
        Recovery::Recovered(recovered) => Ok(Json(Found::new(Recovered { recovered }))),
        Recovery::Disabled => Err(Problem::EndpointDisabled.into()),
        Recovery::NotFound => Err(Problem::EventEndpointNotFound.into()),
    }
}

fn read_since(body: &Value, now: DateTime<Utc>) -> Result<DateTime<Utc>, ApiError> {
    const KEY: &str = "since";
    let problems = Problems::default();
    let since = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let text = fields.required_string(KEY, 1..=64);
        let since = text.and_then(|text| {
            let parsed = DateTime::parse_from_rfc3339(text);
            fields.accept(KEY, parsed.map_err(|error| format!("is no RFC 3339 time: {error}")))
        });
        if since.is_some_and(|since| since < now - MAX_AGE) {
            fields.refuse(KEY, format!("must be at most {} days ago", MAX_AGE.num_days()));
        }
        if since.is_some_and(|since| since > now) {
            fields.refuse(KEY, "must not be in the future");
        }
        fields.done();
        Some(since?.to_utc())
    });
    problems.finish(()).map_err(invalid)?;
    Ok(since.expect("what is missing is a problem"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_may_look_back_14_days() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let since = |at: DateTime<Utc>| read_since(&json!({"since": at.to_rfc3339()}), now);
        assert_eq!(since(now).unwrap(), now);
        assert_eq!(since(now - MAX_AGE).unwrap(), now - MAX_AGE);
        assert!(since(now - MAX_AGE - TimeDelta::seconds(1)).is_err());
        assert!(since(now + TimeDelta::seconds(1)).is_err());
        for bad in [
            json!({}),
            json!({"since": 7}),
            json!({"since": "yesterday"}),
            json!({"since": "2027-01-15T08:00:00"}),
            json!({"since": now.to_rfc3339(), "until": now.to_rfc3339()}),
        ] {
            assert_eq!(read_since(&bad, now).unwrap_err().problem(), Problem::InvalidInput);
        }
    }
}
