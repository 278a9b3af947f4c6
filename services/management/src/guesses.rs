//! How many credentials that are none one client may show us: each costs a signature's check or a
//! look-up in the database.
//!
//! A client is an address, or a network of IPv6 that one household has. Past its limit (GCRA, as
//! for credentials) it is told to come again before its credential is looked at. Successes do not
//! count. Several may stand behind one address, and one of them guess: so what was good a while ago
//! is looked at in any case, and what is new has its chance as soon as one failure is forgotten.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, X_FORWARDED_FOR};
use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use moka::future::Cache;
use recado_http::auth::Credential;
use recado_http::{ApiError, Problem};
use sha2::{Digest, Sha256};

/// When those are forgotten that have not failed for a while.
const MANY: usize = 100_000;
/// How many good credentials are remembered, and for how long.
const GOOD_CREDENTIALS: u64 = 20_000;
const GOOD_FOR: Duration = Duration::from_mins(10);
/// How many proxies there may be in front of each other.
const MAX_PROXIES: usize = 16;

/// What clients have shown us.
pub(crate) struct Guesses {
    failures: Option<Failures>,
    proxies: Vec<IpNet>,
    /// Hashes of credentials that were good.
    good: Cache<[u8; 32], ()>,
}

/// One that is going to be looked at.
pub(crate) struct Guess {
    client: IpAddr,
    hash: [u8; 32],
}

impl Guesses {
    /// So many failures a minute of one client, or any number; `proxies` are believed about whom
    /// they speak for.
    pub(crate) fn new(per_minute: Option<NonZeroU32>, proxies: Vec<IpNet>) -> Self {
        let good = Cache::builder().max_capacity(GOOD_CREDENTIALS).time_to_live(GOOD_FOR).build();
        Self { failures: per_minute.map(Failures::new), proxies, good }
    }

    /// Whether the credential may be looked at.
    ///
    /// # Errors
    /// 429 `rate_limited` if its client has shown too many that were none.
    pub(crate) fn admit(
        &self,
        request: &HttpRequest,
        credential: &Credential,
        now: DateTime<Utc>,
    ) -> Result<Guess, ApiError> {
        let hash = match credential {
            Credential::Token(token) => Sha256::digest(token.as_bytes()).into(),
            Credential::ApiKey(key) => key.hash(),
        };
        let guess = Guess { client: self.client(request), hash };
        let retry_in = self.failures.as_ref().and_then(|known| known.retry_in(guess.client, now));
        match retry_in {
            Some(retry_in) if !self.good.contains_key(&hash) => {
                let why = "too many tokens and keys from this address were refused";
                Err(ApiError::new(Problem::RateLimited, why).with_retry_after(retry_in))
            }
            _ => Ok(guess),
        }
    }

    /// Remembers what the look at it has shown. What could not be found out counts for nothing.
    pub(crate) async fn learn(&self, guess: Guess, failure: Option<Problem>, now: DateTime<Utc>) {
        let Some(failures) = &self.failures else { return };
        match failure {
            None => self.good.insert(guess.hash, ()).await,
            Some(Problem::InvalidToken | Problem::InvalidApiKey) => {
                self.good.invalidate(&guess.hash).await;
                failures.count(guess.client, now);
            }
            Some(_) => {}
        }
    }

    fn client(&self, request: &HttpRequest) -> IpAddr {
        // There is always one, but for requests that are made up in tests.
        let peer = request.peer_addr().map_or(Ipv6Addr::UNSPECIFIED.into(), |peer| peer.ip());
        network(behind(&self.proxies, peer.to_canonical(), request.headers()))
    }
}

/// When the failures of each client will all be forgotten: each is remembered for its share of a
/// minute, one after the other.
struct Failures {
    /// The share of one.
    each: TimeDelta,
    forgotten_at: Mutex<HashMap<IpAddr, DateTime<Utc>>>,
}

const MINUTE: TimeDelta = TimeDelta::minutes(1);

impl Failures {
    fn new(per_minute: NonZeroU32) -> Self {
        let each = TimeDelta::microseconds(60_000_000 / i64::from(per_minute.get()));
        Self { each, forgotten_at: Mutex::default() }
    }

    /// How long the client has to wait, if there is no room for another failure. Never longer than
    /// the share of one.
    fn retry_in(&self, client: IpAddr, now: DateTime<Utc>) -> Option<Duration> {
        let forgotten_at = self.forgotten_at().get(&client).copied()?;
        let remembered = forgotten_at - now;
        // Longer than any is: the clock was set back, by more than requests overtake each other.
        if remembered > MINUTE * 2 {
            return None;
        }
        let too_many = remembered.min(MINUTE) - (MINUTE - self.each);
        too_many.to_std().ok().filter(|wait| !wait.is_zero())
    }

    fn count(&self, client: IpAddr, now: DateTime<Utc>) {
        let mut known = self.forgotten_at();
        if known.len() >= MANY {
            known.retain(|_, forgotten_at| *forgotten_at > now);
            // Whoever has so many addresses is not held back by counting them.
            if known.len() > MANY / 2 {
                known.clear();
            }
        }
        let forgotten_at = known.entry(client).or_insert(now);
        // Of those that are looked at together more may fail than there is room for.
        *forgotten_at = ((*forgotten_at).max(now) + self.each).min(now + MINUTE);
    }

