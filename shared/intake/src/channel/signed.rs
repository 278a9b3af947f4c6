//! What the providers' ways of signing have in common.
//!
//! A header that a signature depends on stands there once ([`Received::only_header`]). A signed
//! time is near ours, or a recorded request could be sent again for ever.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, Utc};

use super::hmac::is_sha256_of;
use crate::auth::{Keys, Received};

/// How far a signed time may be from ours, either way, in seconds. Slack, Stripe and Standard
/// Webhooks all say five minutes.
pub(super) const TOLERANCE_SECONDS: u64 = 300;

/// Keys are pasted by people, with the padding or without.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether `timestamp`, whole Unix seconds, is near `now`.
pub(super) fn is_recent(timestamp: &str, now: DateTime<Utc>) -> bool {
    // A parser of integers also takes a sign.
    let is_digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let Ok(seconds) = timestamp.parse::<i64>() else { return false };
    is_digits && now.timestamp().abs_diff(seconds) <= TOLERANCE_SECONDS
}

/// The code in a `<prefix><hex>`.
pub(super) fn hex_after(prefix: &str, text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix(prefix)?).ok()
}

/// A key that is given in base64.
pub(super) fn base64_key(line: &str) -> Option<Vec<u8>> {
    KEY_BASE64.decode(line).ok()
}

/// Whether `X-Hub-Signature-256`, by which GitHub and Meta sign the body alone, is made with one
/// of `keys`.
pub(super) fn has_hub_signature(request: &Received<'_>, keys: &Keys) -> bool {
    let claimed = request.only_header("X-Hub-Signature-256");
    let Some(claimed) = claimed.and_then(|text| hex_after("sha256=", text)) else { return false };
    let claimed = [claimed];
    keys.any(request.at, |key| is_sha256_of(&claimed, key, &[request.body]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn five_minutes_either_way_are_near_and_one_second_more_is_not() {
        for (timestamp, is_near) in
            [("1000", true), ("700", true), ("1300", true), ("699", false), ("1301", false)]
        {
            assert_eq!(is_recent(timestamp, at(1_000)), is_near, "{timestamp}");
        }
    }

    #[test]
    fn a_time_is_whole_seconds_in_digits() {
        let longest = i64::MAX.to_string();
        let too_long = format!("{longest}0");
        for timestamp in ["", " ", "+0", "-0", "0.0", "0x0", " 0", "0 ", "٠", &longest, &too_long]
        {
            assert!(!is_recent(timestamp, at(0)), "{timestamp}");
        }
        assert!(is_recent("0", at(0)));
        assert!(is_recent("0", DateTime::UNIX_EPOCH));
        assert!(!is_recent(&longest, DateTime::<Utc>::MIN_UTC));
    }

    #[test]
    fn keys_need_no_padding() {
        assert_eq!(base64_key("c2VjcmV0cw==").unwrap(), b"secrets");
        assert_eq!(base64_key("c2VjcmV0cw").unwrap(), b"secrets");
        assert_eq!(base64_key("not base64"), None);
    }

    proptest! {
        #[test]
        fn no_time_makes_it_panic(text in "\\PC{0,24}", seconds in any::<i64>(), now in any::<i32>()) {
            is_recent(&text, at(now.into()));
            is_recent(&seconds.to_string(), at(now.into()));
        }
    }
}
