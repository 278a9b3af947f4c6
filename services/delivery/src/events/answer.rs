//! What a receiver's answer means, and what is kept of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::guard::{Answer, SendError, asked_pause};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, SET_COOKIE};

use super::schedule::Fared;

/// How much of the headers is kept, in bytes of names and values.
const MAX_KEPT_HEADERS: usize = 8 << 10;
/// How much of the body is kept, in bytes; more is not read.
pub(super) const MAX_KEPT_BODY: usize = 20_000;
/// What stands for a cookie: it may open a door.
const HIDDEN: &str = "[hidden]";

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) fared: Fared,
    /// The status, if there was one.
    pub(super) status_code: Option<u16>,
    /// What went wrong, as a stable code.
    pub(super) error_code: Option<String>,
    /// The headers of the answer, as far as they are kept.
    pub(super) headers: Option<Vec<(String, String)>>,
    /// The body of the answer, as text that PostgreSQL takes.
    pub(super) body: Option<String>,
}

impl Report {
    /// Of a request that was not made.
    pub(super) fn unsent(code: &str) -> Self {
        let fared = Fared::Refused { overloaded: false, retry_after: None };
        Self { fared, status_code: None, error_code: Some(code.into()), headers: None, body: None }
    }
}

/// Reads the result of a request that ended at `now`.
pub(super) fn read(result: Result<Answer, SendError>, now: DateTime<Utc>) -> Report {
    match result {
        Ok(answer) => of_answer(&answer, now),
        Err(error) => match error.begun_status() {
            // The status is known and only the rest of the body is not: that is an answer.
            Some(status) => of_status(status, None),
            None => of_error(&error),
        },
    }
}

fn of_error(error: &SendError) -> Report {
    let overloaded = matches!(error, SendError::Timeout { .. });
    let fared = Fared::Refused { overloaded, retry_after: None };
    Report { fared, ..Report::unsent(error.code()) }
}

fn of_answer(answer: &Answer, now: DateTime<Utc>) -> Report {
    Report {
        headers: Some(kept_headers(&answer.headers)),
        body: kept_body(&answer.body),
        ..of_status(answer.status, asked_pause(&answer.headers, now))
    }
}

fn of_status(status: StatusCode, retry_after: Option<Duration>) -> Report {
    let fared = match status {
        StatusCode::GONE => Fared::Gone,
        status if status.is_success() => Fared::Taken,
        status => {
            Fared::Refused { overloaded: status == StatusCode::TOO_MANY_REQUESTS, retry_after }
        }
    };
    let error_code = (fared != Fared::Taken).then(|| error_code(status));
    Report { fared, status_code: Some(status.as_u16()), error_code, headers: None, body: None }
}

fn error_code(status: StatusCode) -> String {
    match status {
        StatusCode::GONE => "gone".into(),
        StatusCode::TOO_MANY_REQUESTS => "rate_limited".into(),
        status if status.is_redirection() => "redirected".into(),
        status => format!("http_{}", status.as_u16()),
    }
}

/// The first headers, as many as fit; of cookies, their names only.
fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut room = MAX_KEPT_HEADERS;
    let texts = headers.iter().map(|(name, value)| {
        let value = if *name == SET_COOKIE {
            HIDDEN.to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        (name.as_str().to_owned(), value)
    });
    let kept = texts.take_while(|(name, value)| {
        let fits = room.checked_sub(name.len() + value.len());
        room = fits.unwrap_or_default();
        fits.is_some()
    });
    kept.collect()
}

/// As PostgreSQL takes it: UTF-8, without U+0000.
fn kept_body(body: &[u8]) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let mut text = String::from_utf8_lossy(body).replace('\0', "\u{FFFD}");
    text.truncate(text.floor_char_boundary(MAX_KEPT_BODY));
    Some(text)
}

#[cfg(test)]
mod tests {
    use recado_http::guard::{Guard, GuardedClient, Outbound, Phase};
    use recado_testkit::receiver::{Receiver, Script};
    use reqwest::Method;
    use reqwest::header::{HeaderValue, RETRY_AFTER};

