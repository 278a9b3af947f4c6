//! One question to one provider, asked until it is answered or there is no more time.
//!
//! Every attempt carries the same idempotency key, is given all the time that is left, and begins
//! from nothing: of an answer that breaks off in the middle, nothing was used.

use std::time::Duration;

use recado_http::guard::{GuardedClient, Outbound, SendError, Streamed, retry_after};
use recado_http::provider;
use recado_types::provider::ProviderKind;
use reqwest::Method;
use tokio::time::{Instant, timeout};

use super::answer::{Answer, AnswerReader, Flaw};
use super::chat::{Ask, Reply};
use super::complaint::Complaint;
use super::error::{Excess, ModelError};
use super::{anthropic, openai_compatible};
use crate::metrics::MODEL_SECONDS;

/// How often a failing provider is asked.
const MAX_ATTEMPTS: u32 = 4;
/// The longest first pause between attempts; that of each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How long a provider may fall silent in the middle of an answer. Those that need long for the
/// next word send signs of life more often than that.
pub(super) const IDLE: Duration = Duration::from_mins(1);
/// How much of an answer is read, in bytes. A stream has some 50 times as many as its text, which
/// has a limit of its own (`draft`); none of them is kept.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How much of a refusal is read, in bytes, and for how long.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
const REFUSAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of a stream is waited for once everything was said: only a connection whose
/// answer was read to its end can be used again.
const FAREWELL: Duration = Duration::from_millis(100);

/// Asks providers. Clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) client: GuardedClient,
    /// How long an answer may pause.
    pub(super) idle: Duration,
}

/// Where a model is.
pub(super) struct Endpoint<'a> {
    pub(super) kind: ProviderKind,
    pub(super) base_url: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) model: &'a str,
}

/// Why an attempt led to no reply.
enum Setback {
    /// It may go better later, at the earliest after the given pause.
    Passing { last: String, asked_pause: Option<Duration> },
    /// It may go better if the usage is not asked for.
    NoStreamOptions,
    /// It would not go better.
    Lasting(ModelError),
}

/// A `POST` to a path below a provider's address, with its key.
pub(super) fn post(endpoint: &Endpoint<'_>, path: &[&str]) -> Result<Outbound, ModelError> {
    let Endpoint { kind, base_url, key, .. } = *endpoint;
    let request = provider::request(kind, Method::POST, base_url, path, key);
    let request = request.map_err(|_not_shown| ModelError::Misconfigured)?;
    Ok(request.max_body_bytes(MAX_ANSWER_BYTES))
}

impl Caller {
    /// Asks until there is a reply, the provider refuses, or it has failed too often or for too
    /// long.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint<'_>,
        ask: &Ask<'_>,
    ) -> Result<Reply, ModelError> {
        let deadline = Instant::now() + ask.patience;
        let mut counted = true;
        let mut request = endpoint.request(ask, counted)?;
        let mut n_attempts = 0;
        loop {
            n_attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let attempt = request.clone().timeout(left);
            match self.attempt(attempt, endpoint.answer(ask)).await {
                Ok(reply) => return Ok(reply),
                Err(Setback::Lasting(error)) => return Err(error),
                Err(Setback::NoStreamOptions) if counted => {
                    counted = false;
                    request = endpoint.request(ask, counted)?;
                }
                Err(Setback::NoStreamOptions) => {
                    return Err(ModelError::Refused { status: 400, reason: None });
                }
                Err(Setback::Passing { last, asked_pause }) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let pause = pause(n_attempts, asked_pause, left);
                    tokio::time::sleep(pause.or_fail(n_attempts, last)?).await;
                }
            }
        }
    }

    async fn attempt(&self, request: Outbound, answer: Box<dyn Answer>) -> Result<Reply, Setback> {
        let started = Instant::now();
        let outcome = self.exchange(request, answer).await;
        let label = match &outcome {
            Ok(_) => "success",
            Err(Setback::Passing { .. } | Setback::NoStreamOptions) => "retry",
            Err(Setback::Lasting(_)) => "failed",
        };
        MODEL_SECONDS.with_label_values(&[label]).observe(started.elapsed().as_secs_f64());
        outcome
    }

    async fn exchange(&self, request: Outbound, answer: Box<dyn Answer>) -> Result<Reply, Setback> {
        let mut streamed = self.client.send_streaming(request, self.idle).await?;
        if streamed.status.is_success() {
            return read(&mut streamed, answer).await;
        }
        let asked_pause = retry_after(&streamed.headers);
        let complaint = Complaint::read(&refusal(&mut streamed).await);
        Err(Setback::of(streamed.status.as_u16(), complaint, asked_pause))
    }
}

