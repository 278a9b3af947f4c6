//! Sends requests to addresses that a tenant has chosen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use recado_trace::spans;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode, redirect, retry, tls};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};
use url::Url;

use super::dial::Dialer;
use super::resolver::{GuardedResolver, LookUp, System};
use super::{
    Authorities, ForbiddenDestination, Guard, Outbound, Phase, Route, SendError, Streamed,
    Transport,
};

/// How long the name, the connection and TLS may take together. Of this, the name has its own limit.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many unused connections to one host are kept, and for how long: shorter than servers keep
/// theirs, or a request goes out on a connection that is just being closed, and nobody can tell
/// whether it arrived. Gateways wait for 60 s, but Node.js and actix-web for 5 s. They are as many as
/// delivery sends to one destination at a time, or each wave of callbacks would connect anew.
const IDLE_PER_HOST: usize = 256;
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a server may say nothing to a protocol that makes requests of its own: it may wait for
/// news on a stream that nobody sets a time for. Long enough for any answer that somebody waits for.
const TRANSPORT_IDLE: Duration = Duration::from_mins(5);

const USER_AGENT: &str = concat!("Recado/", env!("CARGO_PKG_VERSION"));

/// A client that goes only where its guard lets it. Clones share connections.
#[derive(Debug, Clone)]
pub struct GuardedClient {
    guard: Guard,
    own: Clients,
    transports: Clients,
    dialer: Dialer,
}

/// One for each route.
#[derive(Debug, Clone)]
struct Clients(Arc<HashMap<Route, Client>>);

/// The client cannot be built, for example because the system has no certificates.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up the outbound client")]
pub enum ClientError {
    /// What makes requests.
    Requests(#[source] reqwest::Error),
    /// What connects for other protocols.
    Dialer(#[source] rustls::Error),
}

/// What was answered. Its `Debug` does not show the body.
#[derive(Clone)]
pub struct Answer {
    /// The status; redirects are answers like any other.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it was sent, up to the request's limit.
    pub body: Bytes,
    /// Whether the body was longer than that.
    pub truncated: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}

impl GuardedClient {
    /// A client behind `guard`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(guard: Guard) -> Result<Self, ClientError> {
        Self::trusting(guard, &Authorities::default())
    }

    /// A client behind `guard` that trusts `authorities` besides those of the system.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn trusting(guard: Guard, authorities: &Authorities) -> Result<Self, ClientError> {
        Self::resolving(guard, authorities, &(Arc::new(System) as _))
    }

