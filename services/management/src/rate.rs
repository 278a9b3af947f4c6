//! How much one credential may ask for: a limit by the minute (GCRA), counted in this process.
//!
//! It keeps a script that runs wild from taking the database away from everybody else; it is no
//! quota, so each instance counts for itself.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use chrono::{DateTime, Utc};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use recado_http::auth::Identity;
use recado_http::{ApiError, Problem};
use recado_types::TenantId;

use crate::access::{api, identify, in_form};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// When those that have not been heard of for a while are forgotten.
const MANY: usize = 100_000;
/// How many requests there are between two looks for them: a look goes through all that are known.
const LOOK_EVERY: u64 = 10_000;

type Key = (Option<TenantId>, String);
type Limiter =
    RateLimiter<Key, DefaultKeyedStateStore<Key>, DefaultClock, StateInformationMiddleware>;

/// What everybody may ask for.
pub(crate) struct Rates {
    per_minute: NonZeroU32,
    limiter: Limiter,
    asked: AtomicU64,
}

/// How the limit of one credential stands.
struct Standing {
    per_minute: u32,
    remaining: u32,
    /// Until all of it is there again.
    resets_in: Duration,
    /// For how long nothing is admitted, if it was not.
    retry_in: Option<Duration>,
}

impl Rates {
    /// So many requests a minute, which may come at once.
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_minute(per_minute)).with_middleware();
        Self { per_minute, limiter, asked: AtomicU64::new(0) }
    }

    fn ask(&self, identity: &Identity) -> Standing {
        if self.is_time_to_look() && self.limiter.len() > MANY {
            self.limiter.retain_recent();
        }
        let key = (identity.tenant(), identity.subject().to_owned());
        let (remaining, retry_in) = match self.limiter.check_key(&key) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refused) => (0, Some(refused.wait_time_from(DefaultClock::default().now()))),
        };
        let per_minute = self.per_minute.get();
        let resets_in = Duration::from_mins(1) * (per_minute - remaining) / per_minute;
        Standing { per_minute, remaining, resets_in, retry_in }
    }

    /// Once in [`LOOK_EVERY`] requests, even if all that are known came just now.
    fn is_time_to_look(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) % LOOK_EVERY == LOOK_EVERY - 1
    }
}

impl Standing {
    fn headers(&self, now: DateTime<Utc>) -> [(HeaderName, HeaderValue); 3] {
        let resets_in_ms = i64::try_from(self.resets_in.as_millis()).unwrap_or(i64::MAX);
        // Rounded up: who comes at that second must not come too early.
        let reset = now.timestamp_millis().saturating_add(resets_in_ms + 999).div_euclid(1_000);
        [
            (LIMIT, HeaderValue::from(self.per_minute)),
            (REMAINING, HeaderValue::from(self.remaining)),
            (RESET, HeaderValue::from(reset)),
        ]
    }
}

/// The middleware. Whoever is nobody is refused by the handler.
pub(crate) async fn limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let api = api(request.request()).clone();
    let Some(rates) = &api.rates else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let Ok(identity) = identify(&api, request.request()).await else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let standing = rates.ask(&identity);
    let headers = standing.headers(api.clock.now());
    if let Some(retry_in) = standing.retry_in {
        let error = ApiError::from(Problem::RateLimited).with_retry_after(retry_in);
        let error =
            headers.into_iter().fold(error, |error, (name, value)| error.with_header(name, value));
        let error = in_form(request.request(), error);
        return Ok(request.error_response(error).map_into_boxed_body());
    }
    let mut response = next.call(request).await?.map_into_boxed_body();
    for (name, value) in headers {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn somebody(name: &str, tenant: u128) -> Identity {
        Identity::Member(recado_http::auth::Member {
            tenant: TenantId(Uuid::from_u128(tenant)),
            subject: name.into(),
            role: recado_http::auth::Role::Viewer,
        })
    }

    #[test]
    fn each_credential_has_its_own_limit() {
        let rates = Rates::new(NonZeroU32::new(2).unwrap());
        let ana = somebody("ana", 1);
        assert_eq!(rates.ask(&ana).remaining, 1);
        assert_eq!(rates.ask(&ana).retry_in, None);
        let refused = rates.ask(&ana);
        assert_eq!(refused.remaining, 0);
        let retry_in = refused.retry_in.unwrap();
        assert!(retry_in > Duration::ZERO && retry_in <= Duration::from_secs(30), "{retry_in:?}");
        for other in [somebody("bea", 1), somebody("ana", 2)] {
            assert_eq!(rates.ask(&other).retry_in, None);
        }
    }

    #[test]
    fn the_forgotten_are_looked_for_once_in_many_requests() {
        let rates = Rates::new(NonZeroU32::MAX);
        let looks = || (0..LOOK_EVERY).filter(|_| rates.is_time_to_look()).count();
        assert_eq!([looks(), looks()], [1, 1]);
        assert!(!rates.is_time_to_look(), "the one after a look");
    }

    #[test]
    fn the_reset_is_rounded_up() {
        let now = DateTime::from_timestamp_millis(1_800_000_000_500).unwrap();
        let standing = Standing {
            per_minute: 60,
            remaining: 59,
            resets_in: Duration::from_secs(1),
            retry_in: None,
        };
        let [limit, remaining, reset] = standing.headers(now);
        assert_eq!((limit.1.as_bytes(), remaining.1.as_bytes()), (&b"60"[..], &b"59"[..]));
        assert_eq!(reset.1.as_bytes(), b"1800000002");
    }
}
