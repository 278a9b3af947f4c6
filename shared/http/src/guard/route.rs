//! What decides, beside an address itself, whether a connection to it may be made.
//!
//! Whoever resolves a name is told the name alone. So each route has a client of its own, whose
//! resolver keeps back what is closed on that route.

use std::collections::HashSet;

use url::Url;

use super::{ForbiddenDestination, Guard};

/// How an address is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Route {
    pub(super) transport: Transport,
    pub(super) port: Opening,
}

/// With or without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Tls,
    Plain,
}

/// Where a port is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Opening {
    /// At public addresses only.
    Public,
    /// In the networks that the operator has opened only.
    Networks,
    /// At both.
    Both,
}

impl Route {
    pub(super) fn of(url: &Url, guard: &Guard) -> Result<Self, ForbiddenDestination> {
        let transport = match url.scheme() {
            "https" => Transport::Tls,
            "http" => Transport::Plain,
            _ => return Err(ForbiddenDestination::Scheme),
        };
        let port = url.port_or_known_default().and_then(|port| guard.opening(port));
        Ok(Self { transport, port: port.ok_or(ForbiddenDestination::Port)? })
    }

    /// All that there are behind `guard`.
    pub(super) fn all(guard: &Guard) -> impl Iterator<Item = Self> {
        let openings: HashSet<_> = (1..=u16::MAX).filter_map(|port| guard.opening(port)).collect();
        openings.into_iter().flat_map(|port| {
            [Transport::Tls, Transport::Plain].map(|transport| Self { transport, port })
        })
    }
}

impl Opening {
    pub(super) fn is_public(self) -> bool {
        matches!(self, Self::Public | Self::Both)
    }

    pub(super) fn is_in_networks(self) -> bool {
        matches!(self, Self::Networks | Self::Both)
    }
}
