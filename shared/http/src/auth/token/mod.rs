//! Bearer tokens: JSON Web Tokens, signed with a key that our services share (HS256), or with one
//! that an identity provider publishes (RS256, ES256, `EdDSA`).
//!
//! After RFC 8725. A key is good for one algorithm, which is the key's and never the token's
//! choice, so nothing public can serve as the shared key. Of a token's header, only `alg` and `kid`
//! are looked at, and both only to find a key that we have; nothing in it leads us to another one.
//! Issuer, audience and time are required and checked, and a token is bounded before it is parsed.

mod claims;
mod issuer;
mod jwks;
mod keys;
#[cfg(test)]
mod tests;

pub use issuer::{NewToken, TokenIssuer};
pub use jwks::{InvalidJwksUrl, JwksSource, JwksUrl};

use std::fmt;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode, decode_header};

use super::Identity;
use crate::guard::{Authorities, ClientError};
use crate::{ApiError, Problem};
use claims::{Claims, Expected};
use jwks::Jwks;

/// A key that is shorter than the hash is easier to guess than to break (RFC 7518, 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// A token is bounded before it is parsed.
const MAX_TOKEN_BYTES: usize = 4_096;

/// How tokens are checked. With neither secret nor keys, all are refused.
#[derive(Clone)]
pub struct TokenSettings {
    /// The key that HS256 tokens are signed with, at least [`MIN_SECRET_BYTES`].
    pub secret: Option<Vec<u8>>,
    /// Where other keys are published.
    pub jwks: Option<JwksSource>,
    /// Who vouches for the server of that address, besides those whom the system trusts.
    pub authorities: Authorities,
    /// Who issues them: `iss`.
    pub issuer: String,
    /// Whom they are for: `aud`.
    pub audience: String,
    /// Which claims say the rest.
    pub claims: ClaimNames,
}

/// What the claims are called that are our own. Identity providers may want them in a namespace:
/// `https://recado.example.com/tenant_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// Whose data may be seen.
    pub tenant: String,
    /// What may be done.
    pub role: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { tenant: "tenant_id".into(), role: "role".into() }
    }
}

/// Why tokens cannot be checked or issued.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The secret is too short to be one.
    #[error("a secret for tokens needs at least {MIN_SECRET_BYTES} bytes")]
    WeakSecret,
    /// The client for published keys cannot be made.
    #[error("published keys cannot be fetched")]
    Client(#[source] ClientError),
}

/// Checks tokens. Its `Debug` shows no key.
pub struct Tokens {
    secret: Option<DecodingKey>,
    jwks: Option<Jwks>,
    expected: Expected,
}

impl Tokens {
    /// Nothing is fetched: that is done by [`Tokens::keep_current`].
    ///
    /// # Errors
    /// When the secret is too short, or TLS cannot be set up.
    pub fn new(settings: TokenSettings) -> Result<Self, TokenError> {
        let TokenSettings { secret, jwks, authorities, issuer, audience, claims } = settings;
        let secret = secret.as_deref().map(strong).transpose()?.map(DecodingKey::from_secret);
        let jwks = jwks.map(|source| Jwks::new(source, &authorities)).transpose();
        let jwks = jwks.map_err(TokenError::Client)?;
        Ok(Self { secret, jwks, expected: Expected { issuer, audience, claims } })
    }

    /// Keeps the published keys as they are published, for ever: to be run beside the checks.
    pub async fn keep_current(&self) {
        match &self.jwks {
            Some(jwks) => jwks.keep_current().await,
            None => std::future::pending().await,
        }
    }

    /// Who a token says is asking. Waits, in bounded time, if the token's key has to be looked for.
    ///
    /// # Errors
    /// 401, the same whatever is wrong with it.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Identity, ApiError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Problem::InvalidToken.into());
        }
        let header = decode_header(token).map_err(refused)?;
        // What has to be understood and is not (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(Problem::InvalidToken.into());
        }
        let (claims, is_published) = match (header.alg, &self.secret, &self.jwks) {
            (Algorithm::HS256, Some(secret), _) => (signed(token, secret, header.alg)?, false),
            (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA, _, Some(jwks)) => {
                let key = jwks.key(header.alg, header.kid.as_deref()).await;
                (signed(token, &key.ok_or(Problem::InvalidToken)?, header.alg)?, true)
            }
            _ => return Err(Problem::InvalidToken.into()),
        };
        // Ours say from when on they are good; those of others may leave it out (RFC 7519, 4.1.5).
        if claims.nbf.is_none() && !is_published {
            return Err(Problem::InvalidToken.into());
        }
        self.expected.identity(claims, now).ok_or_else(|| Problem::InvalidToken.into())
    }
}

/// What a token says, if it was signed with `key`, which is one of `algorithm`.
fn signed(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, ApiError> {
    let mut validation = Validation::new(algorithm);
    // Claims are checked by `Expected`, times against the clock that the service was given.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    decode(token, key, &validation).map(|data: TokenData<Claims>| data.claims).map_err(refused)
}

fn refused(source: jsonwebtoken::errors::Error) -> ApiError {
    ApiError::from(Problem::InvalidToken).with_source(source)
}

fn strong(secret: &[u8]) -> Result<&[u8], TokenError> {
    if secret.len() < MIN_SECRET_BYTES { Err(TokenError::WeakSecret) } else { Ok(secret) }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.expected.issuer).finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
