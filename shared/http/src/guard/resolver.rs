//! Resolves names, and keeps back the addresses that are closed.

use std::error::Error;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use super::{ForbiddenDestination, Guard, Transport};

/// The system's resolver behind a guard. What it answers is what is connected to.
pub(super) struct GuardedResolver {
    pub(super) guard: Guard,
    pub(super) transport: Transport,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, transport) = (self.guard.clone(), self.transport);
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?;
            let open = open_addresses(&guard, transport, found)?;
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// The open ones of `found`; if there are none, why.
fn open_addresses(
    guard: &Guard,
    transport: Transport,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let mut open = Vec::new();
    let mut closed = ForbiddenDestination::NoHost;
    for address in found {
        match guard.check_address(address.ip(), transport) {
            Ok(()) => open.push(address),
            Err(why) => closed = why,
        }
    }
    if open.is_empty() { Err(closed.into()) } else { Ok(open) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_addresses_of_a_name_are_kept_back() {
        let guard = Guard::new(Vec::new());
        let found = ["10.0.0.1:0", "[::1]:0", "93.184.216.34:0"].map(|a| a.parse().unwrap());
        let open = open_addresses(&guard, Transport::Tls, found.into_iter()).unwrap();
        assert_eq!(open, [found[2]]);

        let none = open_addresses(&guard, Transport::Tls, found[..2].iter().copied()).unwrap_err();
        assert_eq!(none.downcast_ref(), Some(&ForbiddenDestination::NotPublic));
    }

    #[test]
    fn without_tls_only_opened_networks_are_answered() {
        let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let found = ["10.0.0.1:0", "93.184.216.34:0"].map(|a| a.parse().unwrap());
        let open = open_addresses(&guard, Transport::Plain, found.into_iter()).unwrap();
        assert_eq!(open, [found[0]]);
    }
}
