//! Writes the request that carries one chunk.
//!
//! Values are put into parsed structures and serialised afterwards, or escaped for the one kind of
//! place they may stand in, so nothing in a value can break out of it: not out of a JSON string, a
//! form field, an XML text, a header, nor out of its segment of the URL. What cannot be put in its
//! place is an error with a stable code, found before anything is sent.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::credential::{self, InvalidCredential};
use recado_http::guard::{InvalidOutbound, Outbound};
use recado_types::template::{MissingValue, Template, Values, text_of};
use recado_types::trigger::callback::{BUILTIN_PLACEHOLDERS, Fields, has_dot_segment};
use recado_types::trigger::{Callback, CallbackAuth, CallbackBody, HmacFormat, Method};
use recado_types::{DeliveryId, ExecutionId, SessionId, TriggerId};
use serde_json::{Map, Value};
use url::Url;

use crate::sign::{self, InvalidKey};

/// Longer URLs are refused by many receivers.
const MAX_URL: usize = 8_192;

/// What a text and an XML document are said to be: UTF-8, which is not the default of either.
const TEXT: &str = "text/plain; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";

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
    /// The round in which the delivery was last to be sent as a whole, from 1.
    pub whole_round: u32,
    /// The conversation.
    pub session_id: SessionId,
    /// The trigger.
    pub trigger_id: TriggerId,
}

impl Chunk<'_> {
    /// The same for every request that carries this chunk, so that a receiver can tell a
    /// repetition from a new one. Another one once somebody asked for the whole to be sent again.
    pub fn idempotency_key(&self) -> String {
        let Self { delivery_id, number, .. } = self;
        match self.whole_round {
            0 | 1 => format!("{delivery_id}-{number}"),
            again => format!("{delivery_id}-{number}-{again}"),
        }
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
        let fields = BUILTIN_PLACEHOLDERS.iter();
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
    /// A placeholder of the path with nothing for a value: the URL would lead elsewhere.
    #[error("the value of the placeholder `{name}` in the URL's path is empty")]
    EmptyInPath {
        /// The placeholder's name.
        name: String,
    },
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
        reason: UnusableSecret,
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

/// What is wrong with a secret. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSecret {
    /// It cannot be a credential.
    #[error(transparent)]
    Credential(#[from] InvalidCredential),
    /// It cannot be the key of a signature.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

impl RenderError {
    /// A stable code for records and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingValue(_) | Self::EmptyInPath { .. } => "missing_value",
            Self::SecretMissing { .. } => "secret_missing",
            Self::SecretInvalid { .. } => "secret_invalid",
            Self::UrlMalformed(_) | Self::UrlDotSegment | Self::UrlTooLong => "invalid_url",
            Self::InvalidHeader { .. } => "invalid_header",
            Self::InvalidBody(_) => "invalid_body",
        }
    }
}

/// The request that carries `chunk`; `secret` is the value of the secret that the callback names. A
/// signature says that the request was made at `now`, so one that is made again is written again.
pub fn render(
    callback: &Callback,
    chunk: &Chunk<'_>,
    secret: Option<&str>,
    now: DateTime<Utc>,
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
    let key = chunk.idempotency_key();
    request = with_header(request, "Idempotency-Key", &key)?;
    request = with_body(request, &callback.body, chunk)?;
    if matches!(callback.body, CallbackBody::Json(Fields::Standard)) {
        // Who reads our own words is the tenant's own system, and no channel's.
        request = request.propagating();
    }
    with_auth(request, &callback.auth, secret, &key, now)
}

fn with_header(request: Outbound, name: &str, value: &str) -> Result<Outbound, RenderError> {
    request
        .header(name, value)
        .map_err(|source| RenderError::InvalidHeader { name: name.to_owned(), source })
}

fn with_body(
    request: Outbound,
    body: &CallbackBody,
    chunk: &Chunk<'_>,
) -> Result<Outbound, RenderError> {
    match body {
        CallbackBody::Json(fields) => request.json(&filled(fields, chunk)?),
        CallbackBody::Form(fields) => request.form(&form_fields(&filled(fields, chunk)?)),
        CallbackBody::Text(template) => Ok(request.body(TEXT, template.render(chunk)?)),
        CallbackBody::Xml(template) => Ok(request.body(XML, template.render(chunk)?)),
    }
    .map_err(RenderError::InvalidBody)
}

fn filled(fields: &Fields, chunk: &Chunk<'_>) -> Result<Value, MissingValue> {
    match fields {
        Fields::Standard => Ok(chunk.standard_body()),
        Fields::Template(template) => template.render(chunk),
    }
}

/// Adds the credential, or the signature over the body, which is there already.
fn with_auth(
    request: Outbound,
    auth: &CallbackAuth,
    secret: Option<&str>,
    id: &str,
    now: DateTime<Utc>,
) -> Result<Outbound, RenderError> {
    let Some(name) = auth.secret_ref() else { return Ok(request) };
    let missing = || RenderError::SecretMissing { name: name.to_owned() };
    let secret = secret.ok_or_else(missing)?;
    let invalid =
        |reason: UnusableSecret| RenderError::SecretInvalid { name: name.to_owned(), reason };
    match auth {
        CallbackAuth::Credential(credential) => {
            credential::authorise(request, credential, secret).map_err(|e| invalid(e.into()))
        }
        CallbackAuth::Hmac { format, .. } => {
            credential::check(secret).map_err(|e| invalid(e.into()))?;
            match format {
                HmacFormat::StandardWebhooks => {
                    let key = sign::secret_bytes(secret).map_err(|e| invalid(e.into()))?;
                    with_standard_signature(request, &key, id, now)
                }
                // As ingress takes it: the key is the secret as it is written.
                HmacFormat::Sha256 { header } => {
                    let signature = sign::sha256(&request.body, secret.as_bytes());
                    with_header(request, header, &signature)
                }
            }
        }
    }
}

fn with_standard_signature(
    request: Outbound,
    key: &[u8],
    id: &str,
    now: DateTime<Utc>,
) -> Result<Outbound, RenderError> {
    let timestamp = now.timestamp();
    let signature = sign::standard_webhooks(id, timestamp, &request.body, &[key]);
    let request = with_header(request, "webhook-id", id)?;
    let request = with_header(request, "webhook-timestamp", &timestamp.to_string())?;
    with_header(request, "webhook-signature", &signature)
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
    let is_empty = |name: &&str| chunk.get(name).is_none_or(|value| text_of(&value).is_empty());
    if let Some(name) = template.placeholders_before('?').find(is_empty) {
        return Err(RenderError::EmptyInPath { name: name.to_owned() });
    }
    // To percent-encode the dots of a value would not help: every URL parser takes them for dots.
    let is_filled_in = template.placeholders().next().is_some();
    if is_filled_in && has_dot_segment(&text) {
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
