//! The way out: which request carries a chunk to the channel.

use std::borrow::Cow;

use serde_json::Value;
use url::Url;

use super::{ContextField, ResponseFormat};
use crate::shape::ObjectReader;
use crate::template::{JsonTemplate, Template};

/// The most headers of a callback.
const MAX_HEADERS: usize = 32;

/// Headers that belong to the transport or to Recado.
const RESERVED_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header cannot be chosen by whoever configures a request.
pub(crate) fn is_reserved_header(name: &str) -> bool {
    RESERVED_HEADERS.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// What every callback can use beside the context.
pub const BUILTIN_PLACEHOLDERS: [&str; 7] = [
    "agent_response",
    "chunk_index",
    "chunk_count",
    "execution_id",
    "delivery_id",
    "session_id",
    "trigger_id",
];

/// `execution.callback`.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// Where to; placeholders are single, percent-encoded pieces of its path or query.
    pub url: Template,
    /// The request's method.
    pub method: Method,
    /// How the body is written.
    pub content_type: ContentType,
    /// The credential it carries.
    pub auth: CallbackAuth,
    /// What the body says.
    pub body: CallbackBody,
    /// Further headers.
    pub headers: Vec<(String, Template)>,
    /// What happens to the text before it is sent.
    pub transform: Transform,
    /// What happens when a request fails.
    pub retry: RetryPolicy,
    /// How long one request may take, 1,000 to 60,000 ms.
    pub timeout_ms: u32,
}

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// POST, the default.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

/// How the body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`, the default.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// The credential a callback carries; its secret is named, never written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackAuth {
    /// None.
    None,
    /// Basic; the secret holds `user:password`.
    Basic {
        /// The secret's name.
        secret_ref: String,
    },
    /// Bearer.
    Bearer {
        /// The secret's name.
        secret_ref: String,
    },
    /// A key in a header or in the query.
    ApiKey {
        /// The secret's name.
        secret_ref: String,
        /// The name of the header or query parameter.
        name: String,
        /// Which of the two.
        place: KeyPlace,
    },
}

/// Where an API key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// A header.
    Header,
    /// A query parameter.
    Query,
}

impl CallbackAuth {
    /// The name of the secret it needs.
    pub fn secret_ref(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Basic { secret_ref }
            | Self::Bearer { secret_ref }
            | Self::ApiKey { secret_ref, .. } => Some(secret_ref),
        }
    }
}

/// What the body says.
#[derive(Clone, Debug, PartialEq)]
pub enum CallbackBody {
    /// Recado's own fields: every built-in placeholder under its name.
    Standard,
    /// The trigger's `body_template`.
    Template(JsonTemplate),
}

/// `callback.response_transform`: what happens to the text before it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Whether Markdown marks are taken out.
    pub strip_markdown: bool,
    /// The most UTF-16 code units of the whole text; `None` for no limit.
    pub max_length: Option<u32>,
}

impl Transform {
    /// What a format needs when nothing is configured (seed 000, "Auto-derived Transform").
    pub fn derived_from(format: ResponseFormat) -> Self {
        match format {
            ResponseFormat::Twiml => Self { strip_markdown: true, max_length: Some(4_096) },
            ResponseFormat::Ebarn
            | ResponseFormat::Slack
            | ResponseFormat::Teams
            | ResponseFormat::Raw => Self { strip_markdown: false, max_length: None },
        }
    }
}

/// `callback.retry`: exponential, with jitter, honouring `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many requests at the most, 1 to 10.
    pub max_attempts: u32,
    /// The first pause, 100 to 60,000 ms; each next one is twice as long.
    pub initial_delay_ms: u32,
    /// The longest pause, `Retry-After` included, up to 3,600,000 ms.
    pub max_delay_ms: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, initial_delay_ms: 1_000, max_delay_ms: 60_000 }
    }
}

