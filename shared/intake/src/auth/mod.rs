//! Where does a request come from? Decided over the raw bytes, before anything is parsed.
//!
//! A caller learns that the check failed, never which part of it: missing, malformed and wrong
//! credentials look the same, and comparisons take the same time.

mod keys;
mod signature;

pub use keys::Keys;

use std::fmt;

use actix_web::http::header::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use recado_http::auth::API_KEY_HEADER;
use recado_types::trigger::InboundAuth;

use crate::payload::PayloadLimits;
use crate::public_url::PublicUrl;
use crate::refusal::Refusal;
use crate::trigger::CompiledTrigger;

/// A request as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What the sender calls us.
    pub public_url: &'a PublicUrl,
    /// What it asked for, undecoded.
    pub path_and_query: &'a str,
    /// What it says of itself.
    pub headers: &'a HeaderMap,
    /// What it holds.
    pub body: &'a [u8],
    /// When it came: what signed timestamps are compared with.
    pub at: DateTime<Utc>,
    /// What a body may hold, for those who have to look into it by themselves.
    pub limits: PayloadLimits,
}

impl<'a> Received<'a> {
    /// The header of this name, if it stands there exactly once and is a text. All that a check
    /// depends on is read so: of two, a proxy in front of us might have looked at the other one.
    pub fn only_header(&self, name: &str) -> Option<&'a str> {
        self.only_value(name)?.to_str().ok()
    }

    /// Like [`Self::only_header`], of any bytes.
    pub(crate) fn only_value(&self, name: &str) -> Option<&'a HeaderValue> {
        let mut values = self.headers.get_all(name);
        let only = values.next()?;
        values.next().is_none().then_some(only)
    }

    /// The query, undecoded and without its question mark.
    pub(crate) fn query(&self) -> &'a str {
        self.path_and_query.split_once('?').map_or("", |(_, query)| query)
    }
}

/// What a request has to show, by its trigger's configuration: whichever of it was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// That the sender has a key.
    Signature,
    /// Secrets themselves.
    HeaderSecret,
    /// Both.
    SignatureAndHeaderSecret,
}

impl Proof {
    /// Of one that asks for both.
    fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::SignatureAndHeaderSecret }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "signature",
            Self::HeaderSecret => "secret in a header",
            Self::SignatureAndHeaderSecret => "signature or the secret in a header",
        })
    }
}

/// The API key that `request` shows: in `X-Api-Key`, or as the password of Basic credentials
/// (RFC 7617), for systems that can be given an address and nothing else:
/// `https://recado:rk_…@example.com/…`.
pub fn presented_key(request: &Received<'_>) -> Option<String> {
    if let Some(key) = request.only_header(API_KEY_HEADER) {
        return Some(key.to_owned());
    }
    let (scheme, credentials) = request.only_header("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = BASE64.decode(credentials.trim()).ok()?;
    let credentials = String::from_utf8(credentials).ok()?;
    credentials.split_once(':').map(|(_, password)| password.to_owned())
}

/// Does `request` come from somebody who may use `trigger`, as far as its bytes tell?
///
/// Not if an API key is asked for: who knows which keys there are has to look that up first.
///
/// # Errors
/// When it does not.
pub fn check_signatures(trigger: &CompiledTrigger, request: &Received<'_>) -> Result<(), Refusal> {
    let own = match trigger.config.auth {
        InboundAuth::Signature { algorithm } => {
            let claimed = request.only_header(signature::HEADER);
            let is_signed =
                |key: &[u8]| signature::is_authentic(claimed, algorithm, key, request.body);
            Some((Proof::Signature, trigger.own_keys.any(request.at, is_signed)))
        }
        InboundAuth::ApiKey | InboundAuth::Channel | InboundAuth::None => None,
    };
    // A channel that describes its own checks makes them whatever else is asked for.
    let by_channel = trigger.config.auth == InboundAuth::Channel || trigger.channel.always_checks();
    let channel =
        by_channel.then(|| (trigger.channel.proof(), trigger.channel.is_authentic(request)));
    let checks = [own, channel].into_iter().flatten();
    let both = |(proof, is_good): (Proof, bool), (other, is_other_good)| {
        (proof.and(other), is_good && is_other_good)
    };
    match checks.reduce(both) {
        Some((proof, false)) => Err(Refusal::InvalidSignature(proof)),
        Some((_, true)) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::channel::tests::Request;

    #[test]
    fn a_key_is_in_its_header_or_the_password_of_basic_credentials() {
        let key = |name: &str, value: &str| {
            super::presented_key(&Request::post("").header(name, value).received())
        };
        assert_eq!(key("X-Api-Key", "rk_1").as_deref(), Some("rk_1"));
        // recado:rk_1, and :rk_1
        assert_eq!(key("Authorization", "Basic cmVjYWRvOnJrXzE=").as_deref(), Some("rk_1"));
        assert_eq!(key("Authorization", "basic OnJrXzE=").as_deref(), Some("rk_1"));
        for bad in ["Basic", "Basic ###", "Bearer rk_1", "Basic cmtfMQ==", "Basic /w=="] {
            assert_eq!(key("Authorization", bad), None, "{bad}");
        }
        let both = Request::post("").header("authorization", "Basic OnJrXzE=");
        let both = both.header("authorization", "Basic OnJrXzI=");
        assert_eq!(super::presented_key(&both.received()), None);
    }

    #[test]
    fn a_header_that_is_repeated_or_no_text_is_none() {
        let request =
            Request::post("").header("x-one", "1").header("x-two", "1").header("x-two", "1");
        let request = request.header("x-odd", "é");
        let of = |name| request.received().only_header(name).map(str::to_owned);
        assert_eq!(of("X-One").as_deref(), Some("1"));
        assert_eq!((of("X-Two"), of("X-Odd"), of("X-None")), (None, None, None));
        let received = request.received();
        assert!(received.only_value("X-Odd").is_some() && received.only_value("X-Two").is_none());
    }
}