impl Endpoint<'_> {
    fn request(&self, ask: &Ask<'_>, counted: bool) -> Result<Outbound, ModelError> {
        let request = match self.kind {
            ProviderKind::OpenaiCompatible => openai_compatible::request(self, ask, counted),
            ProviderKind::Anthropic => anthropic::request(self, ask),
        }?;
        // Not every provider knows it; to those that do, a repeated request is the same call.
        let key = ask.call_id.to_string();
        request.header("Idempotency-Key", &key).map_err(ModelError::misconfigured)
    }

    fn answer(&self, ask: &Ask<'_>) -> Box<dyn Answer> {
        match self.kind {
            ProviderKind::OpenaiCompatible => {
                Box::new(openai_compatible::Completion::new(ask.call_id))
            }
            ProviderKind::Anthropic => Box::new(anthropic::Message::new(ask.call_id)),
        }
    }
}

/// Reads an answer to its end.
async fn read(streamed: &mut Streamed, answer: Box<dyn Answer>) -> Result<Reply, Setback> {
    let mut reader = AnswerReader::new(answer);
    while let Some(bytes) = streamed.chunk().await? {
        reader.feed(&bytes)?;
        if reader.is_over() {
            let _ = timeout(FAREWELL, streamed.chunk()).await;
            return Ok(reader.end()?);
        }
    }
    if streamed.truncated() {
        return Err(Flaw::TooLarge(Excess::Bytes).into());
    }
    Ok(reader.end()?)
}

/// What came of the body of a refusal: it may be cut off, and then it tells nothing.
async fn refusal(streamed: &mut Streamed) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(bytes)) = streamed.chunk().await {
            let room = MAX_REFUSAL_BYTES - body.len();
            body.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if body.len() == MAX_REFUSAL_BYTES {
                break;
            }
        }
    };
    let _ = timeout(REFUSAL_PATIENCE, reading).await;
    body
}

impl Setback {
    /// What a refusal comes to.
    fn of(status: u16, complaint: Complaint, asked_pause: Option<Duration>) -> Self {
        if complaint.context_too_long {
            return Self::Lasting(ModelError::ContextTooLong);
        }
        if complaint.about_stream_options && matches!(status, 400 | 422) {
            return Self::NoStreamOptions;
        }
        let may_pass = matches!(status, 408 | 409 | 429 | 500..=599) && !complaint.is_lasting;
        let reason = complaint.reason;
        if may_pass {
            let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            return Self::Passing { last: format!("status {status}{reason}"), asked_pause };
        }
        Self::Lasting(ModelError::Refused { status, reason })
    }

    /// What an error in the middle of an answer comes to. Unless it says otherwise, it is the
    /// server's.
    fn in_the_middle(complaint: Complaint) -> Self {
        let status = complaint.status.unwrap_or(if complaint.is_lasting { 200 } else { 500 });
        Self::of(status, complaint, None)
    }

    fn passing(last: &str) -> Self {
        Self::Passing { last: last.to_owned(), asked_pause: None }
    }
}

impl From<SendError> for Setback {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Forbidden(_) => Self::Lasting(ModelError::Forbidden),
            error if error.is_retryable() => Self::passing(error.code()),
            error => {
                let last = error.code().to_owned();
                Self::Lasting(ModelError::Failing { n_attempts: 1, last })
            }
        }
    }
}

impl From<Flaw> for Setback {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Malformed => Self::Lasting(ModelError::Malformed),
            Flaw::BrokenOff => Self::passing("an answer that broke off"),
            Flaw::TooLarge(excess) => Self::Lasting(ModelError::TooLarge(excess)),
            Flaw::Complaint(complaint) => Self::in_the_middle(complaint),
        }
    }
}

