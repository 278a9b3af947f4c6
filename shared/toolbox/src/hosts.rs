//! Where a tenant lets its tools go.

use recado_types::hosts::{DestinationHosts, HostAllowList};
use url::Url;

/// A tenant's rules for hosts. The guard has its own, which are the operator's.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Hosts {
    /// Where a tool may be led by a host that its configuration does not name.
    pub(super) led: HostAllowList,
    /// Where any tool may go.
    pub(super) destinations: DestinationHosts,
}

/// Why the tenant lets no tool go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClosedHost {
    /// The host comes from the context.
    #[error("the host is not one of the tenant's allowed_hosts")]
    NotAllowed,
    /// Wherever it comes from.
    #[error("the host is not one of the tenant's destination_hosts")]
    NoDestination,
}

impl ClosedHost {
    /// A short, stable name for metrics and logs.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "forbidden",
            Self::NoDestination => "destination_not_allowed",
        }
    }
}

impl Hosts {
    /// Whether a tool may go to `url`, whose host `is_dynamic` if a context fills it in.
    pub(super) fn check(&self, url: &Url, is_dynamic: bool) -> Result<(), ClosedHost> {
        if is_dynamic && !self.led.allows(url) {
            return Err(ClosedHost::NotAllowed);
        }
        self.destinations.check(url).map_err(|_not_listed| ClosedHost::NoDestination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_the_context_has_to_be_on_both_lists() {
        let url = Url::parse("https://a.example.com/").unwrap();
        let check = |led: &[&str], destinations: &[&str], is_dynamic| {
            let destinations = DestinationHosts::of(destinations);
            Hosts { led: HostAllowList::of(led), destinations }.check(&url, is_dynamic)
        };
        assert_eq!(check(&[], &[], false), Ok(()));
        assert_eq!(check(&[], &[], true), Err(ClosedHost::NotAllowed));
        assert_eq!(check(&["a.example.com"], &[], true), Ok(()));
        assert_eq!(check(&[], &["*.example.com"], false), Ok(()));
        assert_eq!(check(&["a.example.com"], &["*.example.com"], true), Ok(()));
        for is_dynamic in [false, true] {
            let closed = check(&["a.example.com"], &["b.example.com"], is_dynamic);
            assert_eq!(closed, Err(ClosedHost::NoDestination));
        }
    }
}
