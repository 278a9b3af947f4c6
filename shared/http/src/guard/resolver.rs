//! Resolves names, and keeps back the addresses that are closed.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::{ForbiddenDestination, Guard, Route};

/// How long a look-up may take, of the time there is for connecting. The system's resolver waits
/// 5 s for each of its servers; of those there are rarely more than two, and the first should do.
pub(super) const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(6);

/// How many addresses of a name are tried. Whoever owns the name decides how many there are, and
/// each may be one that does not answer.
pub(super) const MAX_ADDRESSES: usize = 16;

/// Finds the addresses of names. Their ports mean nothing.
pub(super) trait LookUp: fmt::Debug + Send + Sync {
    fn look_up(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// What this machine is set up to ask: its files, then name servers.
#[derive(Debug)]
pub(super) struct System;

impl LookUp for System {
    fn look_up(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(lookup_host((name, 0)).await?.collect()) })
    }
}

/// A resolver behind a guard. What it answers is what is connected to: every new connection asks
/// again, and is made to an address of that very answer.
pub(super) struct GuardedResolver {
    pub(super) guard: Guard,
    pub(super) route: Route,
    pub(super) names: Arc<dyn LookUp>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let looking_up = self.names.look_up(name.as_str().to_owned());
        let (guard, route) = (self.guard.clone(), self.route);
        Box::pin(async move {
            let found = timeout(LOOK_UP_TIMEOUT, looking_up).await.map_err(io::Error::from)??;
            let open = open_addresses(&guard, route, found)
                .map_err(Box::<dyn Error + Send + Sync>::from)?;
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// The first open ones of `found`; if there are none, why.
pub(super) fn open_addresses(
    guard: &Guard,
    route: Route,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, ForbiddenDestination> {
    let mut open = Vec::new();
    let mut closed = ForbiddenDestination::NoHost;
    for address in found {
        match guard.check_address(address.ip(), route) {
            Ok(()) => open.push(address),
            Err(why) => closed = why,
        }
    }
    open.truncate(MAX_ADDRESSES);
    if open.is_empty() { Err(closed) } else { Ok(open) }
}

#[cfg(test)]
mod tests {
    use super::super::{Opening, Transport};
    use super::*;

    const TLS: Route = Route { transport: Transport::Tls, port: Opening::Both };

    #[test]
    fn closed_addresses_of_a_name_are_kept_back() {
        let guard = Guard::new(Vec::new());
        let found = ["10.0.0.1:0", "[::1]:0", "93.184.216.34:0"].map(|a| a.parse().unwrap());
        let open = open_addresses(&guard, TLS, found.to_vec()).unwrap();
        assert_eq!(open, [found[2]]);

        let none = open_addresses(&guard, TLS, found[..2].to_vec()).unwrap_err();
        assert_eq!(none, ForbiddenDestination::NotPublic);
    }

    #[test]
    fn without_tls_only_opened_networks_are_answered() {
        let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let found = ["10.0.0.1:0", "93.184.216.34:0"].map(|a| a.parse().unwrap());
        let plain = Route { transport: Transport::Plain, ..TLS };
        let open = open_addresses(&guard, plain, found.to_vec()).unwrap();
        assert_eq!(open, [found[0]]);
    }

    #[test]
    fn addresses_are_kept_back_whose_port_is_closed() {
        let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let found = ["10.0.0.1:0", "93.184.216.34:0"].map(|a| a.parse().unwrap());
        for (port, only) in [(Opening::Networks, 0), (Opening::Public, 1)] {
            let route = Route { port, ..TLS };
            let open = open_addresses(&guard, route, found.to_vec()).unwrap();
            assert_eq!(open, [found[only]]);
            let closed = found[1 - only];
            let none = open_addresses(&guard, route, vec![closed]).unwrap_err();
            assert_eq!(none, ForbiddenDestination::Port);
        }
    }

    #[test]
    fn of_many_addresses_a_few_are_tried() {
        let guard = Guard::new(Vec::new());
        let found = (0..=255).map(|last| SocketAddr::from(([93, 184, 216, last], 0)));
        let open = open_addresses(&guard, TLS, found.clone().collect()).unwrap();
        assert_eq!(open, found.take(MAX_ADDRESSES).collect::<Vec<_>>());
    }
}
