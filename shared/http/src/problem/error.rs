//! A problem that happened, and the response it becomes.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Value, json};

use super::Problem;

/// What `Retry-After` says when nothing better is known.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// A problem that happened: what a handler returns instead of a response.
///
/// Its causes are for the log ([`crate::trace`] writes them, once, when the status is 5xx), never
/// for the response.
#[derive(Debug)]
pub struct ApiError(Box<Parts>);

/// Boxed, because most results hold no error.
#[derive(Debug)]
struct Parts {
    problem: Problem,
    message: Option<String>,
    details: Option<Value>,
    retry_after: Option<Duration>,
    allow: Option<HeaderValue>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldReason {
    /// The field, dotted: `trigger_config.execution.timeout_ms`.
    pub path: String,
    /// What it has to be.
    pub reason: String,
}

#[derive(Serialize)]
struct Document<'a> {
    success: bool,
    status: &'static str,
    error: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(Parts {
            problem,
            message: None,
            details: None,
            retry_after: None,
            allow: None,
            source: None,
        }))
    }
}

impl ApiError {
    /// A problem, with a message for whoever reads it. A 5xx says its title instead.
    pub fn new(problem: Problem, message: impl Into<String>) -> Self {
        let mut error = Self::from(problem);
        error.0.message = Some(message.into());
        error
    }

    /// 400 for fields that are missing or invalid; all of them at once.
    pub fn invalid_fields(fields: impl IntoIterator<Item = FieldReason>) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        let message = match fields.as_slice() {
            [only] => format!("{}: {}", only.path, only.reason),
            several => format!("{} fields are missing or invalid", several.len()),
        };
        Self::new(Problem::InvalidInput, message).with_details(json!({ "fields": fields }))
    }

    /// 400 for one field.
    pub fn invalid_field(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::invalid_fields([FieldReason { path: path.into(), reason: reason.into() }])
    }

    /// 500 because of `source`, which is logged and not shown.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::from(Problem::InternalError).with_source(source)
    }

    /// 503 because of `source`, which is logged and not shown.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::from(Problem::Unavailable).with_source(source)
    }

    /// Adds what programs may want to know.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Says when to come back; rounded up to whole seconds.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Keeps the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Which problem it is.
    pub fn problem(&self) -> Problem {
        self.0.problem
    }

    /// What the response says. Of a 5xx, the title only.
    pub fn message(&self) -> &str {
        let shown = self.0.message.as_deref().filter(|_| !self.is_ours());
        shown.unwrap_or(self.0.problem.title())
    }

    /// Whether it is our fault, so that nothing about it may be shown.
    fn is_ours(&self) -> bool {
        self.0.problem.status().is_server_error()
    }

    fn retry_after(&self) -> Option<Duration> {
        let promised = matches!(self.0.problem, Problem::Unavailable | Problem::RateLimited);
        self.0.retry_after.or(promised.then_some(DEFAULT_RETRY_AFTER))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.0.message.as_deref().unwrap_or(self.0.problem.title());
        write!(f, "{}: {message}", self.0.problem.code())
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.problem.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(after) = self.retry_after() {
            response.insert_header((RETRY_AFTER, whole_seconds(after)));
        }
        if let Some(allow) = &self.0.allow {
            response.insert_header((ALLOW, allow.clone()));
        }
        if matches!(self.0.problem, Problem::AuthenticationRequired | Problem::InvalidToken) {
            response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        response.json(Document {
            success: false,
            status: "error",
            error: self.0.problem.code(),
            message: self.message(),
            details: self.0.details.as_ref().filter(|_| !self.is_ours()),
        })
    }
}

/// At least one: zero would mean "at once".
fn whole_seconds(after: Duration) -> u64 {
    let rounded_up = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    rounded_up.max(1)
}

/// The default service of an application: 404.
pub async fn not_found() -> Result<HttpResponse, ApiError> {
    Err(Problem::NotFound.into())
}

/// The default service of a resource: 405, telling which methods it has (`"GET, POST"`).
pub fn method_not_allowed(allowed: &'static str) -> actix_web::Route {
    actix_web::web::to(move || async move {
        let mut error = ApiError::from(Problem::MethodNotAllowed);
        error.0.allow = Some(HeaderValue::from_static(allowed));
        Err::<HttpResponse, _>(error)
    })
}
