//! Is this the message authentication code of those bytes?
//!
//! All signatures come down to this one comparison. It takes the same time wherever a wrong code
//! differs from the right one, so nobody finds a code out byte by byte.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Whether one of `claimed` is the code of `parts`, one after the other, under `key`. A code of
/// another length is another code, and under an empty key there is none: anybody could make it.
pub(crate) fn is_code_of<M: Mac + KeyInit>(
    claimed: &[Vec<u8>],
    key: &[u8],
    parts: &[&[u8]],
) -> bool {
    if key.is_empty() {
        return false;
    }
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return false };
    for part in parts {
        mac.update(part);
    }
    let code = mac.finalize().into_bytes();
    claimed.iter().any(|claimed| claimed.as_slice().ct_eq(code.as_slice()).into())
}

/// [`is_code_of`] for HMAC-SHA256, which most providers use.
pub(crate) fn is_sha256_of(claimed: &[Vec<u8>], key: &[u8], parts: &[&[u8]]) -> bool {
    is_code_of::<Hmac<Sha256>>(claimed, key, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    const KEY: &[u8] = b"Jefe";
    const CODE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    fn accepts(claimed: &[&str], key: &[u8], parts: &[&[u8]]) -> bool {
        let claimed: Vec<_> = claimed.iter().map(|code| hex::decode(code).unwrap()).collect();
        is_sha256_of(&claimed, key, parts)
    }

    #[test]
    fn the_code_is_that_of_all_parts_together() {
        assert!(accepts(&[CODE], KEY, &[b"what do ya want for nothing?"]));
        assert!(accepts(&[CODE], KEY, &[b"what do ya ", b"", b"want for nothing?"]));
        assert!(!accepts(&[CODE], KEY, &[b"what do ya want for nothing"]));
        assert!(!accepts(&[CODE], b"jefe", &[b"what do ya want for nothing?"]));
    }

    #[test]
    fn one_of_several_is_enough_and_none_is_not() {
        let parts: &[&[u8]] = &[b"what do ya want for nothing?"];
        assert!(accepts(&["00", "", CODE], KEY, parts));
        assert!(!accepts(&[], KEY, parts));
        assert!(!accepts(&["", &CODE[2..], &format!("{CODE}00")], KEY, parts));
    }

    #[test]
    fn an_empty_key_makes_no_codes() {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"").unwrap();
        let code = mac.chain_update(b"x").finalize().into_bytes().to_vec();
        assert!(!is_sha256_of(&[code], b"", &[b"x"]));
    }
}
