//! Signatures of what is sent, by which a receiver knows that it comes from here. Pure, no I/O.
//!
//! Two forms: that of Standard Webhooks 1.0, for event webhooks and for callbacks that ask for it,
//! and the plain `sha256=<hex>` of the raw body, the mirror of what Recado itself takes inbound: its
//! key is the secret as it is written, whatever it begins with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What the secrets of Standard Webhooks begin with.
const SECRET_PREFIX: &str = "whsec_";

/// A secret cannot be a key. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Under an empty key anybody could sign.
    #[error("is empty")]
    Empty,
    /// It promises base64 and holds something else.
    #[error("begins with `whsec_` and is not base64 after it")]
    NotBase64,
}

/// The bytes that a secret of Standard Webhooks signs with: what `whsec_<base64>` stands for, or
/// those of any other text itself.
///
/// # Errors
/// When there are none.
pub fn secret_bytes(text: &str) -> Result<Vec<u8>, InvalidKey> {
    let bytes = match text.strip_prefix(SECRET_PREFIX) {
        Some(encoded) => {
            BASE64.decode(encoded).map_err(|_shows_the_secret| InvalidKey::NotBase64)?
        }
        None => text.as_bytes().to_vec(),
    };
    if bytes.is_empty() { Err(InvalidKey::Empty) } else { Ok(bytes) }
}

/// The value of `webhook-signature`: one signature for each secret, the receiver takes any of them.
///
/// `id` holds no dot (it would move the border between it and the time), and `timestamp` is in
/// seconds of Unix time.
pub fn standard_webhooks(id: &str, timestamp: i64, body: &[u8], secrets: &[&[u8]]) -> String {
    let timestamp = timestamp.to_string();
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let signatures = secrets.iter().map(|secret| {
        let code = code_of(secret, &signed);
        format!("v1,{}", BASE64.encode(code))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// `sha256=<hex>`: the plain signature of a body.
pub fn sha256(body: &[u8], secret: &[u8]) -> String {
    format!("sha256={}", hex::encode(code_of(secret, &[body])))
}

fn code_of(key: &[u8], parts: &[&[u8]]) -> impl AsRef<[u8]> {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const TIMESTAMP: i64 = 1_649_367_553;
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    #[test]
    fn the_vector_of_standard_webhooks_is_met() {
        let secret = secret_bytes(SECRET).unwrap();
        assert_eq!(standard_webhooks(ID, TIMESTAMP, BODY, &[&secret]), SIGNATURE);
    }

    #[test]
    fn while_a_secret_is_replaced_both_sign() {
        let (new, old) = (b"another secret".as_slice(), secret_bytes(SECRET).unwrap());
        let both = standard_webhooks(ID, TIMESTAMP, BODY, &[new, &old]);
        let of_new = standard_webhooks(ID, TIMESTAMP, BODY, &[new]);
        assert_eq!(both, format!("{of_new} {SIGNATURE}"));
    }

    #[test]
    fn the_plain_form_is_that_of_githubs_example() {
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(sha256(b"Hello, World!", b"It's a Secret to Everybody"), expected);
    }

    #[test]
    fn a_secret_is_base64_behind_its_prefix_and_any_text_without_it() {
        assert_eq!(secret_bytes("whsec_YWJj"), Ok(b"abc".to_vec()));
        assert_eq!(secret_bytes("plain é"), Ok("plain é".as_bytes().to_vec()));
        assert_eq!(secret_bytes("whsec_"), Err(InvalidKey::Empty));
        assert_eq!(secret_bytes(""), Err(InvalidKey::Empty));
        let error = secret_bytes("whsec_!canary!").unwrap_err();
        assert_eq!(error, InvalidKey::NotBase64);
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn the_official_library_signs_the_same(
            id in "[a-z0-9_-]{1,40}",
            timestamp in 0i64..=i64::from(u32::MAX),
            body in "\\PC{0,80}",
            secret in prop::collection::vec(any::<u8>(), 24..=64),
        ) {
            let official = standardwebhooks::Webhook::from_bytes(secret.clone()).unwrap();
            let expected = official.sign(&id, timestamp, body.as_bytes()).unwrap();
            let ours = standard_webhooks(&id, timestamp, body.as_bytes(), &[&secret]);
            prop_assert_eq!(ours, expected);
        }
    }
}
