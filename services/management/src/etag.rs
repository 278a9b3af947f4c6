//! Changing only what is still as it was seen (RFC 9110, 13.1.1): `ETag` out, `If-Match` in.

use std::fmt::Display;

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, HeaderValue, IF_MATCH, LOCATION};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use serde::Serialize;
use std::future::{Ready, ready};

/// The version of a resource, as its `ETag` says it. Strong: what differs in anything that can be
/// set has another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version(String);

impl Version {
    /// Of what is counted.
    pub(crate) fn number(version: impl Display) -> Self {
        Self(format!("\"{version}\""))
    }

    /// Of what says when it last changed; that moves with every change.
    pub(crate) fn time(updated_at: DateTime<Utc>) -> Self {
        Self::number(format_args!("{:x}", updated_at.timestamp_micros()))
    }
}

/// An answer that says which version it shows.
#[derive(Debug)]
pub(crate) struct Tagged<T> {
    answer: T,
    version: Version,
    status: StatusCode,
    location: Option<String>,
}

impl<T> Tagged<T> {
    pub(crate) fn new(answer: T, version: Version) -> Self {
        Self { answer, version, status: StatusCode::OK, location: None }
    }

    /// Of something that was just made, and is at `location`.
    pub(crate) fn made_at(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self.with_status(StatusCode::CREATED)
    }

    /// With another status than 200.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl<T: Serialize> Responder for Tagged<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((ETAG, self.version.0));
        if let Some(location) = self.location {
            response.insert_header((LOCATION, location));
        }
        response.json(self.answer)
    }
}

/// What a client believes to be there. Without the header, anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// # Errors
    /// 412 if what is there is another version.
    pub(crate) fn check(&self, current: &Version) -> Result<(), ApiError> {
        let Some(expected) = &self.0 else { return Ok(()) };
        if expected.iter().any(|tag| tag == "*" || *tag == current.0) {
            return Ok(());
        }
        Err(Problem::PreconditionFailed.into())
    }

    /// What is there, if the client says what it believes that to be, and is right; a change is
    /// then for that only. Whoever says nothing has nothing looked up.
    ///
    /// # Errors
    /// 412 if what is there is another version, and those of `current`.
    pub(crate) async fn confirmed<T>(
        &self,
        current: impl Future<Output = Result<T, ApiError>>,
        version: impl FnOnce(&T) -> Version,
    ) -> Result<Option<T>, ApiError> {
        if self.0.is_none() {
            return Ok(None);
        }
        let current = current.await?;
        self.check(&version(&current))?;
        Ok(Some(current))
    }
}

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let headers: Vec<&HeaderValue> = request.headers().get_all(IF_MATCH).collect();
        if headers.is_empty() {
            return ready(Ok(Self(None)));
        }
        let texts = headers.iter().map(|header| header.to_str().unwrap_or_default());
        let tags = texts.flat_map(|text| text.split(',')).map(|tag| tag.trim().to_owned());
        let tags: Vec<String> = tags.collect();
        let is_tag = |tag: &String| {
            tag == "*" || (tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'))
        };
        // A weak tag (`W/"…"`) never matches strongly; it is well-formed all the same.
        if tags.iter().all(|tag| is_tag(tag) || tag.starts_with("W/\"")) {
            return ready(Ok(Self(Some(tags))));
        }
        let expected = "must be the ETag of an answer, in quotation marks, or `*`";
        ready(Err(ApiError::invalid_field("If-Match", expected)))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn if_match(value: &str) -> Result<IfMatch, ApiError> {
        let request = TestRequest::default().insert_header((IF_MATCH, value)).to_http_request();
        IfMatch::from_request(&request, &mut Payload::None).into_inner()
    }

    #[test]
    fn only_what_was_seen_is_changed() {
        let current = Version::number(7);
        for fine in ["\"7\"", "*", "\"6\", \"7\""] {
            assert!(if_match(fine).unwrap().check(&current).is_ok(), "{fine}");
        }
        for other in ["\"6\"", "W/\"7\"", "\"\""] {
            let error = if_match(other).unwrap().check(&current).unwrap_err();
            assert_eq!(error.problem(), Problem::PreconditionFailed, "{other}");
        }
        for bad in ["7", "", "\"", "\"7\", x"] {
            assert_eq!(if_match(bad).unwrap_err().problem(), Problem::InvalidInput, "{bad}");
        }
        assert!(IfMatch::default().check(&current).is_ok());
    }

    #[test]
    fn a_moment_later_is_another_version() {
        let at = |micros| Version::time(DateTime::from_timestamp_micros(micros).unwrap());
        assert_eq!(at(1), at(1));
        assert_ne!(at(1), at(2));
    }
}
