//! Requests to addresses that a tenant has chosen: callbacks, tools, models.
//!
//! Such an address must not lead into our own network (server-side request forgery), and whoever
//! answers must not be able to hold us up. So:
//!
//! * only `https`, or `http` to networks that the operator has opened; only ports that are open
//!   ([`Ports`]); no user names in addresses;
//! * addresses are checked where the connection is made, after the name was resolved, so a name
//!   that resolves differently the second time gains nothing; literal addresses, which never reach
//!   a resolver, are checked before;
//! * no redirect is followed, no proxy of the environment is used;
//! * a server has to be vouched for by an authority of the system or of the operator's
//!   ([`Authorities`]);
//! * there is a time limit for the look-up, for connecting, and for all of it; answers are read up
//!   to a size limit, whole ([`GuardedClient::send`]) or while they come
//!   ([`GuardedClient::send_streaming`]), with at most 100 headers in some 400 KiB, and are taken as
//!   they are sent: nothing is decompressed.
//!
//! Other protocols than HTTP go the same way: [`GuardedClient::dial`] connects, and
//! [`GuardedClient::start_tls`] finds out who answers.
//!
//! [`Guard::check_url`] tells a tenant early; the checks of [`GuardedClient`] are the ones that count.

mod address;
mod authorities;
mod client;
mod dial;
mod error;
mod outbound;
mod ports;
mod resolver;
mod retry_after;
mod route;
mod stream;
#[cfg(test)]
mod tests;

pub use authorities::{Authorities, InvalidAuthorities};
pub use client::{Answer, ClientError, GuardedClient};
pub use dial::{Destination, DialError, Service};
pub use error::{Phase, SendError};
pub use outbound::{InvalidOutbound, Outbound};
pub use ports::{InvalidPorts, Ports};
pub use retry_after::{asked_pause, retry_after};
pub use stream::Streamed;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use address::{canonical, is_public};
use route::{Opening, Route, Transport};

/// Which destinations are open. Clones share the list.
#[derive(Debug, Clone)]
pub struct Guard {
    allow: Arc<[IpNet]>,
    allow_plain_http: bool,
    ports: Ports,
}

/// Whether an address is not on the public internet: what goes to a public one passes through the
/// hands of others.
pub fn is_private(address: IpAddr) -> bool {
    !is_public(canonical(address))
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
    /// A port that is not open.
    #[error("the port is not open")]
    Port,
}

impl Guard {
    /// Opens public addresses over TLS, and the networks in `allow`, with or without TLS; of
    /// both, the default [`Ports`].
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow: allow.into(), allow_plain_http: false, ports: Ports::default() }
    }

    /// Whether public addresses are open without TLS too.
    #[must_use]
    pub fn with_plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// Which ports of public addresses are open. Those of opened networks stay the default ones.
    #[must_use]
    pub fn with_ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Everything that can be known before the name is resolved.
    ///
    /// # Errors
    /// Why the destination is closed.
    pub fn check_url(&self, url: &Url) -> Result<(), ForbiddenDestination> {
        self.route(url).map(|_route| ())
    }

    /// How `url` is reached, if it may be, as far as that can be known from it.
    fn route(&self, url: &Url) -> Result<Route, ForbiddenDestination> {
        let route = Route::of(url, self)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ForbiddenDestination::UserInfo);
        }
        self.check_host(&url.host().ok_or(ForbiddenDestination::NoHost)?, route)?;
        Ok(route)
    }

    /// What can be known of a host before its name, if it is one, is resolved.
    fn check_host<S: AsRef<str>>(
        &self,
        host: &Host<S>,
        route: Route,
    ) -> Result<(), ForbiddenDestination> {
        match host {
            Host::Ipv4(address) => self.check_address((*address).into(), route),
            Host::Ipv6(address) => self.check_address((*address).into(), route),
            Host::Domain(name) => self.check_name(name.as_ref(), route),
        }
    }

    /// Where `port` is open, if it is anywhere.
    fn opening(&self, port: u16) -> Option<Opening> {
        let in_networks = !self.allow.is_empty() && Ports::default().contains(port);
        match (self.ports.contains(port), in_networks) {
            (true, true) => Some(Opening::Both),
            (true, false) => Some(Opening::Public),
            (false, true) => Some(Opening::Networks),
            (false, false) => None,
        }
    }

    /// Whether a connection to `address` may be made.
    fn check_address(&self, address: IpAddr, route: Route) -> Result<(), ForbiddenDestination> {
        let address = canonical(address);
        let is_in_network = self.allow.iter().any(|network| network.contains(&address));
        if !is_in_network && !is_public(address) {
            return Err(ForbiddenDestination::NotPublic);
        }
        let Route { transport, port } = route;
        let is_port_open = if is_in_network { port.is_in_networks() } else { port.is_public() };
        if !is_port_open {
            return Err(ForbiddenDestination::Port);
        }
        if !is_in_network && transport == Transport::Plain && !self.allow_plain_http {
            return Err(ForbiddenDestination::PlainHttp);
        }
        Ok(())
    }

    /// What a name alone tells. Where it leads is only known when the connection is made.
    fn check_name(&self, name: &str, route: Route) -> Result<(), ForbiddenDestination> {
        if name.is_empty() {
            return Err(ForbiddenDestination::NoHost);
        }
        let name = name.trim_end_matches('.');
        if name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost")
        {
            return self.check_address(IpAddr::from([127, 0, 0, 1]), route);
        }
        let may_be_open = self.allow_plain_http || route.port.is_in_networks();
        if route.transport == Transport::Plain && !may_be_open {
            return Err(ForbiddenDestination::PlainHttp);
        }
        Ok(())
    }
}