    fn forgotten_at(&self) -> MutexGuard<'_, HashMap<IpAddr, DateTime<Utc>>> {
        self.forgotten_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom `peer` speaks for, if it is one of `proxies`: the last address that none of them has.
/// Each appends the address that it was called from, so what stands before is anybody's word.
fn behind(proxies: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(&address));
    // What cannot be read stays in its place, and is believed as little as what says nothing.
    let values: Vec<&str> =
        headers.get_all(X_FORWARDED_FOR).map(|value| value.to_str().unwrap_or_default()).collect();
    let named = values.into_iter().rev().flat_map(|value| value.rsplit(','));
    let mut client = peer;
    for named in named.take(MAX_PROXIES) {
        match address(named.trim()) {
            Some(named) if is_proxy(client) => client = named.to_canonical(),
            _ => break,
        }
    }
    client
}

/// Some proxies name the port, too.
fn address(named: &str) -> Option<IpAddr> {
    named.parse().ok().or_else(|| named.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
}

/// What one client has: an address of IPv4, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const TOKEN_IS_NONE: Option<Problem> = Some(Problem::InvalidToken);

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn guesses(per_minute: u32) -> Guesses {
        Guesses::new(NonZeroU32::new(per_minute), Vec::new())
    }

    fn from(address: &str) -> HttpRequest {
        let address = format!("{address}:4711").parse().unwrap();
        TestRequest::default().peer_addr(address).to_http_request()
    }

    fn token(text: &str) -> Credential {
        Credential::Token(text.to_owned())
    }

    /// Whether it is looked at, and what comes of it.
    async fn show(
        known: &Guesses,
        from: &HttpRequest,
        shown: &str,
        outcome: Option<Problem>,
    ) -> bool {
        let Ok(guess) = known.admit(from, &token(shown), now()) else { return false };
        known.learn(guess, outcome, now()).await;
        true
    }

    #[tokio::test]
    async fn whoever_guesses_has_to_wait_and_the_others_do_not() {
        let known = guesses(30);
        let (guesser, other) = (from("192.0.2.1"), from("192.0.2.2"));
        assert!(show(&known, &guesser, "in use", None).await);
        for guess in 0..30 {
            assert!(show(&known, &guesser, &guess.to_string(), TOKEN_IS_NONE).await);
        }
        let refused = known.admit(&guesser, &token("another"), now()).err().unwrap();
        assert_eq!(refused.problem(), Problem::RateLimited);
        assert_eq!(refused.retry_after_seconds(), Some(2));
        assert!(show(&known, &other, "another", TOKEN_IS_NONE).await, "from elsewhere");

        // What was good is looked at, until it is not good any longer.
        assert!(show(&known, &guesser, "in use", TOKEN_IS_NONE).await);
        assert!(!show(&known, &guesser, "in use", TOKEN_IS_NONE).await);

        let later = now() + TimeDelta::seconds(2);
        let next = known.admit(&guesser, &token("another"), later).unwrap();
        known.learn(next, TOKEN_IS_NONE, later).await;
        assert!(known.admit(&guesser, &token("another"), later).is_err(), "one at a time");
        let long_after = now() + TimeDelta::seconds(62);
        for guess in 0..30 {
            let next = known.admit(&guesser, &token(&guess.to_string()), long_after).unwrap();
            known.learn(next, TOKEN_IS_NONE, long_after).await;
        }
        assert!(known.admit(&guesser, &token("another"), long_after).is_err());
    }

    #[tokio::test]
    async fn only_what_was_refused_counts() {
        let known = guesses(1);
        let client = from("192.0.2.1");
        for outcome in [None, Some(Problem::Unavailable), TOKEN_IS_NONE] {
            assert!(show(&known, &client, "a.b.c", outcome).await, "before {outcome:?}");
        }
        assert!(!show(&known, &client, "a.b.c", None).await);
        let unlimited = guesses(0);
        for _ in 0..100 {
            assert!(show(&unlimited, &client, "a.b.c", TOKEN_IS_NONE).await);
        }
    }

    #[test]
    fn nobody_waits_longer_because_the_clock_was_set_back_or_many_failed_together() {
        let failures = Failures::new(NonZeroU32::new(30).unwrap());
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..1_000 {
            failures.count(client, now());
        }
        for at in [now(), now() - TimeDelta::milliseconds(50)] {
            assert_eq!(failures.retry_in(client, at), Some(Duration::from_secs(2)));
        }
        let earlier = now() - TimeDelta::hours(1);
        assert_eq!(failures.retry_in(client, earlier), None);
        failures.count(client, earlier);
        assert_eq!(failures.retry_in(client, earlier), Some(Duration::from_secs(2)));
    }

    #[test]
    fn so_many_clients_are_known_and_no_more() {
        let failures = Failures::new(NonZeroU32::new(30).unwrap());
        for number in 0..=u32::try_from(MANY).unwrap() {
            failures.count(IpAddr::V4(number.into()), now());
        }
        assert!(failures.forgotten_at().len() < MANY);
    }

    #[test]
    fn proxies_are_believed_about_their_callers_and_nobody_else() {
        let proxies: Vec<IpNet> =
            ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().unwrap()).into();
        let client = |peer: &str, said: &[&str]| {
            let said = said.iter().fold(TestRequest::default(), |request, value| {
                request.append_header((X_FORWARDED_FOR, *value))
            });
            let peer: IpAddr = peer.parse().unwrap();
            let headers = said.to_http_request().headers().clone();
            network(behind(&proxies, peer.to_canonical(), &headers)).to_string()
        };
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "\u{ff}, 198.51.100.7"]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("2001:db8:1::1", &["2001:db8:7:8:9::1"]), "2001:db8:7:8::");
    }
}
