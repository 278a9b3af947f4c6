//! Whoever signs tokens with keys of its own, and publishes them.
//!
//! Keys are made when they are asked for; the provider is a [`Stub`] that answers with those that
//! were published last, and fails on command.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::stub::{Reply, Stub};

/// What stands before an RSA key of 2048 bits in PKCS #8: two lengths, a version and a name.
const PKCS8_HEAD: usize = 26;

/// A pair of keys that tokens are signed with.
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

#[expect(clippy::missing_panics_doc, reason = "a machine that cannot make keys runs no tests")]
impl SigningKey {
    /// For RS256, with 2048 bits.
    pub fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("there is randomness");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("a key that was made can be written");
        // jsonwebtoken wants what PKCS #8 wraps.
        let inner = &der.as_ref()[PKCS8_HEAD..];
        Self::new(kid, Algorithm::RS256, EncodingKey::from_rsa_der(inner))
    }

    /// For ES256.
    pub fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let der = pair.and_then(|pair| pair.to_pkcs8v1()).expect("there is randomness");
        Self::new(kid, Algorithm::ES256, EncodingKey::from_ec_der(der.as_ref()))
    }

    /// For `EdDSA`.
    pub fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate();
        let der = pair.and_then(|pair| pair.to_pkcs8v1()).expect("there is randomness");
        Self::new(kid, Algorithm::EdDSA, EncodingKey::from_ed_der(der.as_ref()))
    }

    fn new(kid: &str, algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { kid: kid.to_owned(), algorithm, key }
    }

    /// Its public half, as it is published.
    pub fn jwk(&self) -> Value {
        let public = Jwk::from_encoding_key(&self.key, self.algorithm);
        let mut jwk = json!(public.expect("every key here has a public half"));
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The header of its tokens.
    pub fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }
    }

    /// A token that says `claims`.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_under(&self.header(), claims)
    }

    /// A token under another header than it should have.
    pub fn sign_under(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.key).expect("the algorithm is the key's")
    }
}

/// A server of published keys; faults are planned through [`Stub`].
#[derive(Debug)]
pub struct IdentityProvider {
    stub: Stub,
    published: Arc<Mutex<Value>>,
}

impl IdentityProvider {
    /// Starts one that publishes `keys`.
    pub fn start(keys: &[&SigningKey]) -> Self {
        let published = Arc::new(Mutex::new(key_set(keys)));
        let answered = Arc::clone(&published);
        let stub = Stub::start(move |_| {
            Reply::json(200, &answered.lock().unwrap_or_else(PoisonError::into_inner))
        });
        Self { stub, published }
    }

    /// Publishes these keys, and no others any more.
    pub fn publish(&self, keys: &[&SigningKey]) {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = key_set(keys);
    }

    /// Where they are published.
    pub fn jwks_url(&self) -> String {
        format!("{}/jwks.json", self.stub.url())
    }
}

impl Deref for IdentityProvider {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}

/// A JSON Web Key Set.
pub fn key_set(keys: &[&SigningKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}
