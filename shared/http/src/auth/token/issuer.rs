//! Tokens of our own: for people at a terminal, and for `recado dev`.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use recado_types::TenantId;
use serde_json::{Value, json};

use super::{ClaimNames, TokenError, strong};
use crate::auth::{OPERATOR, Role};

/// Issues tokens, signed with HS256. Its `Debug` shows no key.
pub struct TokenIssuer {
    key: EncodingKey,
    issuer: String,
    audience: String,
    claims: ClaimNames,
}

/// A token to be issued.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whom it identifies.
    pub subject: String,
    /// Where they are a member, and as what. An operator is a member nowhere.
    pub membership: Option<(TenantId, Role)>,
    /// How long it is good for.
    pub lifetime: TimeDelta,
}

impl TokenIssuer {
    /// With the key, `iss`, `aud` and names of claims that tokens are checked with.
    ///
    /// # Errors
    /// When the secret is too short.
    pub fn new(
        secret: &[u8],
        issuer: String,
        audience: String,
        claims: ClaimNames,
    ) -> Result<Self, TokenError> {
        let key = EncodingKey::from_secret(strong(secret)?);
        Ok(Self { key, issuer, audience, claims })
    }

    /// Signs a token that is good from `now` on.
    pub fn issue(&self, new: &NewToken, now: DateTime<Utc>) -> String {
        let mut claims = json!({
            "sub": new.subject,
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now.timestamp(),
            "nbf": now.timestamp(),
            "exp": (now + new.lifetime).timestamp(),
        });
        match new.membership {
            None => claims[&self.claims.role] = json!(OPERATOR),
            Some((tenant, role)) => {
                claims[&self.claims.role] = json!(role);
                claims[&self.claims.tenant] = json!(tenant);
            }
        }
        self.sign(&claims)
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &self.key)
            .expect("claims of texts and numbers can be signed with a key of bytes")
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