impl Callback {
    pub(super) fn read(
        reader: &mut ObjectReader<'_>,
        derived: Transform,
        context: &[ContextField],
    ) -> Option<Self> {
        let mut fields = reader.object("callback")?;
        let url = read_url(&mut fields);
        let methods = [("POST", Method::Post), ("PUT", Method::Put), ("PATCH", Method::Patch)];
        let method = fields.choice("method", &methods).unwrap_or(Method::Post);
        let content_types = [
            ("application/json", ContentType::Json),
            ("application/x-www-form-urlencoded", ContentType::Form),
        ];
        let content_type =
            fields.choice("content_type", &content_types).unwrap_or(ContentType::Json);
        let auth = read_auth(&mut fields);
        let body = read_body(&mut fields, content_type);
        let headers = read_headers(&mut fields);
        let transform = read_transform(&mut fields, derived);
        let retry = read_retry(&mut fields);
        let timeout_ms = fields.integer("timeout_ms", 1_000..=60_000).unwrap_or(15_000);
        if let (Some(url), Some(body)) = (&url, &body) {
            refuse_unknown_placeholders(&fields, url, body, &headers, context);
        }
        fields.done();
        Some(Self {
            url: url?,
            method,
            content_type,
            auth: auth?,
            body: body?,
            headers,
            transform,
            retry,
            timeout_ms,
        })
    }
}

