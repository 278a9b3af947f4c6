//! `recado token`.

use std::process::ExitCode;

use chrono::TimeDelta;
use recado_clock::{Clock as _, SystemClock};
use recado_http::auth::{NewToken, Role, Tokens};
use recado_management::TokenConfig;
use recado_service::config::{self, ProcessEnv};
use recado_types::TenantId;

use crate::cli::{self, TokenRole};
use crate::{roles, say};

/// `EX_CONFIG` of sysexits.h.
const EX_CONFIG: u8 = 78;

/// Prints a token signed with `RECADO_JWT_SECRET`.
pub(crate) fn main(options: &cli::Token) -> ExitCode {
    let tokens = config::load::<TokenConfig>(&ProcessEnv, &roles::names())
        .map_err(anyhow::Error::from)
        .and_then(|config| Ok(config.checker()?));
    match tokens {
        Ok(tokens) => {
            say(&issue(&tokens, options));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("recado: {error:#}");
            ExitCode::from(EX_CONFIG)
        }
    }
}

fn issue(tokens: &Tokens, options: &cli::Token) -> String {
    let token = NewToken {
        subject: options.subject.clone(),
        tenant: TenantId(options.tenant),
        role: role(options.role),
        lifetime: TimeDelta::hours(options.hours.into()),
    };
    tokens.issue(&token, SystemClock::default().now())
}

fn role(role: TokenRole) -> Role {
    match role {
        TokenRole::Owner => Role::Owner,
        TokenRole::Admin => Role::Admin,
        TokenRole::Editor => Role::Editor,
        TokenRole::Viewer => Role::Viewer,
    }
}
