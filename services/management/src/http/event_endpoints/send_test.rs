//! POST `/api/event-endpoints/{id}/test`: sends an example, as any event is sent.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chrono::SecondsFormat;
use recado_http::{ApiError, Problem};
use recado_store::event_endpoints::{self, SentTest};
use recado_types::EventId;
use serde_json::json;

use super::parse_id;
use crate::Api;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::event_deliveries;

/// 202 with the delivery, whatever types of events the endpoint wants.
pub(super) async fn send_test(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = parse_id(&id)?;
    let (event, now) = (EventId(api.clock.fresh_id()), api.clock.now());
    let payload = json!({
        "type": "recado.test",
        "timestamp": now.to_rfc3339_opts(SecondsFormat::Micros, true),
        "data": {"endpoint_id": id},
    });
    let (store, tenant) = (&caller.store, caller.tenant);
    let payload = payload.to_string();
    let sent = event_endpoints::send_test(store, tenant, id, event, &payload, now).await;
    match sent.map_err(store_failed)? {
        SentTest::Queued(delivery) => event_deliveries::accepted(&caller, delivery).await,
        SentTest::Disabled => Err(Problem::EndpointDisabled.into()),
        SentTest::NotFound => Err(Problem::EventEndpointNotFound.into()),
    }
}
