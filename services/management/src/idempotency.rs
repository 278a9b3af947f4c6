//! `Idempotency-Key`: what was asked for twice is done once.
//!
//! After the IETF's draft-ietf-httpapi-idempotency-key-header: the same request under the same key
//! gets the first answer again; another request under it is refused, and so is one that comes while
//! the first is being handled. Only what was done is remembered: after a refusal or a failure the
//! key is free again. If the process dies over the first request, nobody knows whether it was done:
//! then a retry is told so, and is not done a second time.

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes, Data};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse};
use hmac::{Hmac, KeyInit, Mac};
use recado_http::auth::Identity;
use recado_http::problem::read_body;
use recado_http::{ApiError, Problem};
use recado_store::idempotency::{self, Answer, Claim};
use recado_store::{Keyring, Store};
use recado_types::TenantId;
use sha2::Sha256;
use uuid::Uuid;

use crate::Api;
use crate::access::{api, in_form, permitted};
use crate::body::{BODY_TIMEOUT, MAX_BODY};
use crate::failure::store_failed;

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// As long as a UUID needs several times over.
pub(crate) const MAX_KEY: usize = 255;
/// Under which operators' keys are kept: they have no tenant.
const OPERATORS: TenantId = TenantId(Uuid::nil());
/// What of the headers says something about the answer.
const KEPT: [HeaderName; 3] = [CONTENT_TYPE, LOCATION, ETAG];

/// What requests are told apart by.
pub(crate) fn fingerprints(keys: &Keyring) -> Hmac<Sha256> {
    Hmac::new_from_slice(&keys.subkey("idempotency")).expect("HMAC takes keys of any length")
}

