//! A problem that happened, and the response it becomes.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value, json};

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
    /// What may be shown of them.
    details: Option<Value>,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
    form: Form,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The document that a problem becomes.
#[derive(Debug)]
enum Form {
    /// That of our own interface.
    Native,
    /// RFC 9457, with what else it says.
    Rfc9457(Map<String, Value>),
    /// RFC 9457, all of it.
    ProblemDocument(Map<String, Value>),
    /// `google.rpc.Status`, as JSON.
    RpcStatus,
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
            headers: Vec::new(),
            form: Form::Native,
            source: None,
        }))
    }
}

impl ApiError {
    /// A problem, with a message for whoever reads it. A 5xx says its title instead, unless it is
    /// about an execution, whose outcome is the caller's to know.
    pub fn new(problem: Problem, message: impl Into<String>) -> Self {
        let mut error = Self::from(problem);
        error.0.message = Some(message.into());
        error
    }

    /// 400 for fields that are missing or invalid; all of them at once.
    pub fn invalid_fields(fields: impl IntoIterator<Item = FieldReason>) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        let message = match fields.as_slice() {
            [only] if only.path.is_empty() => format!("the body {}", only.reason),
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

    /// Adds what programs may want to know. Of a 5xx it is dropped.
    #[must_use]
    pub fn with_details(self, details: Value) -> Self {
        if self.is_ours() { self } else { self.with_public_details(details) }
    }

    /// Adds what programs may want to know, and may know even of a 5xx: a document made for them,
    /// such as the id of the execution that failed.
    #[must_use]
    pub fn with_public_details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// Makes the response an `application/problem+json` (RFC 9457), with these members beside
    /// `title`, `status`, `detail` and `code`; for the surfaces whose seeds say so.
    #[must_use]
    pub fn as_rfc9457(mut self, further: Map<String, Value>) -> Self {
        self.0.form = Form::Rfc9457(further);
        self
    }

    /// Makes the response this `application/problem+json` (RFC 9457), for a surface whose seed has
    /// words of its own.
    #[must_use]
    pub fn as_problem_document(mut self, document: Map<String, Value>) -> Self {
        self.0.form = Form::ProblemDocument(document);
        self
    }

    /// Makes the response a `google.rpc.Status`: `code` (a number), `message`, and in `details` one
    /// `google.rpc.ErrorInfo` whose `reason` is our code in capitals; for the surfaces whose seeds
    /// say so.
    #[must_use]
    pub fn as_rpc_status(mut self) -> Self {
        self.0.form = Form::RpcStatus;
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

    /// What programs may want to know.
    pub fn details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    /// What the response says. Of a 5xx, the title only, unless it is about an execution.
    pub fn message(&self) -> &str {
        let shown =
            self.0.message.as_deref().filter(|_| self.tells_an_outcome() || !self.is_ours());
        shown.unwrap_or(self.0.problem.title())
    }

    /// Whether it is about how an execution ended, and not about us.
    pub(crate) fn tells_an_outcome(&self) -> bool {
        matches!(self.0.problem, Problem::ExecutionFailed | Problem::ExecutionTimeout)
    }

    /// Whether it is our fault, so that nothing about it may be shown unless it was made for that.
    fn is_ours(&self) -> bool {
        self.0.problem.status().is_server_error()
    }

    /// When to come back, in whole seconds, if the response says so.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after().map(whole_seconds)
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
        for (name, value) in &self.0.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        if matches!(self.0.problem, Problem::AuthenticationRequired | Problem::InvalidToken) {
            response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        match &self.0.form {
            Form::Native => response.json(Document {
                success: false,
                status: "error",
                error: self.0.problem.code(),
                message: self.message(),
                details: self.0.details.as_ref(),
            }),
            Form::RpcStatus => response.json(self.rpc_status()),
            Form::Rfc9457(further) => problem_json(response, self.rfc9457(further)),
            Form::ProblemDocument(document) => problem_json(response, document.clone()),
        }
    }
}

impl ApiError {
    fn rpc_status(&self) -> Value {
        let mut info = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.0.problem.code().to_ascii_uppercase(),
            "domain": "recado",
        });
        if let Some(details) = &self.0.details {
            // Values of metadata are texts.
            info["metadata"] = json!({ "details": details.to_string() });
        }
        let code = rpc_code(self.0.problem.status());
        json!({ "code": code, "message": self.message(), "details": [info] })
    }

    fn rfc9457(&self, further: &Map<String, Value>) -> Map<String, Value> {
        let mut document = further.clone();
        document.insert("title".into(), self.0.problem.title().into());
        document.insert("status".into(), self.0.problem.status().as_u16().into());
        document.insert("detail".into(), self.message().into());
        document.insert("code".into(), self.0.problem.code().into());
        if let Some(details) = &self.0.details {
            document.insert("details".into(), details.clone());
        }
        document
    }
}

fn problem_json(mut response: HttpResponseBuilder, document: Map<String, Value>) -> HttpResponse {
    let body = Value::Object(document).to_string();
    response.content_type("application/problem+json").body(body)
}

/// The number of `google.rpc.Code` for a status, by Google's own table.
fn rpc_code(status: StatusCode) -> i32 {
    match status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND => 5,
        StatusCode::CONFLICT => 10,
        StatusCode::TOO_MANY_REQUESTS => 8,
        StatusCode::METHOD_NOT_ALLOWED => 12,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => 4,
        other if other.is_server_error() => 13,
        _ => 3,
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
pub fn method_not_allowed(allowed: &str) -> actix_web::Route {
    let allowed = HeaderValue::from_str(allowed).expect("methods are visible ASCII");
    actix_web::web::to(move || {
        let error = ApiError::from(Problem::MethodNotAllowed).with_header(ALLOW, allowed.clone());
        async move { Err::<HttpResponse, _>(error) }
    })
}
