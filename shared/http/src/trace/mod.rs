//! Middleware: every request has an id, a span and is counted.
//!
//! * `x-request-id`: the caller's if it is well-formed, else a fresh one; repeated on the
//!   response, errors included.
//! * A span, named after the route and not the path, which may hold identifiers. It begins a trace
//!   that is linked with the caller's (W3C `traceparent`), or goes on with that of a caller who is
//!   trusted.
//! * `recado_http_requests_total` and `recado_http_request_duration_seconds`.
//! * A 5xx is logged here, once, with all its causes; handlers only return their error.

mod metrics;

pub use metrics::register_metrics;
pub use recado_trace::Callers;

use std::error::Error;
use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};
use futures_util::future::LocalBoxFuture;
use opentelemetry::global;
use opentelemetry::propagation::Extractor;
use recado_clock::Clock;
use recado_trace::conventions::{HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE};
use tracing::{Instrument, Span, field};

use crate::ApiError;

/// The header with the request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a caller.
const MAX_ID_LEN: usize = 128;

/// The label of requests that no route matches: paths of strangers must not become labels.
const UNMATCHED: &str = "unmatched";

/// The id of a request, for handlers that record it.
#[derive(Debug, Clone)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id of `request`; `None` outside of [`RequestSpan`].
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn taken_over(headers: &HeaderMap) -> Option<Self> {
        let id = headers.get(&REQUEST_ID)?.to_str().ok()?;
        let well_formed = (1..=MAX_ID_LEN).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        well_formed.then(|| Self(id.into()))
    }

    fn fresh(clock: &dyn Clock) -> Self {
        Self(clock.fresh_id().to_string().into())
    }

    fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an id is made of visible ASCII characters")
    }
}

/// The middleware. To be the outermost one, so that it sees what the others do.
#[derive(Debug, Clone)]
pub struct RequestSpan {
    server: &'static str,
    callers: Callers,
    clock: Arc<dyn Clock>,
}

impl RequestSpan {
    /// For the server of that name (`ingress`, `management`), which is called by `callers`.
    pub fn new(server: &'static str, callers: Callers, clock: Arc<dyn Clock>) -> Self {
        Self { server, callers, clock }
    }
}

impl<S, B> Transform<S, ServiceRequest> for RequestSpan
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Transform = RequestSpanService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, next: S) -> Self::Future {
        ready(Ok(RequestSpanService { next: Rc::new(next), settings: self.clone() }))
    }
}

/// What [`RequestSpan`] wraps a service in.
#[derive(Debug)]
pub struct RequestSpanService<S> {
    next: Rc<S>,
    settings: RequestSpan,
}

impl<S, B> Service<ServiceRequest> for RequestSpanService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<B>;
    type Error = actix_web::Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    forward_ready!(next);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let exchange = Exchange::begin(&self.settings, &request);
        let span = exchange.span.clone();
        let answered = self.next.call(request);
        Box::pin(
            async move {
                match answered.await {
                    Ok(response) => Ok(exchange.answer(response)),
                    Err(error) => Err(exchange.fail(error)),
                }
            }
            .instrument(span),
        )
    }
}

/// One request and its response.
struct Exchange {
    id: RequestId,
    server: &'static str,
    method: &'static str,
    route: String,
    begun: Instant,
    span: Span,
}

impl Exchange {
    fn begin(settings: &RequestSpan, request: &ServiceRequest) -> Self {
        let id = RequestId::taken_over(request.headers())
            .unwrap_or_else(|| RequestId::fresh(settings.clock.as_ref()));
        request.extensions_mut().insert(id.clone());
        let method = metrics::known_method(request.method());
        let route = request.match_pattern().unwrap_or_else(|| UNMATCHED.to_owned());
        let span = tracing::info_span!(
            "http.request",
            otel.name = field::Empty,
            otel.kind = field::Empty,
            { HTTP_REQUEST_METHOD } = method,
            { HTTP_ROUTE } = route,
            { HTTP_RESPONSE_STATUS_CODE } = field::Empty,
            request.id = id.as_str(),
        );
        if recado_trace::is_on() {
            span.record("otel.name", format!("{method} {route}"));
            span.record("otel.kind", "server");
            let caller =
                global::get_text_map_propagator(|w3c| w3c.extract(&Headers(request.headers())));
            recado_trace::called(&span, caller, settings.callers);
        }
        Self { id, server: settings.server, method, route, begun: Instant::now(), span }
    }

    fn answer<B>(&self, mut response: ServiceResponse<B>) -> ServiceResponse<B> {
        let status = response.status().as_u16();
        if let Some(error) = response.response().error() {
            log_if_ours(status, error);
        }
        self.record(status);
        response.headers_mut().insert(REQUEST_ID, self.id.to_header());
        response
    }

    /// An error of another middleware: its response is made further out, so the id is put on then.
    fn fail(&self, mut error: actix_web::Error) -> actix_web::Error {
        let status = error.as_response_error().status_code().as_u16();
        log_if_ours(status, &error);
        self.record(status);
        let id = self.id.to_header();
        error.add_response_mapper(move |mut response| {
            response.headers_mut().insert(REQUEST_ID, id.clone());
            response
        });
        error
    }

    fn record(&self, status: u16) {
        self.span.record(HTTP_RESPONSE_STATUS_CODE, status);
        if status >= 500 {
            recado_trace::fail(&self.span, status.to_string());
        }
        metrics::record(self.server, self.method, &self.route, status, self.begun.elapsed());
    }
}

fn log_if_ours(status: u16, error: &actix_web::Error) {
    if status < 500 {
        return;
    }
    match error.as_error::<ApiError>() {
        // An outage of something behind us: whoever has to act is alarmed by that, once, and not
        // by every request.
        Some(error) if status == 503 => {
            tracing::warn!(status, error = error as &dyn Error, "request failed");
        }
        // What an agent did is in its execution; nothing of ours has failed.
        Some(error) if error.tells_an_outcome() => {
            tracing::info!(status, error = error as &dyn Error, "an execution did not succeed");
        }
        Some(error) => tracing::error!(status, error = error as &dyn Error, "request failed"),
        None => tracing::error!(status, error = %error, "request failed"),
    }
}

/// Request headers, as the propagator wants to read them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests;
