//! A request to be sent through the guard.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use url::Url;

/// How long a whole exchange may take, unless the request says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// W3C Trace Context.
const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";

/// How much of an answer is read, unless the request says otherwise: what is kept of a callback's.
const DEFAULT_MAX_BODY_BYTES: usize = 20_000;

/// A request. Its `Debug` shows neither headers nor body, and only the host of the address.
#[derive(Clone)]
pub struct Outbound {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The headers; `content-length` and `host` are added.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long everything may take, from the first packet to the last byte of the answer.
    pub timeout: Duration,
    /// How much of the answer's body is read; more is cut off.
    pub max_body_bytes: usize,
    /// Whether the receiver is told which trace it is part of.
    propagates: bool,
}

/// The request cannot be written. Does not repeat what was given: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum InvalidOutbound {
    /// Not a header name.
    #[error("a header name is malformed")]
    HeaderName(#[source] reqwest::header::InvalidHeaderName),
    /// A line break or another control character in the value of a header.
    #[error("the value of the header {name} holds characters that a header cannot have")]
    HeaderValue {
        /// Which header.
        name: String,
        /// The refusal.
        #[source]
        source: reqwest::header::InvalidHeaderValue,
    },
    /// The body cannot be written as JSON.
    #[error("failed to write the body as JSON")]
    Json(#[source] serde_json::Error),
    /// The body cannot be written as a form.
    #[error("failed to write the body as a form")]
    Form(#[source] serde_urlencoded::ser::Error),
}

impl Outbound {
    /// A request without headers or body, for 30 s and 20 000 bytes at most.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: DEFAULT_TIMEOUT,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            propagates: false,
        }
    }

    /// Tells the receiver which trace the request is part of, if that is recorded: `traceparent`
    /// and `tracestate`, unless the request has a `traceparent` of its own. For systems of the
    /// tenant; third parties have no use for it.
    #[must_use]
    pub fn propagating(mut self) -> Self {
        self.propagates = true;
        self
    }

    /// With the place in a trace that the current span is.
    pub(super) fn in_current_span(mut self) -> Self {
        if !self.propagates || self.headers.contains_key(TRACE_PARENT) {
            return self;
        }
        let Some(context) = recado_trace::current() else { return self };
        for (name, value) in [(TRACE_PARENT, context.parent()), (TRACE_STATE, context.state())] {
            if let Ok(value) = HeaderValue::from_str(value)
                && !value.is_empty()
            {
                self.headers.insert(name, value);
            }
        }
        self
    }

    /// Limits the whole exchange.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Limits how much of the answer is read.
    #[must_use]
    pub fn max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }

    /// Sets a header, replacing one of that name.
    ///
    /// # Errors
    /// When name or value cannot stand in a header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidOutbound> {
        let name = HeaderName::try_from(name).map_err(InvalidOutbound::HeaderName)?;
        let value = header_value(name.as_str(), value)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Sets a header whose value is a secret, replacing one of that name.
    ///
    /// # Errors
    /// When name or value cannot stand in a header.
    pub fn secret_header(mut self, name: &str, value: &str) -> Result<Self, InvalidOutbound> {
        let name = HeaderName::try_from(name).map_err(InvalidOutbound::HeaderName)?;
        let mut value = header_value(name.as_str(), value)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Authorises with a bearer token.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn bearer(self, token: &str) -> Result<Self, InvalidOutbound> {
        self.secret_header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// Authorises with a user name and a password.
    #[must_use]
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.headers.insert(AUTHORIZATION, basic_credentials(user, password));
        self
    }

    /// Sends `body` as JSON.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn json(self, body: &impl Serialize) -> Result<Self, InvalidOutbound> {
        let body = serde_json::to_vec(body).map_err(InvalidOutbound::Json)?;
        Ok(self.body("application/json", body))
    }

    /// Sends `body` as a form.
    ///
    /// # Errors
    /// When it is not a map or list of pairs of plain values.
    pub fn form(self, body: &impl Serialize) -> Result<Self, InvalidOutbound> {
        let body = serde_urlencoded::to_string(body).map_err(InvalidOutbound::Form)?;
        Ok(self.body("application/x-www-form-urlencoded", body))
    }

    /// Sends these bytes.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }

    pub(super) fn into_request(self) -> reqwest::Request {
        let mut request = reqwest::Request::new(self.method, self.url);
        *request.headers_mut() = self.headers;
        if !self.body.is_empty() {
            *request.body_mut() = Some(self.body.into());
        }
        request
    }
}

fn basic_credentials(user: &str, password: &str) -> HeaderValue {
    let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {credentials}"))
        .expect("base64 has no control characters");
    value.set_sensitive(true);
    value
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, InvalidOutbound> {
    HeaderValue::from_str(value)
        .map_err(|source| InvalidOutbound::HeaderValue { name: name.to_owned(), source })
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
