//! Who is asking, for which tenant, and what they may do.
//!
//! A request carries a bearer token or an API key. What a token says is checked here; keys are
//! looked up by whoever has the database, with the hash from [`ApiKey::hash`]. Whatever is wrong
//! with a credential, the answer is the same: it must not tell what was nearly right.

mod api_key;
mod token;

pub use api_key::ApiKey;
pub use token::{NewToken, TokenSettings, Tokens, WeakKey};

use std::fmt;
use std::str::FromStr;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use recado_types::TenantId;
use serde::{Deserialize, Serialize};

use crate::{ApiError, Problem};

/// The header that may name the tenant.
pub const TENANT_HEADER: &str = "x-tenant-id";

/// The header that may carry an API key.
pub const API_KEY_HEADER: &str = "x-api-key";

/// What a member of a tenant may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes agents and triggers.
    Editor,
    /// Changes secrets, keys and members.
    Admin,
    /// Everything.
    Owner,
}

/// Somebody whose credential was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whose data they see.
    pub tenant: TenantId,
    /// Who they are, inside the tenant.
    pub subject: String,
    /// What they may do.
    pub role: Role,
}

/// What a request carries to prove who sends it; nothing about it has been checked.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token.
    Token(String),
    /// Something in the form of an API key.
    ApiKey(ApiKey),
}

impl Credential {
    /// Reads `x-api-key`, or `Authorization: Bearer` with a token or a key.
    ///
    /// # Errors
    /// 401 when there is none, or it has no known form.
    pub fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        if let Some(key) = headers.get(API_KEY_HEADER) {
            let key = key.to_str().ok().and_then(|key| key.parse().ok());
            return key.map(Self::ApiKey).ok_or_else(|| Problem::InvalidApiKey.into());
        }
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Err(Problem::AuthenticationRequired.into());
        };
        let bearer = header.to_str().ok().and_then(bearer).ok_or(Problem::InvalidToken)?;
        if bearer.starts_with(ApiKey::PREFIX) {
            let key = bearer.parse().ok();
            return key.map(Self::ApiKey).ok_or_else(|| Problem::InvalidApiKey.into());
        }
        Ok(Self::Token(bearer.to_owned()))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token([redacted])",
            Self::ApiKey(_) => "ApiKey([redacted])",
        })
    }
}

impl Identity {
    /// Refuses a request that names another tenant than the credential is for.
    ///
    /// # Errors
    /// 403 when `x-tenant-id` is there and is not this tenant.
    pub fn check_tenant(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut named = headers.get_all(TENANT_HEADER);
        let is_ours = |value: &actix_web::http::header::HeaderValue| {
            value.to_str().ok().and_then(|text| text.parse().ok()) == Some(self.tenant)
        };
        if named.all(is_ours) { Ok(()) } else { Err(Problem::TenantMismatch.into()) }
    }

    /// Refuses somebody whose role is below `role`.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, role: Role) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        Err(ApiError::new(
            Problem::InsufficientPermissions,
            format!("this needs the role {role} or a higher one"),
        ))
    }
}

impl Role {
    const ALL: [Self; 4] = [Self::Viewer, Self::Editor, Self::Admin, Self::Owner];

    /// As it is written in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be viewer, editor, admin or owner")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}

/// The scheme is compared without regard to case (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, credential) = header.split_once(' ')?;
    let credential = credential.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty()).then_some(credential)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use uuid::Uuid;

    use super::*;

    const KEY: &str = "rcd_0123456789abcdefghijABCDEFGHIJ0123456789";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn problem(result: Result<Credential, ApiError>) -> Problem {
        result.unwrap_err().problem()
    }

    #[test]
    fn credentials_are_found_where_they_may_be() {
        let key = Credential::ApiKey(KEY.parse().unwrap());
        let bearer_key = format!("bearer {KEY}");
        assert_eq!(Credential::of(&headers(&[("x-api-key", KEY)])).unwrap(), key);
        assert_eq!(Credential::of(&headers(&[("authorization", &bearer_key)])).unwrap(), key);
        let token = Credential::of(&headers(&[("authorization", "Bearer  a.b.c")])).unwrap();
        assert_eq!(token, Credential::Token("a.b.c".into()));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(problem(Credential::of(&headers(&[]))), Problem::AuthenticationRequired);
        for header in ["Basic YTpi", "Bearer", "Bearer ", "a.b.c"] {
            let found = Credential::of(&headers(&[("authorization", header)]));
            assert_eq!(problem(found), Problem::InvalidToken, "{header}");
        }
        let short = Credential::of(&headers(&[("authorization", "Bearer rcd_short")]));
        assert_eq!(problem(short), Problem::InvalidApiKey);
        assert_eq!(problem(Credential::of(&headers(&[("x-api-key", "")]))), Problem::InvalidApiKey);
    }

    #[test]
    fn debug_output_shows_no_credential() {
        let shown = format!("{:?}", Credential::of(&headers(&[("x-api-key", KEY)])).unwrap());
        assert!(!shown.contains("0123"), "{shown}");
    }

    #[test]
    fn the_tenant_header_has_to_match_if_it_is_there() {
        let tenant = TenantId(Uuid::from_u128(7));
        let identity = Identity { tenant, subject: "u".into(), role: Role::Viewer };
        let ours = tenant.to_string();
        let other = Uuid::from_u128(8).to_string();
        assert!(identity.check_tenant(&headers(&[])).is_ok());
        assert!(identity.check_tenant(&headers(&[(TENANT_HEADER, &ours)])).is_ok());
        for wrong in [other.as_str(), "", "7"] {
            let error = identity.check_tenant(&headers(&[(TENANT_HEADER, wrong)])).unwrap_err();
            assert_eq!(error.problem(), Problem::TenantMismatch);
            let both = headers(&[(TENANT_HEADER, &ours), (TENANT_HEADER, wrong)]);
            assert!(identity.check_tenant(&both).is_err());
        }
    }

    #[test]
    fn a_role_may_do_what_lower_roles_may() {
        let tenant = TenantId(Uuid::from_u128(7));
        for (has, role) in Role::ALL.into_iter().enumerate() {
            let identity = Identity { tenant, subject: "u".into(), role };
            for (needs, required) in Role::ALL.into_iter().enumerate() {
                assert_eq!(identity.require(required).is_ok(), has >= needs);
            }
            assert_eq!(role.name().parse(), Ok(role));
        }
    }
}
