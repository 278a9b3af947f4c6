//! Where a server is, with everything filled in.

use std::fmt;

use recado_http::credential::authorise;
use recado_http::guard::Outbound;
use recado_types::credential::Credential;
use recado_types::tool::{ContextTemplate, EnvValue, McpTransport, UrlTemplate, changes_programs};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
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
    auth: &Credential,
) -> Result<Destination, McpError> {
    let context = connecting.context;
    let host_is_dynamic = url.host_is_dynamic();
    let url = url.render(context, &Map::new()).map_err(unfilled)?;
    connecting.hosts.check(&url, host_is_dynamic).map_err(McpError::Closed)?;
    // What every request will carry. Context and secrets alike are nobody else's to see.
    let mut request = Outbound::new(Method::POST, url);
    for (name, template) in headers {
        let value = template.render(context).map_err(unfilled)?;
        request = request
            .secret_header(name, &value)
            .map_err(|_shows_no_more| McpError::Header(name.clone()))?;
    }
    if let Some(name) = auth.secret_ref() {
        request = authorise(request, auth, secret(connecting, name)?)
            .map_err(|source| McpError::UnusableSecret { name: name.to_owned(), source })?;
    }
    let headers = request.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    Ok(Destination::Http { headers: headers.collect(), url: request.url })
}

fn secret<'c>(connecting: &Connecting<'c>, name: &str) -> Result<&'c str, McpError> {
    connecting.secrets.get(name).ok_or_else(|| McpError::NoSecret(name.to_owned()))
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
