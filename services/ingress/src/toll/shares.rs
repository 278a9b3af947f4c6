//! A tenant's share of what is in flight: one tenant cannot take every place of the outbox.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use recado_types::TenantId;

/// What part of all places a tenant may hold, and what it may hold however few there are.
const PART: usize = 4;
const AT_LEAST: usize = 16;

/// When to come back: a place is free again after a confirm, which takes less.
const RETRY_IN: Duration = Duration::from_secs(1);

/// How many messages each tenant has in flight, on this instance.
#[derive(Debug)]
pub(super) struct Shares {
    each: usize,
    /// Those that have any, so as many as there are messages in flight at most.
    held: Mutex<HashMap<TenantId, usize>>,
}

/// A place in flight, until it is dropped.
#[derive(Debug)]
#[must_use = "a share that is dropped is given back"]
pub(crate) struct Share {
    shares: Arc<Shares>,
    tenant: TenantId,
}

impl Shares {
    /// Shares of `max_publishing` places: a quarter for each tenant, and at least 16.
    pub(super) fn of(max_publishing: usize) -> Arc<Self> {
        let each = (max_publishing / PART).max(AT_LEAST);
        Arc::new(Self { each, held: Mutex::default() })
    }

    /// How many places a tenant may hold.
    pub(super) fn each(&self) -> usize {
        self.each
    }

    /// A place for a message of `tenant`; or, if it holds all that it may, when to come back.
    pub(super) fn acquire(self: &Arc<Self>, tenant: TenantId) -> Result<Share, Duration> {
        let mut held = self.held();
        let n_held = held.entry(tenant).or_default();
        if *n_held >= self.each {
            return Err(RETRY_IN);
        }
        *n_held += 1;
        Ok(Share { shares: Arc::clone(self), tenant })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.held.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        match held.get_mut(&self.tenant) {
            Some(n_held) if *n_held > 1 => *n_held -= 1,
            Some(_) | None => drop(held.remove(&self.tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(n: u128) -> TenantId {
        TenantId(Uuid::from_u128(n))
    }

    fn take_all(shares: &Arc<Shares>, tenant: TenantId) -> Vec<Share> {
        std::iter::from_fn(|| shares.acquire(tenant).ok()).collect()
    }

    #[test]
    fn a_tenant_holds_a_quarter_and_leaves_the_rest_to_others() {
        let shares = Shares::of(400);
        let mut greedy = take_all(&shares, tenant(1));
        assert_eq!(greedy.len(), 100);
        assert_eq!(shares.acquire(tenant(1)).unwrap_err(), Duration::from_secs(1));
        assert!(shares.acquire(tenant(2)).is_ok());
        greedy.pop();
        assert!(shares.acquire(tenant(1)).is_ok(), "a place that is given back can be had again");
    }

    #[test]
    fn a_share_is_never_less_than_sixteen() {
        assert_eq!(take_all(&Shares::of(1), tenant(1)).len(), 16);
    }

    #[test]
    fn a_tenant_with_nothing_in_flight_takes_no_memory() {
        let shares = Shares::of(400);
        drop(take_all(&shares, tenant(1)));
        assert!(shares.held().is_empty());
    }
}
