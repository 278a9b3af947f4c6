//! Who is asking, for which tenant, and what they may do.
//!
//! A request carries a bearer token or an API key. What a token says is checked here; keys are
//! looked up by whoever has the database, with the hash from [`ApiKey::hash`]. Whatever is wrong
//! with a credential, the answer is the same: it must not tell what was nearly right.

mod api_key;
mod token;

pub use api_key::ApiKey;
pub use token::{
    ClaimNames, InvalidJwksUrl, JwksSource, JwksUrl, MIN_SECRET_BYTES, NewToken, TokenError,
    TokenIssuer, TokenSettings, Tokens,
};

use std::fmt;
use std::str::FromStr;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use recado_types::TenantId;
use recado_types::scope::{Scope, Scopes};
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
    /// Changes agents, triggers, tools and members, and has things done again or stopped.
    Editor,
    /// Changes secrets, API keys and the tenant's settings.
    Admin,
    /// Everything.
    Owner,
}

/// Where operators do all that they do.
const OPERATORS_ADDRESS: &str = "/api/tenants";

/// What the role of an operator is called in tokens.
const OPERATOR: &str = "operator";

/// Somebody whose credential was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Somebody inside a tenant, with a token.
    Member(Member),
    /// Whoever holds a key of a tenant.
    ApiKey(KeyHolder),
    /// Somebody who runs the installation, with a token: decides which tenants there are, and sees
    /// nothing of theirs.
    Operator {
        /// Who they are.
        subject: String,
    },
}

/// Somebody inside a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whose data they see.
    pub tenant: TenantId,
    /// Who they are, inside the tenant.
    pub subject: String,
    /// What they may do.
    pub role: Role,
}

/// Whoever holds an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// Whose data they see.
    pub tenant: TenantId,
    /// How the key begins.
    pub prefix: String,
    /// What the key may be used for.
    pub scopes: Scopes,
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
    /// Who they are. Of a key, how it begins.
    pub fn subject(&self) -> &str {
        match self {
            Self::Member(member) => &member.subject,
            Self::ApiKey(key) => &key.prefix,
            Self::Operator { subject } => subject,
        }
    }

    /// Whose data they see, if they are somebody's.
    pub fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Member(member) => Some(member.tenant),
            Self::ApiKey(key) => Some(key.tenant),
            Self::Operator { .. } => None,
        }
    }

    /// What their role is called.
    pub fn role_name(&self) -> &'static str {
        match self {
            Self::Member(member) => member.role.name(),
            Self::ApiKey(_) => "api_key",
            Self::Operator { .. } => OPERATOR,
        }
    }

    /// Refuses everybody but members with `role` or a higher one.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, role: Role) -> Result<(), ApiError> {
        let needed = format!("this needs a token of the role {role} or a higher one");
        match self {
            Self::Member(member) if member.role >= role => Ok(()),
            Self::Member(_) | Self::ApiKey(_) => Err(not_permitted(needed)),
            Self::Operator { .. } => Err(not_permitted(format!(
                "{needed}, in a tenant; an operator's is good for {OPERATORS_ADDRESS} only"
            ))),
        }
    }

    /// Refuses keys without `scope`. Members read without one.
    ///
    /// # Errors
    /// 403.
    pub fn require_scope(&self, scope: Scope) -> Result<(), ApiError> {
        match self {
            Self::ApiKey(key) if key.scopes.allow(scope) => Ok(()),
            Self::ApiKey(_) => {
                Err(not_permitted(format!("this needs an API key with the scope {scope}")))
            }
            Self::Member(_) | Self::Operator { .. } => self.require(Role::Viewer),
        }
    }

    /// Refuses everybody but operators.
    ///
    /// # Errors
    /// 403.
    pub fn require_operator(&self) -> Result<(), ApiError> {
        match self {
            Self::Operator { .. } => Ok(()),
            Self::Member(_) | Self::ApiKey(_) => Err(not_permitted(format!(
                "this needs a token of an operator; one of a tenant is good for everything but \
                 {OPERATORS_ADDRESS}"
            ))),
        }
    }

    /// Refuses a request that names another tenant than the credential is for, or one at all if
    /// the credential is for none.
    ///
    /// # Errors
    /// 403 when `x-tenant-id` is there and is not this tenant.
    pub fn check_tenant(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let ours = self.tenant();
        let mut named = headers.get_all(TENANT_HEADER);
        let is_ours = |value: &HeaderValue| {
            let named: Option<TenantId> = value.to_str().ok().and_then(|text| text.parse().ok());
            named.is_some() && named == ours
        };
        if named.all(is_ours) {
            return Ok(());
        }
        Err(match self {
            Self::Member(_) | Self::ApiKey(_) => Problem::TenantMismatch.into(),
            Self::Operator { .. } => ApiError::new(
                Problem::TenantMismatch,
                format!(
                    "an operator's token is for no tenant, so there is no {TENANT_HEADER}; it is \
                     good for {OPERATORS_ADDRESS} only"
                ),
            ),
        })
    }
}

