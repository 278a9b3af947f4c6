//! The REST API, as somebody outside speaks it.

use std::time::Duration;

use recado_clock::{Clock as _, SystemClock};
use recado_http::guard::retry_after;
use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::connection::Connection;
use super::failure::{Failure, Refusal};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a request is made that the server asks to make later.
const MAX_ATTEMPTS: usize = 5;
/// A server that wants to be left alone for longer is not waited for.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// More than the longest answer: an execution with all that it has read and said.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// How many entries the API gives at a time.
const PAGE: usize = 100;
/// How often a list is gone on with.
const MAX_PAGES: usize = 1_000;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The API of one server.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    connection: Connection,
    pub(super) clock: SystemClock,
}

/// An answer that says yes.
#[derive(Debug)]
pub(super) struct Answer {
    body: Value,
    etag: Option<HeaderValue>,
}

/// The first entries of a list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) entries: Vec<Value>,
    /// Whether there are others behind them.
    pub(super) more: bool,
}

impl Answer {
    /// Which version it is of, if the server tells, and what it is about.
    pub(super) fn into_parts(mut self) -> (Option<HeaderValue>, Value) {
        (self.etag.take(), self.into_data())
    }

    /// What it is about: `data` with what stands beside it, such as a `webhook_url`, or all of it
    /// where the API has no `data`.
    pub(super) fn into_data(self) -> Value {
        let Value::Object(mut fields) = self.body else { return self.body };
        for envelope in ["success", "pagination"] {
            fields.remove(envelope);
        }
        match fields.remove("data") {
            Some(Value::Object(mut data)) => {
                data.extend(fields);
                Value::Object(data)
            }
            Some(data) => data,
            None => Value::Object(fields),
        }
    }
}

impl Api {
    pub(super) fn new(connection: Connection) -> Result<Self, Failure> {
        let failed = |error: reqwest::Error| {
            Failure::failed(format!("there is no HTTP client: {}", reason(&error)))
        };
        let client = client(&connection).map_err(failed)?;
        Ok(Self { client, connection, clock: SystemClock::default() })
    }

    pub(super) async fn get(&self, path: &[&str]) -> Result<Answer, Failure> {
        self.call(Method::GET, path, &[], HeaderMap::new(), None).await
    }

    /// Under a key of its own, so that a repeated request is the same one to the server.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        let key = HeaderValue::from_str(&self.clock.fresh_id().to_string());
        headers.extend(key.ok().map(|key| (IDEMPOTENCY_KEY, key)));
        self.call(Method::POST, path, &[], headers, Some(body)).await
    }

    /// If nobody has changed it since `etag` was told.
    pub(super) async fn patch(
        &self,
        path: &[&str],
        etag: Option<HeaderValue>,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        headers.extend(etag.map(|etag| (IF_MATCH, etag)));
        self.call(Method::PATCH, path, &[], headers, Some(body)).await
    }

    /// The first `limit` entries of a list.
    pub(super) async fn list(
        &self,
        path: &[&str],
        filters: &[(&str, &str)],
        limit: usize,
    ) -> Result<Listed, Failure> {
        let mut entries: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        // A page may be empty, and others come behind it: the API looks at so many at a time.
        for _ in 0..MAX_PAGES {
            let n = (limit - entries.len()).min(PAGE).to_string();
            let mut query = filters.to_vec();
            query.push(("limit", &n));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let answer = self.call(Method::GET, path, &query, HeaderMap::new(), None).await?;
            cursor = answer.body["pagination"]["next_cursor"].as_str().map(str::to_owned);
            let Value::Array(page) = answer.into_data() else {
                return Err(Failure::failed(format!("/{} answered no list", path.join("/"))));
            };
            entries.extend(page);
            if cursor.is_none() || entries.len() >= limit {
                break;
            }
        }
        let more = cursor.is_some() || entries.len() > limit;
        entries.truncate(limit);
        Ok(Listed { entries, more })
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        headers: HeaderMap,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let url = address(&self.connection.base, path, query);
        let mut n_attempts = 0;
        loop {
            let mut request = self.client.request(method.clone(), url.clone());
            request = request.bearer_auth(self.connection.credential.expose());
            request = request.headers(headers.clone());
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.map_err(|error| self.unreachable(&error))?;
            let pause = retry_after(response.headers()).filter(|_| is_passing(response.status()));
            n_attempts += 1;
            match pause.filter(|pause| *pause <= MAX_PAUSE && n_attempts < MAX_ATTEMPTS) {
                Some(pause) => {
                    eprintln!("recado: the server asks to wait for {} s", pause.as_secs());
                    tokio::time::sleep(pause).await;
                }
                None => return self.judged(response).await,
            }
        }
    }

    async fn judged(&self, response: Response) -> Result<Answer, Failure> {
        let status = response.status();
        let etag = response.headers().get(ETAG).cloned();
        let text = self.body_of(response).await?;
        let body: Option<Value> = serde_json::from_slice(&text).ok();
        if status.is_success() {
            let body = body.ok_or_else(|| self.not_the_api(status))?;
            return Ok(Answer { body, etag });
        }
        let is_ours = body.as_ref().is_some_and(|body| body["error"].is_string());
        if !is_ours && !is_passing(status) {
            return Err(self.not_the_api(status));
        }
        let refusal = Refusal::of(status.as_u16(), &body.unwrap_or_default());
        if is_passing(status) {
            return Err(Failure::Unavailable(refusal.to_string()));
        }
        Err(Failure::Refused(Box::new(refusal)))
    }

    async fn body_of(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Failure::failed("the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = &self.connection.base;
        Failure::Unavailable(format!("the API at {base} cannot be reached: {}", reason(error)))
    }

    fn not_the_api(&self, status: StatusCode) -> Failure {
        let base = &self.connection.base;
        Failure::failed(format!("what answers at {base} is not the API: {status}"))
    }
}

#[expect(clippy::disallowed_methods, reason = "it goes where whoever calls says, also here")]
fn client(connection: &Connection) -> reqwest::Result<Client> {
    let client = Client::builder()
        .user_agent(concat!("recado/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        // A credential is for the server that was named.
        .redirect(Policy::none());
    // No proxy leads back to where it was asked from.
    if connection.is_here() { client.no_proxy() } else { client }.build()
}

/// Whether the server may answer otherwise another time.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn address(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// An error with its causes, without the address, which the caller names.
fn reason(error: &reqwest::Error) -> String {
    let mut reason = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        reason = error.to_string();
        cause = error.source();
    }
    match (error.is_timeout(), reason.is_empty()) {
        (true, _) => "it takes too long".into(),
        (false, true) => "no connection".into(),
        (false, false) => reason,
    }
}

#[cfg(test)]
mod tests;