fn read_url(fields: &mut ObjectReader<'_>) -> Option<Template> {
    let text = fields.required_string("url", 1..=2_048)?;
    let template = fields.accept("url", Template::parse(text))?;
    // With every placeholder replaced by a plain letter it must be a URL, and its scheme, host
    // and port must be there already: only a tenant decides where requests go, never a payload.
    let filled = template.render(&Anything).unwrap_or_default();
    let parsed =
        fields.accept("url", Url::parse(&filled).map_err(|e| format!("is no URL: {e}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        fields.refuse("url", "must begin with https:// or http://");
        return None;
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        fields.refuse("url", "must not hold a user name or password; use `auth`");
        return None;
    }
    let authority_is_fixed = template.placeholders().next().is_none()
        || template
            .literal_prefix()
            .split_once("://")
            .is_some_and(|(_, rest)| rest.contains(['/', '?', '#']));
    if !authority_is_fixed {
        fields.refuse("url", "placeholders may stand in the path and the query only");
        return None;
    }
    Some(template)
}

/// Has a value for every name.
struct Anything;

impl crate::template::Values for Anything {
    fn get(&self, _name: &str) -> Option<Cow<'_, Value>> {
        Some(Cow::Owned(Value::String("x".into())))
    }
}

#[derive(Clone, Copy)]
enum AuthType {
    None,
    Basic,
    Bearer,
    ApiKey,
}

fn read_auth(reader: &mut ObjectReader<'_>) -> Option<CallbackAuth> {
    let Some(mut fields) = reader.object("auth") else { return Some(CallbackAuth::None) };
    let types = [
        ("none", AuthType::None),
        ("basic", AuthType::Basic),
        ("bearer", AuthType::Bearer),
        ("api_key", AuthType::ApiKey),
    ];
    if fields.any("type").is_none() {
        fields.refuse("type", "is required");
    }
    let chosen = fields.choice("type", &types);
    let mut secret = || fields.required_string("secret_ref", 1..=128).map(str::to_owned);
    let auth = match chosen {
        None => None,
        Some(AuthType::None) => Some(CallbackAuth::None),
        Some(AuthType::Basic) => secret().map(|secret_ref| CallbackAuth::Basic { secret_ref }),
        Some(AuthType::Bearer) => secret().map(|secret_ref| CallbackAuth::Bearer { secret_ref }),
        Some(AuthType::ApiKey) => {
            let secret_ref = secret();
            let name = fields.string("name", 1..=128).unwrap_or("X-Api-Key").to_owned();
            if !is_token(&name) {
                fields.refuse("name", "must be the name of a header or query parameter");
            }
            let places = [("header", KeyPlace::Header), ("query", KeyPlace::Query)];
            let place = fields.choice("in", &places).unwrap_or(KeyPlace::Header);
            if place == KeyPlace::Header && is_reserved_header(&name) {
                fields.refuse("name", "is set by Recado and cannot be configured");
            }
            secret_ref.map(|secret_ref| CallbackAuth::ApiKey { secret_ref, name, place })
        }
    };
    fields.done();
    auth
}

fn read_body(fields: &mut ObjectReader<'_>, content_type: ContentType) -> Option<CallbackBody> {
    let Some(value) = fields.any("body_template") else { return Some(CallbackBody::Standard) };
    let template = fields.accept("body_template", JsonTemplate::parse(value))?;
    let JsonTemplate::Object(entries) = &template else {
        fields.refuse("body_template", "must be an object");
        return None;
    };
    let nested = |t: &JsonTemplate| matches!(t, JsonTemplate::Array(_) | JsonTemplate::Object(_));
    if content_type == ContentType::Form && entries.iter().any(|(_, value)| nested(value)) {
        fields.refuse("body_template", "a form has texts and numbers only, no lists or objects");
        return None;
    }
    Some(CallbackBody::Template(template))
}

fn read_headers(fields: &mut ObjectReader<'_>) -> Vec<(String, Template)> {
    let mut headers = Vec::new();
    for (name, value) in fields.entries("headers", MAX_HEADERS) {
        let at = format!("headers.{}", name.chars().take(64).collect::<String>());
        if !is_token(name) || name.len() > 128 {
            fields.refuse(&at, "is not the name of an HTTP header");
            continue;
        }
        if is_reserved_header(name) {
            fields.refuse(&at, "is set by Recado and cannot be configured");
            continue;
        }
        let Some(text) = value.as_str().filter(|text| text.len() <= 4_096) else {
            fields.refuse(&at, "must be a string of at most 4096 bytes");
            continue;
        };
        if text.chars().any(char::is_control) {
            fields.refuse(&at, "must not contain control characters");
            continue;
        }
        if let Some(template) = fields.accept(&at, Template::parse(text)) {
            headers.push((name.clone(), template));
        }
    }
    headers
}

fn read_transform(reader: &mut ObjectReader<'_>, derived: Transform) -> Transform {
    let Some(mut fields) = reader.object("response_transform") else { return derived };
    let transform = Transform {
        strip_markdown: fields.boolean("strip_markdown").unwrap_or(false),
        max_length: fields.integer("max_length", 1..=1_000_000),
    };
    fields.done();
    transform
}

fn read_retry(reader: &mut ObjectReader<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let Some(mut fields) = reader.object("retry") else { return default };
    let retry = RetryPolicy {
        max_attempts: fields.integer("max_attempts", 1..=10).unwrap_or(default.max_attempts),
        initial_delay_ms: fields
            .integer("initial_delay_ms", 100..=60_000)
            .unwrap_or(default.initial_delay_ms),
        max_delay_ms: fields
            .integer("max_delay_ms", 100..=3_600_000)
            .unwrap_or(default.max_delay_ms),
    };
    fields.done();
    retry
}

/// A placeholder that nothing will ever fill is found when saving, not when a user waits for an
/// answer. A trigger without `context_mapping` is left alone: it may be a fragment of one.
fn refuse_unknown_placeholders(
    fields: &ObjectReader<'_>,
    url: &Template,
    body: &CallbackBody,
    headers: &[(String, Template)],
    context: &[ContextField],
) {
    if context.is_empty() {
        return;
    }
    let known = |name: &str| {
        BUILTIN_PLACEHOLDERS.contains(&name) || context.iter().any(|field| field.name == name)
    };
    let check = |key: &str, names: &mut dyn Iterator<Item = &str>| {
        for name in names.filter(|name| !known(name)) {
            fields.refuse(key, format!("`{{{{{name}}}}}` is no field of `context_mapping`"));
        }
    };
    check("url", &mut url.placeholders());
    if let CallbackBody::Template(template) = body {
        check("body_template", &mut template.placeholders().into_iter());
    }
    for (name, template) in headers {
        check(&format!("headers.{name}"), &mut template.placeholders());
    }
}

/// The `token` of RFC 9110: what may name a header.
fn is_token(name: &str) -> bool {
    let mark = |c: char| "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || mark(c))
}
