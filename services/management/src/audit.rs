//! Who changed what.
//!
//! A line is written before anything is changed, and completed when the answer is known: what
//! cannot be written down is not done, and a process that dies in between leaves a line without a
//! status. Of a body only the names of its fields are kept.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::LOCATION;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};
use recado_http::auth::Identity;
use recado_http::trace::RequestId;
use recado_http::{ApiError, Problem};
use recado_store::Store;
use recado_store::audit::{self, Outcome};
use recado_types::TenantId;
use serde_json::Value;
use uuid::Uuid;

use crate::Api;
use crate::failure::store_failed;
use crate::http::operation::Operation;

/// How many fields, and how much of a path and of a subject, are kept.
const MAX_FIELDS: usize = 100;
const MAX_TEXT: usize = 512;

/// A line that waits for its end.
struct Entry {
    store: Store,
    id: Uuid,
}

/// The names of a body's fields.
struct Fields(Vec<String>);

/// What is written down of somebody who is about to change something.
pub(crate) fn entry(
    api: &Api,
    tenant: TenantId,
    identity: &Identity,
    request: &HttpRequest,
    operation: &Operation,
) -> audit::Entry {
    audit::Entry {
        id: api.clock.fresh_id(),
        tenant,
        at: api.clock.now(),
        subject: shortened(identity.subject()),
        role: identity.role_name(),
        method: operation.method.name(),
        path: shortened(request.path()),
        operation: request.match_pattern().unwrap_or_default(),
        request_id: RequestId::of(request).map_or_else(String::new, |id| id.as_str().to_owned()),
    }
}

/// Has the line `id` completed when the answer is known.
pub(crate) fn remember(request: &HttpRequest, store: &Store, id: Uuid) {
    request.extensions_mut().insert(Entry { store: store.clone(), id });
}

/// Writes down that somebody is about to change something.
///
/// # Errors
/// 403 if the credential's tenant is gone, 503 if nothing can be written.
pub(crate) async fn begin(
    api: &Api,
    store: &Store,
    tenant: TenantId,
    identity: &Identity,
    request: &HttpRequest,
    operation: &Operation,
) -> Result<(), ApiError> {
    let entry = entry(api, tenant, identity, request, operation);
    if !audit::begin(store, &entry).await.map_err(store_failed)? {
        let gone = "the credential's tenant does not exist";
        return Err(ApiError::new(Problem::TenantMismatch, gone));
    }
    remember(request, store, entry.id);
    Ok(())
}

/// Remembers which fields a body has.
pub(crate) fn note_fields(request: &HttpRequest, body: &Value) {
    let Value::Object(fields) = body else { return };
    let names = fields.keys().take(MAX_FIELDS).map(|name| shortened(name)).collect();
    request.extensions_mut().insert(Fields(names));
}

/// Completes the line of whoever changed something.
pub(crate) async fn complete(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    let entry = response.request().extensions_mut().remove::<Entry>();
    if let Some(Entry { store, id }) = entry {
        let fields = response.request().extensions_mut().remove::<Fields>();
        let outcome = Outcome {
            status: response.status().as_u16().into(),
            fields: fields.map_or_else(Vec::new, |Fields(names)| names),
            resource_id: made(&response),
        };
        if let Err(error) = audit::complete(&store, id, &outcome).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, audit.id = %id, "the audit log does not say how {id} ended");
        }
    }
    Ok(response)
}

/// The id of what was made: the end of `Location`.
fn made(response: &ServiceResponse<impl MessageBody>) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    location.rsplit('/').next().map(str::to_owned)
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
