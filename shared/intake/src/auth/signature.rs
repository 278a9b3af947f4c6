//! The native signature of seed 000: `X-Webhook-Signature: sha256=<hex>`, or `sha512=<hex>`, an
//! HMAC over the raw body with the trigger's `webhook_secret`.

use hmac::Hmac;
use recado_types::trigger::Algorithm;
use sha2::{Sha256, Sha512};

use crate::channel::hmac::is_code_of;

/// Where it is.
pub(super) const HEADER: &str = "X-Webhook-Signature";

/// Whether `claimed` is the signature of `body` under `secret`, in the algorithm it names; with
/// `only`, in that algorithm.
pub(super) fn is_authentic(
    claimed: Option<&str>,
    only: Option<Algorithm>,
    secret: &[u8],
    body: &[u8],
) -> bool {
    let Some((algorithm, code)) = claimed.and_then(read) else { return false };
    if only.is_some_and(|only| only != algorithm) {
        return false;
    }
    match algorithm {
        Algorithm::Sha256 => is_code_of::<Hmac<Sha256>>(&[code], secret, &[body]),
        Algorithm::Sha512 => is_code_of::<Hmac<Sha512>>(&[code], secret, &[body]),
    }
}

fn read(claimed: &str) -> Option<(Algorithm, Vec<u8>)> {
    let (algorithm, code) = claimed.trim().split_once('=')?;
    let algorithm = match algorithm {
        "sha256" => Algorithm::Sha256,
        "sha512" => Algorithm::Sha512,
        _ => return None,
    };
    Some((algorithm, hex::decode(code).ok()?))
}

#[cfg(test)]
mod tests {
    use hmac::{KeyInit, Mac};
    use proptest::prelude::*;

    use super::*;

    /// GitHub's published example: the same construction under another header.
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SHA256: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn signed(secret: &[u8], body: &[u8]) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        format!("sha256={}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
    }

    fn signed_512(secret: &[u8], body: &[u8]) -> String {
        let mac = Hmac::<Sha512>::new_from_slice(secret).unwrap();
        format!("sha512={}", hex::encode(mac.chain_update(body).finalize().into_bytes()))
    }

    fn accepts(claimed: &str) -> bool {
        is_authentic(Some(claimed), None, SECRET, BODY)
    }

    #[test]
    fn the_published_vectors_are_accepted() {
        assert!(accepts(&format!("sha256={SHA256}")));
        assert!(accepts(&format!(" sha256={} ", SHA256.to_uppercase())));
        // RFC 4231, test case 2.
        let code = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                    9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
        let body = b"what do ya want for nothing?";
        assert!(is_authentic(Some(&format!("sha512={code}")), None, b"Jefe", body));
    }

    #[test]
    fn anything_else_is_not() {
        assert!(!is_authentic(None, None, SECRET, BODY));
        for claimed in [
            "",
            "sha256=",
            SHA256,
            &format!("sha512={SHA256}"),
            &format!("sha1={SHA256}"),
            &format!("SHA256={SHA256}"),
            &format!("sha256={}", &SHA256[2..]),
            &format!("sha256={SHA256}00"),
            &format!("sha256={}", SHA256.replace('7', "8")),
            &format!("sha256={SHA256},sha256={SHA256}"),
            "sha256=xyz",
        ] {
            assert!(!accepts(claimed), "{claimed}");
        }
    }

    #[test]
    fn a_chosen_algorithm_is_the_only_one() {
        let (short, long) = (signed(SECRET, BODY), signed_512(SECRET, BODY));
        let with = |claimed: &str, only| is_authentic(Some(claimed), Some(only), SECRET, BODY);
        assert!(with(&short, Algorithm::Sha256) && with(&long, Algorithm::Sha512));
        assert!(!with(&short, Algorithm::Sha512) && !with(&long, Algorithm::Sha256));
    }

    #[test]
    fn an_empty_secret_authenticates_nobody() {
        assert!(!is_authentic(Some(&signed(b"", BODY)), None, b"", BODY));
    }

    proptest! {
        #[test]
        fn exactly_the_signed_bytes_are_accepted(
            secret in prop::collection::vec(any::<u8>(), 1..80),
            body in prop::collection::vec(any::<u8>(), 0..200),
            other in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            for claimed in [signed(&secret, &body), signed_512(&secret, &body)] {
                prop_assert!(is_authentic(Some(&claimed), None, &secret, &body));
                prop_assert_eq!(is_authentic(Some(&claimed), None, &secret, &other), body == other);
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(
            body in prop::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let claimed = signed(SECRET, &body);
            let mut forged = body;
            let at = at.index(forged.len());
            forged[at] ^= 1_u8 << bit;
            prop_assert!(!is_authentic(Some(&claimed), None, SECRET, &forged));
        }

        #[test]
        fn no_header_makes_it_panic(claimed in "\\PC{0,80}") {
            prop_assert!(!is_authentic(Some(&claimed), None, SECRET, BODY));
        }
    }
}
