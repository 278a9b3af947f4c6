//! Secrets at rest: XChaCha20-Poly1305 under one of several keys.
//!
//! The key's id is stored beside the ciphertext, so a new key can be put in front while values
//! sealed under the old one stay readable. Owner and name are authenticated with the value: a row
//! copied to another tenant or name does not open.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// How many bytes a key has.
pub const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Why a value could not be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed under a key that this process was not given.
    #[error("the key `{0}` is not in RECADO_SECRET_KEYS")]
    UnknownKey(String),
    /// It was changed, moved, or sealed under another key of the same id.
    #[error("the sealed value does not open")]
    Broken,
    /// It opened, but holds no text.
    #[error("the sealed value is not UTF-8")]
    NotText,
}

/// Why a list of keys is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There has to be at least one.
    #[error("no key is given: expected `<id>:<base64 of 32 bytes>[,…]`")]
    Empty,
    /// One of them is malformed. The key itself is not shown.
    #[error("key number {0} is not `<id>:<base64 of 32 bytes>`")]
    Malformed(usize),
    /// Two of them have the same id.
    #[error("the key id `{0}` is used twice")]
    Repeated(String),
}

/// The keys of this installation. The first one seals; all of them open.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<(String, XChaCha20Poly1305)>,
    /// What [`Self::subkey`] derives from: the first key, as the key of a hash.
    root: Hmac<Sha256>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|(id, _)| id.as_str()).collect();
        f.debug_struct("Keyring").field("ids", &ids).finish_non_exhaustive()
    }
}

/// A sealed value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which key opens it.
    pub key_id: String,
    /// Nonce, then ciphertext and tag.
    pub bytes: Vec<u8>,
}

impl Keyring {
    /// Reads `<id>:<base64 of 32 bytes>[,…]`.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keys: Vec<(String, XChaCha20Poly1305)> = Vec::new();
        let mut root = None;
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        for (index, entry) in entries.enumerate() {
            let malformed = || KeyringError::Malformed(index + 1);
            let (id, key) = entry.split_once(':').ok_or_else(malformed)?;
            let key = BASE64.decode(key).ok().filter(|key| key.len() == KEY_BYTES);
            let key = key.ok_or_else(malformed)?;
            let cipher = XChaCha20Poly1305::new_from_slice(&key);
            let cipher = cipher.map_err(|_wrong_length| malformed())?;
            if id.is_empty() {
                return Err(malformed());
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(KeyringError::Repeated(id.to_owned()));
            }
            keys.push((id.to_owned(), cipher));
            root.get_or_insert_with(|| keyed(&key));
        }
        let root = root.ok_or(KeyringError::Empty)?;
        Ok(Self { keys, root })
    }

    /// A key for something else than sealing, named by `purpose`: whoever knows it can neither open
    /// a secret nor tell the key for another purpose (HMAC-SHA256, one block of HKDF-Expand).
    ///
    /// It derives from the first key, and so is another one as soon as a new key is put in front:
    /// for what may be forgotten, such as the cursors of lists.
    pub fn subkey(&self, purpose: &str) -> [u8; KEY_BYTES] {
        let mut derive = self.root.clone();
        derive.update(purpose.as_bytes());
        derive.update(&[1]);
        derive.finalize().into_bytes().into()
    }

    /// Seals `value`, binding it to `owner` (a tenant and a name, say).
    pub fn seal(&self, value: &str, owner: &str) -> Result<Sealed, SealError> {
        let (id, cipher) = &self.keys[0];
        // Random nonces of 24 bytes do not repeat in practice (XChaCha20, draft-irtf-cfrg-xchacha).
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: value.as_bytes(), aad: owner.as_bytes() };
        let ciphertext =
            cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_opaque| SealError::Broken)?;
        let bytes = nonce.iter().copied().chain(ciphertext).collect();
        Ok(Sealed { key_id: id.clone(), bytes })
    }

    /// Opens what [`Self::seal`] sealed for the same `owner`.
    pub fn open(&self, sealed: &Sealed, owner: &str) -> Result<String, SealError> {
        let known = self.keys.iter().find(|(id, _)| *id == sealed.key_id);
        let (_, cipher) = known.ok_or_else(|| SealError::UnknownKey(sealed.key_id.clone()))?;
        let (nonce, ciphertext) =
            sealed.bytes.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Broken)?;
        let payload = Payload { msg: ciphertext, aad: owner.as_bytes() };
        let opened =
            cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_opaque| SealError::Broken)?;
        String::from_utf8(opened).map_err(|_not_shown| SealError::NotText)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(entries: &[(&str, u8)]) -> Keyring {
        let entries: Vec<String> = entries
            .iter()
            .map(|(id, fill)| format!("{id}:{}", BASE64.encode([*fill; 32])))
            .collect();
        Keyring::parse(&entries.join(",")).unwrap()
    }

    #[test]
    fn a_value_opens_for_its_owner_only() {
        let keys = keyring(&[("k1", 7)]);
        let sealed = keys.seal("s3cret", "tenant/NAME").unwrap();
        assert_eq!(keys.open(&sealed, "tenant/NAME").unwrap(), "s3cret");
        assert_eq!(keys.open(&sealed, "other/NAME"), Err(SealError::Broken));
        assert!(!sealed.bytes.windows(6).any(|window| window == b"s3cret"));
    }

    #[test]
    fn the_old_key_still_opens_after_a_new_one_is_put_in_front() {
        let sealed = keyring(&[("k1", 7)]).seal("s3cret", "o").unwrap();
        let both = keyring(&[("k2", 8), ("k1", 7)]);
        assert_eq!(both.open(&sealed, "o").unwrap(), "s3cret");
        assert_eq!(both.seal("x", "o").unwrap().key_id, "k2");
        let gone = keyring(&[("k2", 8)]).open(&sealed, "o");
        assert_eq!(gone, Err(SealError::UnknownKey("k1".into())));
    }

    #[test]
    fn a_changed_or_short_value_does_not_open() {
        let keys = keyring(&[("k1", 7)]);
        let mut sealed = keys.seal("s3cret", "o").unwrap();
        *sealed.bytes.last_mut().unwrap() ^= 1;
        assert_eq!(keys.open(&sealed, "o"), Err(SealError::Broken));
        sealed.bytes.truncate(5);
        assert_eq!(keys.open(&sealed, "o"), Err(SealError::Broken));
    }

    #[test]
    fn a_subkey_is_of_its_purpose_and_of_the_first_key() {
        let keys = keyring(&[("k1", 7)]);
        assert_eq!(keys.subkey("cursors"), keyring(&[("other", 7), ("k2", 8)]).subkey("cursors"));
        assert_ne!(keys.subkey("cursors"), keys.subkey("cursor"));
        assert_ne!(keys.subkey("cursors"), keyring(&[("k2", 8), ("k1", 7)]).subkey("cursors"));
        assert_ne!(keys.subkey("cursors"), [7; 32]);
    }

    #[test]
    fn malformed_keys_are_refused_without_being_shown() {
        for bad in ["", " , "] {
            assert_eq!(Keyring::parse(bad).unwrap_err(), KeyringError::Empty);
        }
        for bad in ["k1", "k1:AAAA", ":AAAA", "k1:not base64"] {
            assert_eq!(Keyring::parse(bad).unwrap_err(), KeyringError::Malformed(1), "{bad}");
        }
        let shown = format!("{:?}", keyring(&[("k1", 7)]));
        assert!(shown.contains("k1") && !shown.contains("BwcH"), "{shown}");
    }
}