    use super::*;

    fn answer(status: u16) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: HeaderMap::new(), body: "ok".into(), truncated: false }
    }

    fn read_now(answer: Answer) -> Report {
        read(Ok(answer), DateTime::UNIX_EPOCH)
    }

    fn refused(overloaded: bool) -> Fared {
        Fared::Refused { overloaded, retry_after: None }
    }

    #[test]
    fn only_2xx_is_success() {
        for (status, fared, code) in [
            (200, Fared::Taken, None),
            (204, Fared::Taken, None),
            (301, refused(false), Some("redirected")),
            (400, refused(false), Some("http_400")),
            (410, Fared::Gone, Some("gone")),
            (429, refused(true), Some("rate_limited")),
            (503, refused(false), Some("http_503")),
        ] {
            let report = read_now(answer(status));
            assert_eq!((report.fared, report.error_code.as_deref()), (fared, code), "{status}");
            assert_eq!((report.status_code, report.body.as_deref()), (Some(status), Some("ok")));
        }
    }

    #[test]
    fn no_answer_in_time_tells_of_too_much_work_and_a_late_body_of_nothing() {
        let timeout = |phase| read(Err(SendError::Timeout { phase }), DateTime::UNIX_EPOCH);
        let report = timeout(Phase::Answer);
        assert_eq!((report.fared, report.error_code.as_deref()), (refused(true), Some("timeout")));
        let report = timeout(Phase::Body(StatusCode::ACCEPTED));
        assert_eq!((report.fared, report.status_code), (Fared::Taken, Some(202)));
        assert_eq!(timeout(Phase::Body(StatusCode::GONE)).fared, Fared::Gone);
    }

    #[tokio::test]
    async fn of_an_answer_that_breaks_off_the_status_decides() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let client = GuardedClient::new(guard).unwrap();
        for (status, fared) in [(200, Fared::Taken), (410, Fared::Gone), (503, refused(false))] {
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 100\r\n\r\nhalf");
            let receiver = Receiver::doing(Script::send(head).then_close());
            let url = receiver.url().parse().unwrap();
            let result = client.send(Outbound::new(Method::POST, url)).await;
            let report = read(result, DateTime::UNIX_EPOCH);
            assert_eq!((report.fared, report.status_code), (fared, Some(status)));
        }
    }

    #[test]
    fn a_wish_to_be_left_alone_is_read_in_both_forms() {
        for asked in ["37", "Thu, 01 Jan 1970 00:00:37 GMT"] {
            let mut busy = answer(503);
            busy.headers.insert(RETRY_AFTER, HeaderValue::from_static(asked));
            let retry_after = Some(Duration::from_secs(37));
            assert_eq!(read_now(busy).fared, Fared::Refused { overloaded: false, retry_after });
        }
    }

    #[test]
    fn headers_are_kept_as_far_as_they_fit_and_cookies_are_not() {
        let mut chatty = answer(200);
        chatty.headers.insert(SET_COOKIE, HeaderValue::from_static("session=s3cret"));
        chatty.headers.append("x-odd", HeaderValue::from_bytes(&[0xFF]).unwrap());
        let long = HeaderValue::from_str(&"v".repeat(MAX_KEPT_HEADERS)).unwrap();
        chatty.headers.append("x-long", long);
        let kept = read_now(chatty).headers.unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(kept, [pair("set-cookie", "[hidden]"), pair("x-odd", "\u{FFFD}")]);
    }

    #[test]
    fn a_body_is_kept_as_a_text_that_can_be_stored() {
        let mut strange = answer(500);
        strange.body = [&[0, 0xFF], "é".repeat(20_000).as_bytes()].concat().into();
        let body = read_now(strange).body.unwrap();
        assert!(body.len() <= MAX_KEPT_BODY && !body.contains('\0'));
    }
}
