//! What the answer to a request means, and what is kept of it.
//!
//! The trigger's `success_status` decides first. Channels say more than their status, though:
//! Twilio's and Meta's error codes tell what is wrong and whether it will pass, and Slack and Teams
//! answer 200 to what they did not take. Whatever the channel, the same thing has the same code.

mod body;
mod failure;
mod meta;
mod slack;
mod teams;
#[cfg(test)]
mod tests;
mod twilio;

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::guard::{Answer, SendError, asked_pause};
use recado_types::trigger::StatusSet;

use self::body::Said;
use self::failure::{Failure, Hope};
use super::retry::Outcome;
use super::sent::SentSecret;

/// How much of a body is kept, in bytes, and the most that is looked into.
pub const MAX_KEPT_BODY: usize = 20_000;

/// The result of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What follows from it.
    pub outcome: Outcome,
    /// The status, if there was one.
    pub status_code: Option<u16>,
    /// What went wrong, if something did.
    pub problem: Option<Problem>,
    /// What the channel calls the message, without the secret that was sent.
    pub provider_id: Option<String>,
    /// The answer's body without the secret that was sent, cut to 20,000 bytes, as text that
    /// PostgreSQL takes.
    pub body: Option<String>,
    /// See [`Self::is_destination_fault`].
    pub(crate) destination_fault: bool,
}

impl Report {
    /// Whether the destination as a whole cannot take requests now, so that others to it would fare
    /// no better: no answer, 408, 429, 5xx, or a channel that says so in other words. A refusal is
    /// none, nor is a limit on how much one recipient is sent.
    pub fn is_destination_fault(&self) -> bool {
        self.destination_fault
    }

    /// How long the receiver wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Unsettled { retry_after } => retry_after,
            Outcome::Accepted | Outcome::Refused => None,
        }
    }
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

    /// What a status alone says.
    fn of_status(status: u16) -> Self {
        let of_its_own = |message: String| Self {
            code: format!("http_{status}").into(),
            message: message.into(),
        };
        match status {
            200..=299 => of_its_own(format!(
                "the receiver answered {status}, which is not in `success_status`"
            )),
            300..=399 => Self::known(
                "redirected",
                "the receiver redirects, which callbacks do not follow: use the final address",
            ),
            401 | 403 => of_its_own(format!(
                "the receiver answered {status}: check the callback's credentials"
            )),
            429 => Self::known("rate_limited", "the receiver takes fewer requests than were sent"),
            _ => of_its_own(format!("the receiver answered {status}")),
        }
    }
}

/// Reads the result of a request that ended at `now` and carried `sent`; `success` is what its
/// callback takes for one.
pub fn read(
    result: Result<Answer, SendError>,
    success: &StatusSet,
    sent: &SentSecret,
    now: DateTime<Utc>,
) -> Report {
    match result {
        Ok(answer) => of_answer(&answer, success, sent, now),
        Err(error) => match error.begun_status() {
            // The status is known and only the rest of the body is not: that is an answer.
            Some(status) => of_status(status.as_u16(), success, None),
            None => of_error(&error),
        },
    }
}

fn of_answer(
    answer: &Answer,
    success: &StatusSet,
    sent: &SentSecret,
    now: DateTime<Utc>,
) -> Report {
    let status = answer.status.as_u16();
    let retry_after = asked_pause(&answer.headers, now);
    let Said { message_id, failure, is_failure_in_disguise } = Said::in_body_of(answer);
    let is_success = success.contains(status) && !(status == 200 && is_failure_in_disguise);
    let report = match failure {
        Some(failure) if !is_success => of_failure(failure, status, retry_after),
        _ => of_status(status, success, retry_after),
    };
    let provider_id = message_id.filter(|_| is_success).map(|id| sent.redact(&id));
    Report { provider_id, body: kept_body(answer, sent), ..report }
}

fn of_failure(failure: Failure, status: u16, retry_after: Option<Duration>) -> Report {
    Report {
        outcome: failure.outcome(retry_after),
        status_code: Some(status),
        destination_fault: failure.hope == Hope::ForAll,
        problem: Some(failure.problem),
        provider_id: None,
        body: None,
    }
}

fn of_status(status: u16, success: &StatusSet, retry_after: Option<Duration>) -> Report {
    let outcome = match Outcome::of_status(status, retry_after) {
        _ if success.contains(status) => Outcome::Accepted,
        Outcome::Accepted => Outcome::Refused,
        other => other,
    };
    Report {
        outcome,
        status_code: Some(status),
        problem: (outcome != Outcome::Accepted).then(|| Problem::of_status(status)),
        provider_id: None,
        body: None,
        destination_fault: matches!(outcome, Outcome::Unsettled { .. }),
    }
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
    Report {
        outcome,
        status_code: None,
        problem: Some(Problem { code: error.code().into(), message: message.into() }),
        provider_id: None,
        body: None,
        destination_fault: is_destinations(error),
    }
}

/// Whether it is the destination that did not answer, rather than we who did not ask.
fn is_destinations(error: &SendError) -> bool {
    match error {
        SendError::Timeout { .. }
        | SendError::Connect(_)
        | SendError::Tls(_)
        | SendError::Io(_)
        | SendError::Body { .. } => true,
        SendError::Forbidden(_) | SendError::Malformed(_) => false,
    }
}

/// The body as PostgreSQL takes it: UTF-8, without U+0000.
fn kept_body(answer: &Answer, sent: &SentSecret) -> Option<String> {
    if answer.body.is_empty() {
        return None;
    }
    let said = String::from_utf8_lossy(&answer.body);
    Some(sent.foreign(&said, answer.truncated, MAX_KEPT_BODY))
}
