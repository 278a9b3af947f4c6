//! Request bodies: JSON, at most 1 MiB, read after the caller is known.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};
use actix_web::web::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, dev};
use recado_http::problem::read_body;
use recado_http::{ApiError, Problem};
use serde_json::Value;

use crate::audit::note_fields;
use crate::json::parse;

/// The largest body, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;
/// How long a client may take to send it.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A body that has not been read yet: whoever may not do what they ask for is told so first.
pub(crate) struct Body {
    request: HttpRequest,
    payload: Payload,
}

impl FromRequest for Body {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let payload = Payload::from_request(request, payload).into_inner();
        let body = payload.map(|payload| Self { request: request.clone(), payload });
        ready(
            body.map_err(|error| {
                ApiError::from(Problem::MalformedBody).with_source(error.to_string())
            }),
        )
    }
}

impl Body {
    /// The document.
    ///
    /// # Errors
    /// 415 for anything but plain JSON, 413 for too much of it, 408 for what is late, 400 for what
    /// [`parse`] refuses.
    pub(crate) async fn json(self) -> Result<Value, ApiError> {
        self.require_json()?;
        let bytes = read_body(self.payload, MAX_BODY, BODY_TIMEOUT).await?;
        let body = parse(&bytes)?;
        note_fields(&self.request, &body);
        Ok(body)
    }

    /// Like [`Self::json`], for where there may be no body at all.
    pub(crate) async fn json_if_any(self) -> Result<Option<Value>, ApiError> {
        let judged = self.require_json();
        let bytes = read_body(self.payload, MAX_BODY, BODY_TIMEOUT).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        judged?;
        let body = parse(&bytes)?;
        note_fields(&self.request, &body);
        Ok(Some(body))
    }

    /// The text, of that type.
    ///
    /// # Errors
    /// 415 for anything else, 413 for too much of it, 408 for what is late, 400 for what is not
    /// UTF-8 or holds U+0000.
    pub(crate) async fn text(self, content_type: &str) -> Result<String, ApiError> {
        let is_it = self.request.content_type().eq_ignore_ascii_case(content_type);
        let is_utf_8 = self.request.encoding().is_ok_and(|encoding| encoding.name() == "UTF-8");
        if !is_it || !is_utf_8 || !is_plain(self.request.headers()) {
            let expected =
                format!("the body must be {content_type} in UTF-8, without a content encoding");
            return Err(ApiError::new(Problem::UnsupportedMediaType, expected));
        }
        let bytes = read_body(self.payload, MAX_BODY, BODY_TIMEOUT).await?;
        let no_text = |reason: &str| ApiError::new(Problem::MalformedBody, reason);
        let text = String::from_utf8(bytes.to_vec()).map_err(|_not_shown| no_text("no UTF-8"))?;
        if text.contains('\0') {
            return Err(no_text("must not contain U+0000"));
        }
        Ok(text)
    }

    fn require_json(&self) -> Result<(), ApiError> {
        let content_type = self.request.content_type();
        let is_patch = self.request.method() == Method::PATCH
            && content_type.eq_ignore_ascii_case("application/merge-patch+json");
        let is_json = is_patch || content_type.eq_ignore_ascii_case("application/json");
        if is_json && is_plain(self.request.headers()) {
            return Ok(());
        }
        let expected = "the body must be application/json, without a content encoding";
        Err(ApiError::new(Problem::UnsupportedMediaType, expected))
    }
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).all(|encoding| encoding == "identity")
}
