//! Writes the request that carries one chunk.
//!
//! Values are put into parsed structures and serialised afterwards, so nothing in a value can
//! break out of its place: not out of a JSON string, a form field, a header, nor out of its
//! segment of the URL. What cannot be put in its place is an error with a stable code, found
//! before anything is sent.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use recado_http::guard::{InvalidOutbound, Outbound};
use recado_types::template::{MissingValue, Template, Values, text_of};
use recado_types::trigger::{Callback, CallbackBody, ContentType, Method, callback};
use recado_types::{DeliveryId, ExecutionId, SessionId, TriggerId};
use serde_json::{Map, Value};
use url::Url;

use super::auth;

/// Longer URLs are refused by many receivers.
const MAX_URL: usize = 8_192;

/// What a chunk's request is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The fields of `context_mapping`.
    pub context: &'a Map<String, Value>,
    /// The chunk's text.
    pub text: &'a str,
    /// Its place, from 1.
    pub number: u32,
    /// How many there are.
    pub count: u32,
    /// The execution that answered.
    pub execution_id: ExecutionId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The conversation.
    pub session_id: SessionId,
    /// The trigger.
    pub trigger_id: TriggerId,
}

impl Chunk<'_> {
    /// The same for every request that carries this chunk, so that a receiver can tell a
    /// repetition from a new one.
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}", self.delivery_id, self.number)
    }

    fn builtin(&self, name: &str) -> Option<Value> {
        Some(match name {
            "agent_response" => self.text.into(),
            "chunk_index" => self.number.into(),
            "chunk_count" => self.count.into(),
            "execution_id" => self.execution_id.to_string().into(),
            "delivery_id" => self.delivery_id.to_string().into(),
            "session_id" => self.session_id.to_string().into(),
            "trigger_id" => self.trigger_id.to_string().into(),
            _ => return None,
        })
    }

    /// Recado's own body: every built-in under its name.
    fn standard_body(&self) -> Value {
        let fields = callback::BUILTIN_PLACEHOLDERS.iter();
        let fields = fields.filter_map(|name| Some(((*name).to_owned(), self.builtin(name)?)));
        Value::Object(fields.collect())
    }
}

/// The built-ins, then the context: a payload cannot pass itself off as the agent's answer.
impl Values for Chunk<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.builtin(name).map(Cow::Owned).or_else(|| self.context.get(name).map(Cow::Borrowed))
    }
}

/// Why a request cannot be written. Does not show values, which may be secrets or personal.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A placeholder without a value.
    #[error(transparent)]
    MissingValue(#[from] MissingValue),
    /// There is no secret of that name.
    #[error("there is no secret `{name}`")]
    SecretMissing {
        /// Its name.
        name: String,
    },
    /// The secret cannot be what it is used for.
    #[error("the secret `{name}` {reason}")]
    SecretInvalid {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Filled in, the URL is none.
    #[error("the filled-in URL is malformed")]
    UrlMalformed(#[source] url::ParseError),
    /// A value would change the URL's path.
    #[error("a segment of the URL's path would be `.` or `..`, which leads elsewhere")]
    UrlDotSegment,
    /// Filled in, the URL is too long.
    #[error("the filled-in URL is longer than {MAX_URL} bytes")]
    UrlTooLong,
    /// A value cannot stand in its header.
    #[error("the value of the header `{name}` holds a line break or another control character")]
    InvalidHeader {
        /// The header.
        name: String,
        /// The refusal.
        #[source]
        source: InvalidOutbound,
    },
    /// The body cannot be written.
    #[error("the body cannot be written")]
    InvalidBody(#[source] InvalidOutbound),
}

impl RenderError {
    /// A stable code for records and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingValue(_) => "missing_value",
            Self::SecretMissing { .. } => "secret_missing",
            Self::SecretInvalid { .. } => "secret_invalid",
            Self::UrlMalformed(_) | Self::UrlDotSegment | Self::UrlTooLong => "invalid_url",
            Self::InvalidHeader { .. } => "invalid_header",
            Self::InvalidBody(_) => "invalid_body",
        }
    }
}

/// The request that carries `chunk`; `secret` is the value of the secret that the callback names.
pub fn render(
    callback: &Callback,
    chunk: &Chunk<'_>,
    secret: Option<&str>,
) -> Result<Outbound, RenderError> {
    let method = match callback.method {
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
    };
    let timeout = Duration::from_millis(callback.timeout_ms.into());
    let mut request = Outbound::new(method, url(&callback.url, chunk)?).timeout(timeout);
    for (name, template) in &callback.headers {
        request = with_header(request, name, &template.render(chunk)?)?;
    }
    request = auth::authorise(request, &callback.auth, secret)?;
    request = with_header(request, "Idempotency-Key", &chunk.idempotency_key())?;
    with_body(request, callback, chunk)
}

fn with_header(request: Outbound, name: &str, value: &str) -> Result<Outbound, RenderError> {
    request
        .header(name, value)
        .map_err(|source| RenderError::InvalidHeader { name: name.to_owned(), source })
}

fn with_body(
    request: Outbound,
    callback: &Callback,
    chunk: &Chunk<'_>,
) -> Result<Outbound, RenderError> {
    let body = match &callback.body {
        CallbackBody::Standard => chunk.standard_body(),
        CallbackBody::Template(template) => template.render(chunk)?,
    };
    match callback.content_type {
        ContentType::Json => request.json(&body),
        ContentType::Form => request.form(&form_fields(&body)),
    }
    .map_err(RenderError::InvalidBody)
}

fn form_fields(body: &Value) -> Vec<(&str, String)> {
    let fields = body.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.as_str(), text_of(value))).collect()
}

fn url(template: &Template, chunk: &Chunk<'_>) -> Result<Url, RenderError> {
    let text = template.render_with(chunk, |value| Cow::Owned(percent_encoded(value)))?;
    if text.len() > MAX_URL {
        return Err(RenderError::UrlTooLong);
    }
    // Not even percent-encoded dots would be left alone: every URL parser takes them for dots.
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let is_filled_in = template.placeholders().next().is_some();
    if is_filled_in && path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(RenderError::UrlDotSegment);
    }
    Url::parse(&text).map_err(RenderError::UrlMalformed)
}

/// Everything but the unreserved characters of RFC 3986 is encoded, so a value stays one segment of
/// a path, or one value of a query.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte.into());
            }
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
