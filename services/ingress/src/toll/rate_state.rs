//! How a limit stands, as a sender is told: `X-RateLimit-*`, and `Retry-After` with a 429.

use std::fmt;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_kv::toll::{self, RateKind, Refused};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// How a limit stands. It stays true if it is told long after it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateState {
    /// `None` is the tenant's share of what is in flight, which is not counted by the minute.
    minute: Option<Minute>,
    /// For how long it admits nothing, if it refused.
    retry_in: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Minute {
    kind: RateKind,
    limit: u32,
    remaining: u32,
    /// The Unix second by which all of it is there again.
    reset: i64,
}

impl RateState {
    /// A limit that admitted a message just now.
    pub(super) fn admitted(rate: &toll::RateState, now: DateTime<Utc>) -> Self {
        Self { minute: Some(Minute::of(rate, now)), retry_in: None }
    }

    /// A limit that did not.
    pub(super) fn limited(refused: &Refused, now: DateTime<Utc>) -> Self {
        let minute = Minute::of(&refused.state, now);
        Self { minute: Some(minute), retry_in: Some(refused.retry_in) }
    }

    /// A tenant that has as much in flight as it may.
    pub(super) fn of_share(retry_in: Duration) -> Self {
        Self { minute: None, retry_in: Some(retry_in) }
    }

    /// Adds what there is to tell to a response.
    pub(crate) fn write_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
    }

    /// Adds the same, and when to come back, to a refusal.
    pub(crate) fn in_error(&self, error: ApiError) -> ApiError {
        let error = match self.retry_in {
            Some(retry_in) => error.with_retry_after(retry_in),
            None => error,
        };
        self.headers().fold(error, |error, (name, value)| error.with_header(name, value))
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let headers = self.minute.map(|minute| {
            [
                (LIMIT, HeaderValue::from(minute.limit)),
                (REMAINING, HeaderValue::from(minute.remaining)),
                (RESET, HeaderValue::from(minute.reset)),
            ]
        });
        headers.into_iter().flatten()
    }
}

impl Minute {
    fn of(state: &toll::RateState, now: DateTime<Utc>) -> Self {
        let resets_in_ms = i64::try_from(state.resets_in.as_millis()).unwrap_or(i64::MAX);
        let resets_at_ms = now.timestamp_millis().saturating_add(resets_in_ms);
        Self {
            kind: state.rate.key.kind(),
            limit: state.rate.per_minute,
            remaining: state.remaining,
            // Rounded up: who comes at that second must not come too early.
            reset: resets_at_ms.saturating_add(999).div_euclid(1_000),
        }
    }
}

/// Which limit it is, in words that go on after "too many messages:".
impl fmt::Display for RateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Minute { kind, limit, .. }) = self.minute else {
            return f.write_str("the tenant has as many on their way as it may");
        };
        let whose = match kind {
            RateKind::Tenant => "the tenant",
            RateKind::Trigger => "the trigger",
            RateKind::Sender => "each sender",
        };
        write!(f, "{whose} may have {limit} a minute")
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use recado_http::Problem;
    use recado_kv::toll::{Rate, RateKey};
    use recado_types::TenantId;
    use uuid::Uuid;

    use super::*;

    fn state(resets_in_ms: u64) -> toll::RateState {
        let rate = Rate { key: RateKey::Tenant(TenantId(Uuid::nil())), per_minute: 60 };
        toll::RateState { rate, remaining: 7, resets_in: Duration::from_millis(resets_in_ms) }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_250).unwrap()
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_reset_is_the_unix_second_by_which_all_is_there_again() {
        for (resets_in_ms, expected) in
            [(0, "1800000001"), (750, "1800000001"), (751, "1800000002"), (59_750, "1800000060")]
        {
            let mut headers = HeaderMap::new();
            RateState::admitted(&state(resets_in_ms), now()).write_headers(&mut headers);
            assert_eq!(text(&headers, "x-ratelimit-limit"), Some("60"));
            assert_eq!(text(&headers, "x-ratelimit-remaining"), Some("7"));
            assert_eq!(text(&headers, "x-ratelimit-reset"), Some(expected));
            assert_eq!(headers.len(), 3);
        }
    }

    fn refused(limited: &RateState) -> HeaderMap {
        let response = limited.in_error(ApiError::from(Problem::RateLimited)).error_response();
        assert_eq!(response.status(), 429);
        response.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    #[test]
    fn a_refusal_says_when_to_come_back_in_seconds_rounded_up() {
        let refusal = Refused { state: state(5_000), retry_in: Duration::from_millis(1_001) };
        let limited = RateState::limited(&refusal, now());
        let headers = refused(&limited);
        assert_eq!(text(&headers, "retry-after"), Some("2"));
        assert_eq!(text(&headers, "x-ratelimit-reset"), Some("1800000006"));
        assert_eq!(limited.to_string(), "the tenant may have 60 a minute");
    }

    #[test]
    fn a_share_that_is_used_up_has_no_minute() {
        let headers = refused(&RateState::of_share(Duration::from_secs(1)));
        assert_eq!(text(&headers, "retry-after"), Some("1"));
        assert_eq!(text(&headers, "x-ratelimit-limit"), None);
    }
}
