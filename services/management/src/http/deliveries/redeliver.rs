//! POST `/api/deliveries/{id}/redeliver`: sends a delivery again that has ended.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use recado_http::{ApiError, Problem};
use recado_store::redeliver::{self, RedeliverFrom, Redelivery};
use recado_types::shape::{ObjectReader, Problems};
use serde_json::{Value, json};

use super::parse_id;
use super::show::find;
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::operation::RequestBody;
use crate::http::{Found, schema};

/// 202 with the delivery, which waits for its turn in its session. A trigger that was deleted is no
/// obstacle: what it has accepted is still sent.
pub(in crate::http) async fn redeliver(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let (id, from) = (parse_id(&id)?, read_from(body.json_if_any().await?.as_ref())?);
    let now = api.clock.now();
    let redelivery = redeliver::redeliver(&caller.store, caller.tenant, id, from, now).await;
    match redelivery.map_err(store_failed)? {
        Redelivery::Queued => {
            let delivery = find(&caller, id).await?;
            Ok(HttpResponse::Accepted().json(Found::new(delivery)))
        }
        Redelivery::InProgress => Err(Problem::DeliveryInProgress.into()),
        Redelivery::Arrived => {
            let message = "the delivery has arrived; {\"from\": \"start\"} sends all of it again";
            Err(ApiError::new(Problem::NothingToRedeliver, message))
        }
        Redelivery::Removed => Err(Problem::ContentRemoved.into()),
        Redelivery::NoCallback => {
            let message = "the trigger has neither a callback nor email.smtp any more";
            Err(ApiError::new(Problem::NoCallback, message))
        }
        Redelivery::NotFound => Err(Problem::DeliveryNotFound.into()),
    }
}

const OPTIONS: [(&str, RedeliverFrom); 2] =
    [("first_failed", RedeliverFrom::FirstFailed), ("start", RedeliverFrom::Start)];

/// What of it is sent again.
pub(super) const FROM: RequestBody = RequestBody::optional_json(
    || {
        let from = schema::choice(OPTIONS.map(|(word, _)| word));
        let from = schema::about(from, "The chunks that did not arrive, or all of them.");
        schema::object(&[], [("from", schema::or(from, "first_failed"))])
    },
    || json!({ "from": "first_failed" }),
);

fn read_from(body: Option<&Value>) -> Result<RedeliverFrom, ApiError> {
    let problems = Problems::default();
    let given = body.and_then(|body| {
        let mut fields = ObjectReader::new(body, "", &problems)?;
        let from = fields.choice("from", &OPTIONS);
        fields.done();
        from
    });
    problems.finish(()).map_err(invalid)?;
    Ok(given.unwrap_or(RedeliverFrom::FirstFailed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_at_the_first_failed_chunk_unless_told_otherwise() {
        let from = |body: Option<&Value>| read_from(body).unwrap();
        assert_eq!(from(None), RedeliverFrom::FirstFailed);
        assert_eq!(from(Some(&json!({}))), RedeliverFrom::FirstFailed);
        assert_eq!(from(Some(&json!({"from": "first_failed"}))), RedeliverFrom::FirstFailed);
        assert_eq!(from(Some(&json!({"from": "start"}))), RedeliverFrom::Start);
        for bad in [json!({"from": "end"}), json!({"to": "start"}), json!([]), json!({"from": 1})] {
            assert_eq!(read_from(Some(&bad)).unwrap_err().problem(), Problem::InvalidInput);
        }
    }
}