/// What follows on an attempt that failed for the moment.
#[derive(Debug, PartialEq, Eq)]
enum Pause {
    /// Another one after this time.
    For(Duration),
    /// No other: the provider wants more time than there is.
    TooLong { asked: Duration },
    /// No other: it failed too often, or the time is over.
    Never,
}

/// How long to wait before the next attempt: what the provider asks for, and then some, so that
/// not everybody whom it asked the same comes back at once.
fn pause(n_attempts: u32, asked: Option<Duration>, left: Duration) -> Pause {
    if n_attempts >= MAX_ATTEMPTS {
        return Pause::Never;
    }
    if let Some(asked) = asked.filter(|asked| *asked >= left) {
        return Pause::TooLong { asked };
    }
    let pause = asked.unwrap_or_default() + backoff(n_attempts).mul_f64(rand::random());
    if pause < left { Pause::For(pause) } else { Pause::Never }
}

/// The longest pause after so many attempts.
fn backoff(n_attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << (n_attempts - 1).min(8))
}

impl Pause {
    fn or_fail(self, n_attempts: u32, last: String) -> Result<Duration, ModelError> {
        match self {
            Self::For(pause) => Ok(pause),
            Self::TooLong { asked } => Err(ModelError::Busy { asked }),
            Self::Never => Err(ModelError::Failing { n_attempts, last }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complaint(body: &str) -> Complaint {
        Complaint::read(body.as_bytes())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        for status in [408, 409, 429, 500, 503, 529] {
            let setback = Setback::of(status, Complaint::default(), None);
            assert!(matches!(setback, Setback::Passing { .. }), "{status}");
        }
        for status in [301, 400, 401, 404, 422] {
            let setback = Setback::of(status, Complaint::default(), None);
            assert!(
                matches!(setback, Setback::Lasting(ModelError::Refused { status: s, .. }) if s == status)
            );
        }
        let broke = complaint(r#"{"error": {"code": "insufficient_quota"}}"#);
        let setback = Setback::of(429, broke, None);
        let Setback::Lasting(error) = setback else { panic!("an empty account stays empty") };
        let expected = "the provider refused the request with status 429 (insufficient_quota)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_error_in_the_middle_is_the_servers_unless_it_says_otherwise() {
        for (body, may_pass) in [
            (r#"{"error": {"type": "overloaded_error"}}"#, true),
            (r#"{"error": {"code": 502}}"#, true),
            (r#"{"error": {"code": 403}}"#, false),
            (r#"{"error": {"type": "invalid_request_error"}}"#, false),
        ] {
            let setback = Setback::in_the_middle(complaint(body));
            assert_eq!(matches!(setback, Setback::Passing { .. }), may_pass, "{body}");
        }
        let too_long = complaint(r#"{"error": {"code": "context_length_exceeded"}}"#);
        let setback = Setback::in_the_middle(too_long);
        assert!(matches!(setback, Setback::Lasting(ModelError::ContextTooLong)));
    }

    #[test]
    fn who_asks_for_more_time_than_there_is_is_not_waited_for() {
        let (asked, left) = (Duration::from_secs(30), Duration::from_secs(20));
        assert_eq!(pause(1, Some(asked), left), Pause::TooLong { asked });
        assert_eq!(pause(4, Some(asked), Duration::from_mins(5)), Pause::Never);
        assert_eq!(pause(1, None, Duration::ZERO), Pause::Never);
        let for_ever = Duration::from_secs(u64::MAX);
        assert_eq!(pause(1, Some(for_ever), left), Pause::TooLong { asked: for_ever });
    }

    proptest! {
        #[test]
        fn pauses_are_as_long_as_asked_and_bounded(n_attempts in 1_u32..20, asked in 0_u64..50) {
            let (asked, left) = (Duration::from_secs(asked), Duration::from_mins(10));
            match pause(n_attempts, Some(asked), left) {
                Pause::For(pause) => {
                    prop_assert!(pause >= asked && pause <= asked + backoff(n_attempts));
                }
                other => {
                    prop_assert_eq!(other, Pause::Never);
                    prop_assert!(n_attempts >= MAX_ATTEMPTS);
                }
            }
        }
    }
}
