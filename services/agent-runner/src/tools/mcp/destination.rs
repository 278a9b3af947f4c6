//! Where a server is, with everything filled in.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use recado_types::tool::{
    ContextTemplate, EnvValue, McpTransport, ToolAuth, UrlTemplate, changes_programs,
};
use recado_types::trigger::KeyPlace;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::Map;

use super::Connecting;
use super::error::McpError;
use super::stdio::Program;

/// A server. Holds secrets: its `Debug` shows none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Destination {
    /// Behind HTTP.
    Http { url: Url, headers: Vec<(HeaderName, HeaderValue)> },
    /// A process of ours.
    Stdio(Program),
}

impl Destination {
    /// Fills in the transport of the tool. Whether an address is open is for the guard to say when
    /// the connection is made.
    ///
    /// # Errors
    /// When something is missing, a host or command is not on its list, or a variable of the
    /// environment is one that nobody may set.
    pub(super) fn of(
        connecting: &Connecting<'_>,
        stdio_commands: &[String],
    ) -> Result<Self, McpError> {
        match &connecting.spec.transport {
            McpTransport::StreamableHttp { url, headers, auth } => {
                http(connecting, url, headers, auth)
            }
            McpTransport::Stdio { command, args, env } => {
                if !stdio_commands.contains(command) {
                    return Err(McpError::CommandNotAllowed);
                }
                if let Some((name, _)) = env.iter().find(|(name, _)| changes_programs(name)) {
                    return Err(McpError::EnvironmentNotAllowed(name.clone()));
                }
                let env = env.iter().map(|(name, value)| {
                    let value = match value {
                        EnvValue::Literal(value) => value,
                        EnvValue::Secret { secret_ref } => secret(connecting, secret_ref)?,
                    };
                    Ok((name.clone(), value.to_owned()))
                });
                let (command, args) = (command.clone(), args.clone());
                Ok(Self::Stdio(Program { command, args, env: env.collect::<Result<_, _>>()? }))
            }
        }
    }
}

fn http(
    connecting: &Connecting<'_>,
    url: &UrlTemplate,
    headers: &[(String, ContextTemplate)],
    auth: &ToolAuth,
) -> Result<Destination, McpError> {
    let context = connecting.context;
    let host_is_dynamic = url.host_is_dynamic();
    let mut url = url.render(context, &Map::new()).map_err(unfilled)?;
    if host_is_dynamic && !connecting.allowed_hosts.allows(&url) {
        return Err(McpError::HostNotAllowed);
    }
    let mut filled = Vec::new();
    for (name, template) in headers {
        let value = template.render(context).map_err(unfilled)?;
        filled.push(header(name, &value)?);
    }
    let authorization = |value: String| header(AUTHORIZATION.as_str(), &value);
    match auth {
        ToolAuth::None => {}
        ToolAuth::Basic { secret_ref } => {
            let credentials = BASE64_STANDARD.encode(secret(connecting, secret_ref)?);
            filled.push(authorization(format!("Basic {credentials}"))?);
        }
        ToolAuth::Bearer { secret_ref } => {
            let token = secret(connecting, secret_ref)?;
            filled.push(authorization(format!("Bearer {token}"))?);
        }
        ToolAuth::ApiKey { secret_ref, name, place: KeyPlace::Header } => {
            filled.push(header(name, secret(connecting, secret_ref)?)?);
        }
        ToolAuth::ApiKey { secret_ref, name, place: KeyPlace::Query } => {
            let key = secret(connecting, secret_ref)?;
            url.query_pairs_mut().append_pair(name, key);
        }
    }
    Ok(Destination::Http { url, headers: filled })
}

fn secret<'c>(connecting: &Connecting<'c>, name: &str) -> Result<&'c str, McpError> {
    connecting.secrets.get(name).ok_or_else(|| McpError::NoSecret(name.to_owned()))
}

/// Context and secrets alike are nobody else's to see.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), McpError> {
    let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
    let (name, mut value) = pair.ok_or_else(|| McpError::Header(name.to_owned()))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn unfilled(error: impl std::error::Error + Send + Sync + 'static) -> McpError {
    McpError::Render(Box::new(error))
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, .. } => f.debug_tuple("Http").field(&url.host_str()).finish(),
            Self::Stdio(program) => f.debug_tuple("Stdio").field(&program.command).finish(),
        }
    }
}