/// The middleware.
pub(crate) async fn heed(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_asked_for = request.method() == Method::POST && request.headers().contains_key(&KEY);
    if !is_asked_for {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let (request, payload) = request.into_parts();
    match claim(&request, payload).await {
        Ok(Turn::Handler(payload)) => {
            let request = ServiceRequest::from_parts(request, *payload);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Ok(Turn::First(first, body)) => {
            let request = ServiceRequest::from_parts(request, Payload::from(body));
            first.finish(next.call(request).await?.map_into_boxed_body()).await
        }
        Ok(Turn::Again(answer)) => Ok(ServiceResponse::new(request, repeated(answer))),
        Err(error) => {
            let error = in_form(&request, error);
            Ok(ServiceResponse::from_err(error, request))
        }
    }
}

enum Turn {
    /// Whoever it is has no keys: the handler says why.
    Handler(Box<Payload>),
    First(Box<First>, Bytes),
    Again(Answer),
}

/// A request that nobody made before.
struct First {
    store: Store,
    tenant: TenantId,
    key: String,
    claim: chrono::DateTime<chrono::Utc>,
}

async fn claim(request: &HttpRequest, mut payload: Payload) -> Result<Turn, ApiError> {
    let api: &Data<Api> = api(request);
    // Not even a repetition is for those who may not do it (any more).
    let Ok((identity, _)) = permitted(request).await else {
        return Ok(Turn::Handler(payload.into()));
    };
    let tenant = identity.tenant().unwrap_or(OPERATORS);
    let key = key_of(request.headers())?;
    let body = web::Payload::from_request(request, &mut payload).into_inner();
    let body = body
        .map_err(|error| ApiError::from(Problem::MalformedBody).with_source(error.to_string()))?;
    let body = read_body(body, MAX_BODY, BODY_TIMEOUT).await?;
    let fingerprint = fingerprint(&api.fingerprints, &identity, request, &body);
    let store = api.store.for_tenant(tenant);
    let claim = idempotency::claim(&store, tenant, &key, &fingerprint).await;
    match claim.map_err(store_failed)? {
        Claim::Ours(claim) => Ok(Turn::First(Box::new(First { store, tenant, key, claim }), body)),
        Claim::Answered(answer) => Ok(Turn::Again(answer)),
        Claim::Busy => Err(Problem::IdempotencyInProgress.into()),
        Claim::Unknown => Err(Problem::IdempotencyOutcomeUnknown.into()),
        Claim::OtherRequest => Err(Problem::IdempotencyKeyReused.into()),
    }
}

/// # Errors
/// 400 for a key that is none.
fn key_of(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut given = headers.get_all(KEY);
    let key = given.next().and_then(|key| key.to_str().ok()).unwrap_or_default();
    let is_key = (1..=MAX_KEY).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
        && given.next().is_none();
    if is_key {
        return Ok(key.to_owned());
    }
    let expected = format!("must be one text of 1 to {MAX_KEY} visible ASCII characters");
    Err(ApiError::invalid_field("Idempotency-Key", expected))
}

/// What makes a request this request. Each part is preceded by its length. Under a key of ours,
/// because a body may hold a secret that is short enough to be guessed.
fn fingerprint(
    key: &Hmac<Sha256>,
    identity: &Identity,
    request: &HttpRequest,
    body: &[u8],
) -> [u8; 32] {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let mut hash = key.clone();
    for part in [identity.subject().as_bytes(), target.as_bytes(), body] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into_bytes().into()
}

impl First {
    /// Remembers the answer if something was done, and lets go of the key otherwise.
    async fn finish(
        self,
        response: ServiceResponse<BoxBody>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let (request, response) = response.into_parts();
        let (response, body) = response.into_parts();
        let body = to_bytes(body).await.map_err(|error| ApiError::internal(error.to_string()))?;
        let Self { store, tenant, key, claim } = self;
        let kept = if response.status().is_success() {
            let answer = remembered(response.status(), response.headers(), &body);
            idempotency::answer(&store, tenant, &key, claim, &answer).await
        } else {
            idempotency::release(&store, tenant, &key, claim).await
        };
        if let Err(error) = kept {
            // It was done all the same; a retry is told that nobody knows.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the answer to a request with an Idempotency-Key was not kept");
        }
        Ok(ServiceResponse::new(request, response.set_body(BoxBody::new(body))))
    }
}

fn remembered(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    let header = |name: &HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    Answer {
        status: status.as_u16(),
        headers: KEPT.iter().filter_map(header).collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

fn repeated(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    for header in answer.headers {
        response.insert_header(header);
    }
    response.insert_header((REPLAYED, HeaderValue::from_static("true")));
    response.body(answer.body)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(key: &str) -> Result<String, ApiError> {
        let request = TestRequest::default().insert_header((KEY, key)).to_http_request();
        key_of(request.headers())
    }

    #[test]
    fn a_key_is_visible_ascii_of_some_length() {
        assert_eq!(read("3f8a").unwrap(), "3f8a");
        assert!(read(&"k".repeat(MAX_KEY)).is_ok());
        for bad in ["", "a b", "é", &"k".repeat(MAX_KEY + 1)] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let twice = TestRequest::default().append_header((KEY, "a")).append_header((KEY, "b"));
        assert!(key_of(twice.to_http_request().headers()).is_err());
    }

    #[test]
    fn whatever_differs_is_another_request() {
        let member = |subject: &str| {
            Identity::Member(recado_http::auth::Member {
                tenant: TenantId(Uuid::from_u128(1)),
                subject: subject.into(),
                role: recado_http::auth::Role::Editor,
            })
        };
        let at = |target: &str| TestRequest::post().uri(target).to_http_request();
        let key: Hmac<Sha256> = Hmac::new_from_slice(b"key").unwrap();
        let of = |subject: &str, target: &str, body: &[u8]| {
            fingerprint(&key, &member(subject), &at(target), body)
        };
        let first = of("ana", "/a", b"{}");
        assert_eq!(first, of("ana", "/a", b"{}"));
        assert_ne!(first, of("bea", "/a", b"{}"));
        assert_ne!(first, of("ana", "/a?x=1", b"{}"));
        assert_ne!(first, of("ana", "/a", b"{} "));
    }
}
