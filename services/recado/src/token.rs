//! `recado token`.

use std::process::ExitCode;

use chrono::TimeDelta;
use recado_clock::{Clock as _, SystemClock};
use recado_http::auth::{NewToken, Role};
use recado_management::TokenConfig;
use recado_service::config::{self, ProcessEnv};
use recado_types::TenantId;

use crate::cli::{self, TokenRole};
use crate::{exit_code, roles, say};

/// Prints a token signed with `RECADO_JWT_SECRET`.
pub(crate) fn main(options: &cli::Token) -> ExitCode {
    let new = match new_token(options) {
        Ok(new) => new,
        Err(mistake) => {
            eprintln!("recado: {mistake}");
            return ExitCode::from(exit_code::USAGE);
        }
    };
    let issuer = config::load::<TokenConfig>(&ProcessEnv, &roles::names())
        .map_err(anyhow::Error::from)
        .and_then(|config| config.issuer());
    match issuer {
        Ok(issuer) => {
            say(&issuer.issue(&new, SystemClock::default().now()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("recado: {error:#}");
            ExitCode::from(exit_code::MISCONFIGURED)
        }
    }
}

/// Operators have no tenant, and everybody else has one.
fn new_token(options: &cli::Token) -> Result<NewToken, &'static str> {
    let membership = match (role(options.role), options.tenant) {
        (None, None) => None,
        (None, Some(_)) => return Err("an operator has no tenant: leave out --tenant"),
        (Some(role), Some(tenant)) => Some((TenantId(tenant), role)),
        (Some(_), None) => return Err("--tenant is required, but for --role operator"),
    };
    let lifetime = TimeDelta::hours(options.hours.into());
    Ok(NewToken { subject: options.subject.clone(), membership, lifetime })
}

/// `None` for an operator.
fn role(role: TokenRole) -> Option<Role> {
    match role {
        TokenRole::Operator => None,
        TokenRole::Owner => Some(Role::Owner),
        TokenRole::Admin => Some(Role::Admin),
        TokenRole::Editor => Some(Role::Editor),
        TokenRole::Viewer => Some(Role::Viewer),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_operator_has_no_tenant_and_everybody_else_has_one() {
        let of = |role, tenant| {
            let options = cli::Token { tenant, subject: "ana".into(), role, hours: 1 };
            new_token(&options).map(|new| new.membership)
        };
        let tenant = Uuid::from_u128(7);
        assert_eq!(of(TokenRole::Operator, None), Ok(None));
        let viewer = Some((TenantId(tenant), Role::Viewer));
        assert_eq!(of(TokenRole::Viewer, Some(tenant)), Ok(viewer));
        assert!(of(TokenRole::Operator, Some(tenant)).is_err());
        assert!(of(TokenRole::Owner, None).is_err());
    }
}
