//! What the answer to a request means, and what is kept of it.
//!
//! Channels say more than their status: Twilio's error codes and message SIDs and Meta's message
//! ids are read from the body, wherever it comes from, since both are unmistakable.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use recado_http::guard::{Answer, Phase, SendError, asked_pause};
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;

use super::retry::Outcome;

/// How much of a body is kept, in bytes.
const MAX_KEPT_BODY: usize = 20_000;
/// The longest id of a provider that is kept, in bytes.
const MAX_PROVIDER_ID: usize = 256;

/// The result of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What follows from it.
    pub outcome: Outcome,
    /// The status, if there was one.
    pub status_code: Option<u16>,
    /// What went wrong, if something did.
    pub problem: Option<Problem>,
    /// What the channel calls the message.
    pub provider_id: Option<String>,
    /// The answer's body, cut to 20,000 bytes, as text that PostgreSQL takes.
    pub body: Option<String>,
}

/// What went wrong, for whoever has to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable code.
    pub code: Cow<'static, str>,
    /// What it means.
    pub message: Cow<'static, str>,
}

impl Problem {
    fn known(code: &'static str, message: &'static str) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Reads the result of a request that ended at `now`.
pub fn read(result: Result<Answer, SendError>, now: DateTime<Utc>) -> Report {
    match result {
        Ok(answer) => of_answer(&answer, now),
        // The status is known and only the rest of the body is not: that is an answer.
        Err(SendError::Timeout { phase: Phase::Body(status) }) => of_status(status.as_u16()),
        Err(error) => of_error(&error),
    }
}

fn of_answer(answer: &Answer, now: DateTime<Utc>) -> Report {
    let status = answer.status.as_u16();
    let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| asked_pause(value, Some(now)));
    let outcome = Outcome::of_status(status, retry_after);
    let body: ChannelBody = serde_json::from_slice(&answer.body).unwrap_or_default();
    let problem = (outcome != Outcome::Accepted)
        .then(|| body.problem().unwrap_or_else(|| problem_of_status(status)));
    let provider_id = (outcome == Outcome::Accepted).then(|| body.message_id()).flatten();
    Report {
        outcome,
        status_code: Some(status),
        problem,
        provider_id,
        body: kept_body(&answer.body),
    }
}

fn of_status(status: u16) -> Report {
    let outcome = Outcome::of_status(status, None);
    let problem = (outcome != Outcome::Accepted).then(|| problem_of_status(status));
    Report { outcome, status_code: Some(status), problem, provider_id: None, body: None }
}

fn of_error(error: &SendError) -> Report {
    let outcome = if error.is_retryable() {
        Outcome::Unsettled { retry_after: None }
    } else {
        Outcome::Refused
    };
    let message = match error {
        SendError::Forbidden(reason) => format!("{error}: {reason}"),
        other => other.to_string(),
    };
    let problem = Problem { code: error.code().into(), message: message.into() };
    Report { outcome, status_code: None, problem: Some(problem), provider_id: None, body: None }
}

fn problem_of_status(status: u16) -> Problem {
    match status {
        300..=399 => Problem::known(
            "redirected",
            "the receiver redirects, which callbacks do not follow: use the final address",
        ),
        401 | 403 => Problem {
            code: format!("http_{status}").into(),
            message: format!("the receiver answered {status}: check the callback's credentials")
                .into(),
        },
        429 => Problem::known("rate_limited", "the receiver takes fewer requests than were sent"),
        _ => Problem {
            code: format!("http_{status}").into(),
            message: format!("the receiver answered {status}").into(),
        },
    }
}

/// The parts of the channels' bodies that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ChannelBody {
    /// Twilio's error.
    code: serde_json::Value,
    /// Twilio's name for the message.
    sid: serde_json::Value,
    /// Meta's names for the messages: one, since we send one.
    messages: serde_json::Value,
}

impl ChannelBody {
    fn problem(&self) -> Option<Problem> {
        Some(match self.code.as_u64()? {
            21_617 | 21_658 => Problem::known(
                "message_body_invalid",
                "Twilio takes 1 to 1,600 characters a message: check `Body` in `body_template`, \
                 and cut long answers with `split_config` or `max_length`",
            ),
            63_016 => Problem::known(
                "outside_messaging_window",
                "WhatsApp takes free-form messages for 24 hours after the user's last one only: \
                 wait for the user to write, or send an approved template",
            ),
            20_429 => Problem::known("rate_limited", "Twilio takes fewer requests than were sent"),
            _ => return None,
        })
    }

