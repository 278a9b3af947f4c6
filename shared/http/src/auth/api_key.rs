//! API keys: what they look like, and what is kept of them.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Characters behind the prefix: 40 of 62 different ones hold 238 bits.
const RANDOM_CHARS: usize = 40;

/// Characters of a key that may be shown, so that people can tell keys apart. The other 32 still
/// hold 190 bits.
const SHOWN_CHARS: usize = 12;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key: `rcd_` and 40 random characters. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// Not in the form of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in the form of an API key")]
pub struct MalformedApiKey;

impl ApiKey {
    /// What every key begins with; scanners for leaked secrets look for it.
    pub const PREFIX: &str = "rcd_";

    /// The key that these random bytes stand for. 256 bits are written in 238, so every key is as
    /// likely as any other, to one part in a hundred thousand.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        let mut number = *bytes;
        let digits = (0..RANDOM_CHARS).map(|_| ALPHABET[divide(&mut number, 62)] as char);
        Self(Self::PREFIX.chars().chain(digits).collect())
    }

    /// The key itself: shown to its owner, once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored, and looked up: its SHA-256. A slow hash is for secrets that can be guessed.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The beginning, for people to tell keys apart.
    pub fn shown_prefix(&self) -> &str {
        &self.0[..SHOWN_CHARS]
    }
}

impl FromStr for ApiKey {
    type Err = MalformedApiKey;

    fn from_str(text: &str) -> Result<Self, MalformedApiKey> {
        let random = text.strip_prefix(Self::PREFIX).ok_or(MalformedApiKey)?;
        let well_formed =
            random.len() == RANDOM_CHARS && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if well_formed { Ok(Self(text.to_owned())) } else { Err(MalformedApiKey) }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([redacted])")
    }
}

/// Divides a big-endian number, answering the remainder.
fn divide(number: &mut [u8], divisor: usize) -> usize {
    number.iter_mut().fold(0, |remainder, byte| {
        let dividend = remainder << 8 | usize::from(*byte);
        *byte = u8::try_from(dividend / divisor).expect("the remainder is below the divisor");
        dividend % divisor
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_generated_key_is_well_formed(bytes: [u8; 32]) {
            let key = ApiKey::from_random(&bytes);
            prop_assert_eq!(key.expose().parse(), Ok(key.clone()));
            prop_assert!(key.expose().starts_with(key.shown_prefix()));
        }

        #[test]
        fn different_bytes_give_different_keys(left: [u8; 32], right: [u8; 32]) {
            prop_assume!(left != right);
            prop_assert_ne!(ApiKey::from_random(&left), ApiKey::from_random(&right));
        }
    }

    #[test]
    fn the_hash_is_the_sha256_of_the_text() {
        let key: ApiKey = "rcd_0123456789abcdefghijABCDEFGHIJ0123456789".parse().unwrap();
        assert_eq!(key.hash()[..], Sha256::digest(key.expose())[..]);
        assert_eq!(key.shown_prefix(), "rcd_01234567");
        assert!(!format!("{key:?}").contains("0123"));
    }
}
