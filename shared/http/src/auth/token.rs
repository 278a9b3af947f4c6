//! Bearer tokens: JSON Web Tokens, signed with one key that all services share.
//!
//! After RFC 8725: the algorithm is ours and not the token's choice; issuer, audience and both
//! ends of its time are required and checked; nothing in its header leads us to a key.

use std::fmt;

use actix_web::http::header::HeaderMap;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use recado_types::TenantId;
use serde::{Deserialize, Serialize};

use super::{Identity, Role};
use crate::{ApiError, Problem};

/// How much the clocks of two machines may differ.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

const ALGORITHM: Algorithm = Algorithm::HS256;

/// A key that is shorter than the hash is easier to guess than to break (RFC 7518, 3.2).
const MIN_KEY_BYTES: usize = 32;

/// A token is bounded before it is parsed.
const MAX_TOKEN_BYTES: usize = 4_096;

const REQUIRED_CLAIMS: [&str; 5] = ["exp", "nbf", "iss", "aud", "sub"];

/// How tokens are made and checked.
#[derive(Clone)]
pub struct TokenSettings {
    /// The secret key, at least 32 bytes.
    pub key: Vec<u8>,
    /// Who issues them: `iss`.
    pub issuer: String,
    /// Whom they are for: `aud`.
    pub audience: String,
}

/// The key is too short to be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for tokens needs at least {MIN_KEY_BYTES} bytes")]
pub struct WeakKey;

/// Issues and checks tokens. Its `Debug` shows no key.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: String,
    audience: String,
}

/// A token to be issued.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Whom it identifies.
    pub subject: String,
    /// Their tenant.
    pub tenant: TenantId,
    /// What they may do.
    pub role: Role,
    /// How long it is good for.
    pub lifetime: TimeDelta,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    tenant_id: TenantId,
    role: Role,
    iss: String,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Tokens {
    /// # Errors
    /// When the key is too short.
    pub fn new(settings: TokenSettings) -> Result<Self, WeakKey> {
        if settings.key.len() < MIN_KEY_BYTES {
            return Err(WeakKey);
        }
        let mut validation = Validation::new(ALGORITHM);
        validation.set_required_spec_claims(&REQUIRED_CLAIMS);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        // Times are checked by `is_current`, against the clock that the service was given.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self {
            encoding: EncodingKey::from_secret(&settings.key),
            decoding: DecodingKey::from_secret(&settings.key),
            validation,
            issuer: settings.issuer,
            audience: settings.audience,
        })
    }

    /// Signs a token that is good from `now` on.
    pub fn issue(&self, new: &NewToken, now: DateTime<Utc>) -> String {
        let claims = Claims {
            sub: new.subject.clone(),
            tenant_id: new.tenant,
            role: new.role,
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: (now + new.lifetime).timestamp(),
        };
        self.sign(&claims)
    }

    fn sign(&self, claims: &Claims) -> String {
        encode(&Header::new(ALGORITHM), claims, &self.encoding)
            .expect("claims of texts and numbers can be signed with a key of bytes")
    }

    /// Who a token says is asking.
    ///
    /// # Errors
    /// 401, the same whatever is wrong with it.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Identity, ApiError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Problem::InvalidToken.into());
        }
        let claims: Claims = decode(token, &self.decoding, &self.validation)
            .map_err(|source| ApiError::from(Problem::InvalidToken).with_source(source))?
            .claims;
        if !claims.is_current(now) {
            return Err(Problem::InvalidToken.into());
        }
        Ok(Identity { tenant: claims.tenant_id, subject: claims.sub, role: claims.role })
    }

    /// Who a token says is asking, in a request that may name the tenant.
    ///
    /// # Errors
    /// 401 for the token, 403 if the request names another tenant.
    pub fn verify_request(
        &self,
        token: &str,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Identity, ApiError> {
        let identity = self.verify(token, now)?;
        identity.check_tenant(headers)?;
        Ok(identity)
    }
}

impl Claims {
    fn is_current(&self, now: DateTime<Utc>) -> bool {
        let (earliest, latest) = ((now - LEEWAY).timestamp(), (now + LEEWAY).timestamp());
        self.nbf <= latest && earliest < self.exp
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn settings() -> TokenSettings {
        TokenSettings { key: KEY.to_vec(), issuer: "recado".into(), audience: "recado-api".into() }
    }

    fn tokens() -> Tokens {
        Tokens::new(settings()).unwrap()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn new_token() -> NewToken {
        NewToken {
            subject: "ana".into(),
            tenant: TenantId(Uuid::from_u128(7)),
            role: Role::Editor,
            lifetime: TimeDelta::minutes(5),
        }
    }

    fn claims() -> Value {
        json!({
            "sub": "ana", "tenant_id": Uuid::from_u128(7), "role": "editor", "iss": "recado",
            "aud": "recado-api", "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_300,
        })
    }

    fn signed(claims: &Value, algorithm: Algorithm, key: &[u8]) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).unwrap()
    }

    fn refused(token: &str) -> bool {
        tokens().verify(token, now()).is_err_and(|e| e.problem() == Problem::InvalidToken)
    }

    #[test]
    fn an_issued_token_says_who_is_asking() {
        let identity = tokens().verify(&tokens().issue(&new_token(), now()), now()).unwrap();
        let expected =
            Identity { tenant: new_token().tenant, subject: "ana".into(), role: Role::Editor };
        assert_eq!(identity, expected);
    }

    #[test]
    fn a_token_is_good_from_its_beginning_to_its_end_give_or_take_the_leeway() {
        let token = tokens().issue(&new_token(), now());
        let good =
            |offset: i64| tokens().verify(&token, now() + TimeDelta::seconds(offset)).is_ok();
        assert!(good(-30) && good(0) && good(300) && good(329));
        assert!(!good(-31) && !good(330));
    }

    #[test]
    fn every_claim_is_required_and_checked() {
        assert!(!refused(&signed(&claims(), ALGORITHM, KEY)));
        for name in ["sub", "tenant_id", "role", "iss", "aud", "nbf", "exp"] {
            let mut without = claims();
            without.as_object_mut().unwrap().remove(name);
            assert!(refused(&signed(&without, ALGORITHM, KEY)), "without {name}");
        }
        let wrong = [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("role", json!("root")),
            ("tenant_id", json!("*")),
            ("exp", json!("never")),
        ];
        for (name, value) in wrong {
            let mut changed = claims();
            changed[name] = value;
            assert!(refused(&signed(&changed, ALGORITHM, KEY)), "wrong {name}");
        }
    }

    #[test]
    fn the_algorithm_is_ours_and_the_key_is_needed() {
        assert!(refused(&signed(&claims(), Algorithm::HS384, KEY)));
        assert!(refused(&signed(&claims(), ALGORITHM, b"another key")));
        let parts = signed(&claims(), ALGORITHM, KEY);
        let (_, payload_and_signature) = parts.split_once('.').unwrap();
        let (payload, _) = payload_and_signature.split_once('.').unwrap();
        // {"alg":"none"}
        assert!(refused(&format!("eyJhbGciOiJub25lIn0.{payload}.")));
        assert!(refused(""));
        assert!(refused(&"a".repeat(MAX_TOKEN_BYTES + 1)));
    }

    #[test]
    fn a_short_key_is_refused() {
        let weak = TokenSettings { key: KEY[1..].to_vec(), ..settings() };
        assert_eq!(Tokens::new(weak).err(), Some(WeakKey));
    }
}