fn not_permitted(needed: impl Into<String>) -> ApiError {
    ApiError::new(Problem::InsufficientPermissions, needed)
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
    use actix_web::http::header::HeaderName;
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

    const TENANT: TenantId = TenantId(Uuid::from_u128(7));

    fn member(role: Role) -> Identity {
        Identity::Member(Member { tenant: TENANT, subject: "ana".into(), role })
    }

    fn key(scope: Scope) -> Identity {
        let scopes = [scope].into_iter().collect();
        Identity::ApiKey(KeyHolder { tenant: TENANT, prefix: "rcd_01234567".into(), scopes })
    }

    fn operator() -> Identity {
        Identity::Operator { subject: "ops".into() }
    }

    #[test]
    fn the_tenant_header_has_to_match_if_it_is_there() {
        let ours = TENANT.to_string();
        let other = Uuid::from_u128(8).to_string();
        for identity in [member(Role::Viewer), key(Scope::Read)] {
            assert!(identity.check_tenant(&headers(&[])).is_ok());
            assert!(identity.check_tenant(&headers(&[(TENANT_HEADER, &ours)])).is_ok());
            for wrong in [other.as_str(), "", "7"] {
                let error = identity.check_tenant(&headers(&[(TENANT_HEADER, wrong)])).unwrap_err();
                assert_eq!(error.problem(), Problem::TenantMismatch);
                let both = headers(&[(TENANT_HEADER, &ours), (TENANT_HEADER, wrong)]);
                assert!(identity.check_tenant(&both).is_err());
            }
        }
        assert!(operator().check_tenant(&headers(&[])).is_ok());
        for any in [ours.as_str(), other.as_str(), ""] {
            assert!(operator().check_tenant(&headers(&[(TENANT_HEADER, any)])).is_err());
        }
    }

    #[test]
    fn a_role_may_do_what_lower_roles_may() {
        for (has, role) in Role::ALL.into_iter().enumerate() {
            for (needs, required) in Role::ALL.into_iter().enumerate() {
                assert_eq!(member(role).require(required).is_ok(), has >= needs);
            }
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(member(role).role_name(), role.name());
        }
        assert!("operator".parse::<Role>().is_err() && "api_key".parse::<Role>().is_err());
    }

    #[test]
    fn members_keys_and_operators_are_kept_apart() {
        let refused = [
            key(Scope::Read).require(Role::Viewer),
            operator().require(Role::Viewer),
            operator().require_scope(Scope::Read),
            member(Role::Owner).require_operator(),
            key(Scope::Read).require_operator(),
            key(Scope::ReadTriggers).require_scope(Scope::ReadAgents),
            key(Scope::SendWebhooks).require_scope(Scope::ReadTriggers),
        ];
        for refusal in refused {
            assert_eq!(refusal.unwrap_err().problem(), Problem::InsufficientPermissions);
        }
        let told = operator().require(Role::Viewer).unwrap_err().message().to_owned();
        assert!(told.contains("an operator's is good for /api/tenants only"), "{told}");
        let told = member(Role::Owner).require_operator().unwrap_err().message().to_owned();
        assert!(told.contains("a token of an operator"), "{told}");
        assert!(operator().require_operator().is_ok());
        assert!(member(Role::Viewer).require_scope(Scope::ReadAgents).is_ok());
        assert!(key(Scope::ReadAgents).require_scope(Scope::ReadAgents).is_ok());
        assert!(key(Scope::Read).require_scope(Scope::ReadAgents).is_ok());
        assert_eq!((operator().tenant(), key(Scope::Read).tenant()), (None, Some(TENANT)));
    }
}
