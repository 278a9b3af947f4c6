//! Requests to addresses that a tenant has chosen: callbacks, tools, models.
//!
//! Such an address must not lead into our own network (server-side request forgery), and whoever
//! answers must not be able to hold us up. So:
//!
//! * only `https`, or `http` to networks that the operator has opened; no user names in addresses;
//! * addresses are checked where the connection is made, after the name was resolved, so a name
//!   that resolves differently the second time gains nothing; literal addresses, which never reach
//!   a resolver, are checked before;
//! * no redirect is followed, no proxy of the environment is used;
//! * there is a time limit for all of it, and answers are read up to a size limit, whole
//!   ([`GuardedClient::send`]) or while they come ([`GuardedClient::send_streaming`]).
//!
//! [`Guard::check_url`] tells a tenant early; the checks of [`GuardedClient`] are the ones that count.

mod address;
mod client;
mod error;
mod outbound;
mod resolver;
mod retry_after;
mod stream;
#[cfg(test)]
mod tests;

pub use client::{Answer, ClientError, GuardedClient};
pub use error::{Phase, SendError};
pub use outbound::{InvalidOutbound, Outbound};
pub use retry_after::{asked_pause, retry_after};
pub use stream::Streamed;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use address::{canonical, is_public};

/// Ports below this one belong to well-known services, of which only the web's are open.
const FIRST_FREE_PORT: u16 = 1_024;
const WEB_PORTS: [u16; 2] = [80, 443];

/// Which destinations are open. Clones share the list.
#[derive(Debug, Clone)]
pub struct Guard {
    allow: Arc<[IpNet]>,
    allow_plain_http: bool,
}

/// Why a destination is closed. Says nothing about the address itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenDestination {
    /// Neither `https` nor `http`.
    #[error("the address must begin with https://")]
    Scheme,
    /// `http` to a public address.
    #[error("plain http is not allowed for public addresses; use https")]
    PlainHttp,
    /// A user name or password in the address, which would be sent to whoever answers.
    #[error("the address must not contain a user name or password")]
    UserInfo,
    /// No host.
    #[error("the address has no host")]
    NoHost,
    /// A loopback, private, link-local, multicast, reserved or translated address.
    #[error("the address is not a public one")]
    NotPublic,
    /// A port of another well-known service.
    #[error("the port belongs to another service")]
    Port,
}

impl Guard {
    /// Opens public addresses over TLS, and the networks in `allow`, with or without TLS.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow: allow.into(), allow_plain_http: false }
    }

    /// Whether public addresses are open without TLS too.
    #[must_use]
    pub fn with_plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// Everything that can be known before the name is resolved.
    ///
    /// # Errors
    /// Why the destination is closed.
    pub fn check_url(&self, url: &Url) -> Result<(), ForbiddenDestination> {
        let transport = Transport::of(url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ForbiddenDestination::UserInfo);
        }
        if let Some(port) = url.port()
            && port < FIRST_FREE_PORT
            && !WEB_PORTS.contains(&port)
        {
            return Err(ForbiddenDestination::Port);
        }
        match url.host().ok_or(ForbiddenDestination::NoHost)? {
            Host::Ipv4(address) => self.check_address(address.into(), transport),
            Host::Ipv6(address) => self.check_address(address.into(), transport),
            Host::Domain(name) => self.check_name(name, transport),
        }
    }

    /// Whether a connection to `address` may be made.
    fn check_address(
        &self,
        address: IpAddr,
        transport: Transport,
    ) -> Result<(), ForbiddenDestination> {
        let address = canonical(address);
        if self.allow.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        if !is_public(address) {
            return Err(ForbiddenDestination::NotPublic);
        }
        if transport == Transport::Plain && !self.allow_plain_http {
            return Err(ForbiddenDestination::PlainHttp);
        }
        Ok(())
    }

    /// What a name alone tells. Where it leads is only known when the connection is made.
    fn check_name(&self, name: &str, transport: Transport) -> Result<(), ForbiddenDestination> {
        if name.is_empty() {
            return Err(ForbiddenDestination::NoHost);
        }
        let name = name.trim_end_matches('.');
        if name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost")
        {
            return self.check_address(IpAddr::from([127, 0, 0, 1]), transport);
        }
        let may_be_open = self.allow_plain_http || !self.allow.is_empty();
        if transport == Transport::Plain && !may_be_open {
            return Err(ForbiddenDestination::PlainHttp);
        }
        Ok(())
    }
}

/// With or without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tls,
    Plain,
}

impl Transport {
    fn of(url: &Url) -> Result<Self, ForbiddenDestination> {
        match url.scheme() {
            "https" => Ok(Self::Tls),
            "http" => Ok(Self::Plain),
            _ => Err(ForbiddenDestination::Scheme),
        }
    }
}
