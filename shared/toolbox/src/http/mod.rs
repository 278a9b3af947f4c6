//! HTTP tools: a request made of arguments and context, and an answer made of what comes back.

mod answer;
mod request;

use std::time::Duration;

use recado_http::guard::{Answer, GuardedClient, Outbound, Phase, SendError};
use recado_types::ToolCallId;

pub(super) use self::request::request;
use super::offer::{Ended, Failure};

/// Sends `request` once. `max_bytes` are read of the answer.
pub(super) async fn send(
    client: &GuardedClient,
    request: &Outbound,
    key: ToolCallId,
    patience: Duration,
    max_bytes: usize,
) -> Ended {
    let timeout = request.timeout.min(patience);
    let request = request.clone().header("Idempotency-Key", &key.to_string());
    let request = request.expect("a UUID can stand in a header");
    match client.send(request.timeout(timeout).max_body_bytes(max_bytes)).await {
        Ok(answer) => judge(&answer),
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(tool_call.id = %key, error = cause, "a tool did not answer");
            let (code, told) = failure_of(&error, timeout);
            Ended::failed(code, told)
        }
    }
}

fn judge(answer: &Answer) -> Ended {
    let status = answer.status;
    if status.is_redirection() {
        let told = format!(
            "the tool answered with a redirect (status {}), which is not followed",
            status.as_u16()
        );
        return Ended::failed("redirect", told);
    }
    let mut ended = Ended::said(answer::text_of(answer), answer.truncated);
    if !status.is_success() {
        let told = format!("the tool answered with status {}", status.as_u16());
        ended.failure = Some(Failure { code: "status", told, was_cut: false });
    }
    ended
}

fn failure_of(error: &SendError, timeout: Duration) -> (&'static str, String) {
    match error {
        SendError::Forbidden(_) => ("forbidden", "the destination is not allowed".into()),
        SendError::Timeout { phase: Phase::Body(_) } => {
            ("timeout", format!("the tool did not finish its answer within {}", in_words(timeout)))
        }
        SendError::Timeout { .. } => {
            ("timeout", format!("the tool did not answer within {}", in_words(timeout)))
        }
        SendError::Connect(_) => ("unreachable", "the tool cannot be reached".into()),
        SendError::Tls(_) => ("unreachable", "the tool's certificate is not valid".into()),
        SendError::Malformed(_) => ("misconfigured", "the tool's request cannot be made".into()),
        SendError::Io(_) | SendError::Body { .. } => {
            ("unreachable", "the connection to the tool failed".into())
        }
    }
}

/// Seconds, with a decimal if it tells something: `30 s`, `1.5 s`.
fn in_words(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    if tenths.is_multiple_of(10) && tenths > 0 {
        format!("{} s", tenths / 10)
    } else if tenths > 0 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        format!("{} ms", time.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_seconds() {
        let told = |ms| in_words(Duration::from_millis(ms));
        assert_eq!([told(30_000), told(1_500), told(60_040)], ["30 s", "1.5 s", "60 s"]);
        assert_eq!([told(99), told(100)], ["99 ms", "0.1 s"]);
    }
}
