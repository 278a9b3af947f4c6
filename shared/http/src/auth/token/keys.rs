//! Public keys as they are published: a JSON Web Key Set (RFC 7517).
//!
//! A set may hold keys for other purposes, of other kinds and of later standards. Those are passed
//! over one by one; what is left is good for one algorithm each, and the key says which.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// More keys than any provider has; the rest is not looked at.
const MAX_KEYS: usize = 100;

/// A longer `kid` names no key. Tokens are looked up by theirs.
const MAX_KID_BYTES: usize = 256;

/// Shorter RSA keys can be broken (RFC 7518, 3.3), longer ones are slow to check.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// How long a coordinate of P-256 is, and a key of Ed25519.
const CURVE_BYTES: usize = 32;

/// Not a key set, as a whole. Does not say what it is instead: an operator may have named the wrong
/// file.
#[derive(Debug, thiserror::Error)]
#[error("this is no JSON Web Key Set")]
pub(super) struct NoKeySet;

/// The keys of a set that tokens may be signed with.
#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    /// What was published; to tell whether two of one name are the same.
    material: Vec<Vec<u8>>,
    /// `None` where two different keys have this name: it cannot be told which was meant.
    decoding: Option<DecodingKey>,
}

impl KeySet {
    /// Reads a set. Keys of no use are passed over, and an empty set is one.
    pub(super) fn parse(text: &[u8]) -> Result<Self, NoKeySet> {
        #[derive(Deserialize)]
        struct Published {
            keys: Vec<Value>,
        }
        let published: Published = serde_json::from_slice(text).map_err(|_not_shown| NoKeySet)?;
        let mut set = Self::default();
        for key in published.keys.into_iter().take(MAX_KEYS) {
            let key = serde_json::from_value::<PublishedKey>(key).ok();
            if let Some(key) = key.and_then(PublishedKey::usable) {
                set.add(key);
            }
        }
        Ok(set)
    }

    fn add(&mut self, key: Key) {
        let is_named_alike =
            |known: &&mut Key| known.kid == key.kid && known.algorithm == key.algorithm;
        match self.0.iter_mut().find(is_named_alike) {
            Some(known) if key.kid.is_some() => {
                if known.material != key.material {
                    known.decoding = None;
                }
            }
            _ => self.0.push(key),
        }
    }

    /// The key of `algorithm` that is called `kid`; of a token that names none, the only key of
    /// its algorithm.
    pub(super) fn key(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<&DecodingKey> {
        let mut keys = self.0.iter().filter(|key| key.algorithm == algorithm);
        let Some(kid) = kid else {
            let only = keys.next()?;
            return if keys.next().is_none() { only.decoding.as_ref() } else { None };
        };
        keys.find(|key| key.kid.as_deref() == Some(kid))?.decoding.as_ref()
    }

    /// Whether any token could be good by this set.
    pub(super) fn has_any(&self) -> bool {
        self.0.iter().any(|key| key.decoding.is_some())
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// One key of a set, as far as it matters here.
#[derive(Deserialize)]
struct PublishedKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private half, which has no place here.
    d: Option<IgnoredAny>,
}

impl PublishedKey {
    /// The key, if it is one for tokens.
    fn usable(self) -> Option<Key> {
        let is_for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let may_verify =
            self.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        let has_name = self.kid.as_ref().is_none_or(|kid| kid.len() <= MAX_KID_BYTES);
        if self.d.is_some() {
            // Whoever reads the set can sign with it.
            tracing::warn!("a published key is passed over: its private half is published with it");
            return None;
        }
        if !is_for_signatures || !may_verify || !has_name {
            return None;
        }
        match (self.kty.as_str(), self.crv.as_deref(), self.alg.as_deref()) {
            ("RSA", _, None | Some("RS256")) => self.rsa(),
            ("EC", Some("P-256"), None | Some("ES256")) => self.p256(),
            // `Ed25519` is the name since RFC 9864.
            ("OKP", Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => self.ed25519(),
            _ => None,
        }
    }

    fn rsa(self) -> Option<Key> {
        let (n, e) = (bytes(self.n.as_deref())?, bytes(self.e.as_deref())?);
        let n = without_leading_zeros(&n);
        let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
        if !RSA_BITS.contains(&bits) {
            return None;
        }
        let decoding = DecodingKey::from_rsa_raw_components(n, &e);
        Some(key(self.kid, Algorithm::RS256, vec![n.to_vec(), e], decoding))
    }

    fn p256(self) -> Option<Key> {
        let (x, y) = (bytes(self.x.as_deref())?, bytes(self.y.as_deref())?);
        if x.len() != CURVE_BYTES || y.len() != CURVE_BYTES {
            return None;
        }
        // An uncompressed point (SEC 1, 2.3.3).
        let decoding = DecodingKey::from_ec_der(&[&[4], x.as_slice(), &y].concat());
        Some(key(self.kid, Algorithm::ES256, vec![x, y], decoding))
    }

    fn ed25519(self) -> Option<Key> {
        let x = bytes(self.x.as_deref())?;
        if x.len() != CURVE_BYTES {
            return None;
        }
        let decoding = DecodingKey::from_ed_der(&x);
        Some(key(self.kid, Algorithm::EdDSA, vec![x], decoding))
    }
}

fn key(
    kid: Option<String>,
    algorithm: Algorithm,
    material: Vec<Vec<u8>>,
    decoding: DecodingKey,
) -> Key {
    Key { kid, algorithm, material, decoding: Some(decoding) }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