    /// A client that takes the addresses of names from `names`.
    pub(super) fn resolving(
        guard: Guard,
        authorities: &Authorities,
        names: &Arc<dyn LookUp>,
    ) -> Result<Self, ClientError> {
        let clients = |idle| {
            let of = |route| Ok((route, client(&guard, authorities, names, route, idle)?));
            let all = Route::all(&guard).map(of).collect::<Result<HashMap<_, _>, _>>();
            all.map(|all| Clients(Arc::new(all)))
        };
        let own = clients(None).map_err(ClientError::Requests)?;
        let transports = clients(Some(TRANSPORT_IDLE)).map_err(ClientError::Requests)?;
        if !guard.allow.is_empty() {
            tracing::info!(networks = ?guard.allow, "requests may go to private networks");
        }
        if !authorities.is_empty() {
            tracing::info!(
                ?authorities,
                "servers may be vouched for by the operator's authorities"
            );
        }
        let dialer = Dialer::new(authorities, names).map_err(ClientError::Dialer)?;
        Ok(Self { guard, own, transports, dialer })
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The guard, for checks ahead of time.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends one request, once: nothing is retried and no redirect is followed.
    ///
    /// # Errors
    /// When there is no complete answer within the request's time. A status is never an error.
    pub async fn send(&self, request: Outbound) -> Result<Answer, SendError> {
        let span = span_of(&request);
        let answer = self.exchange(request).instrument(span.clone()).await;
        note(&span, answer.as_ref().map(|answer| answer.status));
        answer
    }

    async fn exchange(&self, request: Outbound) -> Result<Answer, SendError> {
        let deadline = Instant::now() + request.timeout;
        let limit = request.max_body_bytes;
        let response = self.begin(request, deadline).await?;
        let status = response.status();
        timeout_at(deadline, read(response, limit))
            .await
            .map_err(|_elapsed| SendError::Timeout { phase: Phase::Body(status) })?
    }

    /// Sends one request like [`GuardedClient::send`], and hands over its answer while the body is
    /// still coming. The request's limits of time and bytes hold for all of it, and the body may
    /// not pause for longer than `idle` once it has begun.
    ///
    /// # Errors
    /// When no answer begins within the request's time. A status is never an error.
    pub async fn send_streaming(
        &self,
        request: Outbound,
        idle: Duration,
    ) -> Result<Streamed, SendError> {
        let deadline = Instant::now() + request.timeout;
        let limit = request.max_body_bytes;
        let span = span_of(&request);
        let response = self.begin(request, deadline).instrument(span.clone()).await;
        note(&span, response.as_ref().map(Response::status));
        let response = response?;
        Ok(Streamed::of(response, limit, deadline, idle))
    }

    /// A client for a protocol that makes requests of its own: it resolves names behind the guard
    /// and follows no redirect. It gives up on an answer that pauses for 5 min; otherwise it knows
    /// neither limits of time nor of bytes. It shares its connections with others like it, and
    /// it is for `url` only: an address that is written as numbers is checked here and never again.
    ///
    /// # Errors
    /// Why the destination is closed.
    pub fn transport_for(&self, url: &Url) -> Result<Client, ForbiddenDestination> {
        Ok(self.transports.of(self.guard.route(url)?).clone())
    }

    fn client_for(&self, url: &Url) -> Result<&Client, ForbiddenDestination> {
        Ok(self.own.of(self.guard.route(url)?))
    }

    /// Sends a request and waits for the head of its answer.
    async fn begin(&self, request: Outbound, deadline: Instant) -> Result<Response, SendError> {
        let client = self.client_for(&request.url).map_err(SendError::Forbidden)?;
        let request = request.in_current_span().into_request();
        timeout_at(deadline, client.execute(request))
            .await
            .map_err(|_elapsed| SendError::Timeout { phase: Phase::Answer })?
            .map_err(SendError::of)
    }
}

fn span_of(request: &Outbound) -> Span {
    let host = request.url.host_str().unwrap_or_default();
    spans::request(request.method.as_str(), host, request.url.port_or_known_default())
}

fn note(span: &Span, answered: Result<StatusCode, &SendError>) {
    match answered {
        Ok(status) => spans::responded(span, status.as_u16()),
        Err(error) => recado_trace::fail(span, error.code()),
    }
}

/// Reads at most `limit` bytes of the body, whatever the server says about its length. Dropping
/// the rest closes the connection.
async fn read(mut response: Response, limit: usize) -> Result<Answer, SendError> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let mut body = BytesMut::new();
    let mut truncated = false;
    let broken = |error| SendError::of_body(status, error);
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        let room = limit - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            truncated = true;
            break;
        }
    }
    Ok(Answer { status, headers, body: body.freeze(), truncated })
}

impl Clients {
    fn of(&self, route: Route) -> &Client {
        self.0.get(&route).expect("there is a client for every route behind the same guard")
    }
}

/// `idle` is how long an answer may pause, from the request on.
#[expect(clippy::disallowed_methods, reason = "this is the guarded client")]
fn client(
    guard: &Guard,
    authorities: &Authorities,
    names: &Arc<dyn LookUp>,
    route: Route,
    idle: Option<Duration>,
) -> Result<Client, reqwest::Error> {
    let resolver = GuardedResolver { guard: guard.clone(), route, names: Arc::clone(names) };
    let builder = Client::builder()
        .dns_resolver(Arc::new(resolver))
        .tls_certs_merge(authorities.certificates())
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .https_only(route.transport == Transport::Tls)
        .tls_version_min(tls::Version::TLS_1_2)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(USER_AGENT);
    match idle {
        Some(idle) => builder.read_timeout(idle),
        None => builder,
    }
    .build()
}