    fn message_id(&self) -> Option<String> {
        let id = self.sid.as_str().or_else(|| self.messages.get(0)?.get("id")?.as_str())?;
        (id.len() <= MAX_PROVIDER_ID).then(|| id.replace('\0', "\u{FFFD}"))
    }
}

/// The body as PostgreSQL takes it: UTF-8, without U+0000.
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
    use std::time::Duration;

    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            truncated: false,
        }
    }

    fn read_now(answer: Answer) -> Report {
        read(Ok(answer), DateTime::UNIX_EPOCH)
    }

    fn code(report: &Report) -> &str {
        &report.problem.as_ref().unwrap().code
    }

    #[test]
    fn the_channels_name_for_the_message_is_kept() {
        for (body, id) in [
            (r#"{"sid": "SM123", "status": "queued", "error_code": null}"#, Some("SM123")),
            (r#"{"messages": [{"id": "wamid.X"}]}"#, Some("wamid.X")),
            (r#"{"messages": [], "sid": 7}"#, None),
            ("[1]", None),
            ("ok", None),
        ] {
            let report = read_now(answer(201, body));
            assert_eq!((report.provider_id.as_deref(), report.problem), (id, None), "{body}");
            assert_eq!(report.body.as_deref(), Some(body));
        }
    }

    #[test]
    fn twilios_codes_are_explained() {
        for (status, twilio, expected) in [
            (400, 21_617, "message_body_invalid"),
            (400, 21_658, "message_body_invalid"),
            (400, 63_016, "outside_messaging_window"),
            (429, 20_429, "rate_limited"),
            (400, 21_211, "http_400"),
        ] {
            let body = format!(r#"{{"code": {twilio}, "message": "…", "status": {status}}}"#);
            assert_eq!(code(&read_now(answer(status, &body))), expected);
        }
    }

    #[test]
    fn an_answer_without_a_useful_body_is_named_by_its_status() {
        for (status, expected) in
            [(301, "redirected"), (401, "http_401"), (429, "rate_limited"), (503, "http_503")]
        {
            let report = read_now(answer(status, "<html>"));
            assert_eq!((code(&report), report.status_code), (expected, Some(status)));
        }
    }

    #[test]
    fn retry_after_is_passed_on() {
        let mut busy = answer(429, "");
        busy.headers.insert(RETRY_AFTER, HeaderValue::from_static("30"));
        let expected = Outcome::Unsettled { retry_after: Some(Duration::from_secs(30)) };
        assert_eq!(read_now(busy).outcome, expected);
    }

    #[test]
    fn a_body_is_kept_as_a_text_that_can_be_stored() {
        let mut strange = answer(200, "");
        strange.body = [&[0, 0xFF], "é".repeat(20_000).as_bytes()].concat().into();
        let body = read_now(strange).body.unwrap();
        assert!(body.len() <= MAX_KEPT_BODY && !body.contains('\0'));
        assert_eq!(read_now(answer(204, "")).body, None);
    }

    #[test]
    fn no_answer_may_mend_itself_and_a_late_body_is_none() {
        let timeout = |phase| Err(SendError::Timeout { phase });
        let report = read(timeout(Phase::Answer), DateTime::UNIX_EPOCH);
        assert_eq!(report.outcome, Outcome::Unsettled { retry_after: None });
        assert_eq!(code(&report), "timeout");
        // The message was taken: sending it again would double it.
        let report = read(timeout(Phase::Body(StatusCode::CREATED)), DateTime::UNIX_EPOCH);
        assert_eq!((report.outcome, report.status_code), (Outcome::Accepted, Some(201)));
    }

    #[test]
    fn a_forbidden_destination_stays_forbidden() {
        let forbidden = recado_http::guard::ForbiddenDestination::NotPublic;
        let report = read(Err(SendError::Forbidden(forbidden)), DateTime::UNIX_EPOCH);
        assert_eq!((report.outcome, code(&report)), (Outcome::Refused, "forbidden_destination"));
    }
}
