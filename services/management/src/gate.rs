//! How much may be under way at once of what waits for somebody else: a tool that is tried, a
//! provider that is checked.
//!
//! Each holds a connection, and an answer of up to some MiB, for as long as the other side likes to
//! take. Nobody queues: whoever finds no room is told to come again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recado_http::{ApiError, Problem};
use recado_types::TenantId;

/// How many there may be in this process.
const AT_ONCE: usize = 16;
/// How many of them may be of one tenant.
const OF_A_TENANT: usize = 2;
/// When it is worth coming again.
const COME_AGAIN_IN: Duration = Duration::from_secs(1);

/// Lets so many in.
#[derive(Default)]
pub(crate) struct Gate {
    inside: Mutex<HashMap<TenantId, usize>>,
}

/// A place inside, until it is dropped.
pub(crate) struct Place<'a> {
    gate: &'a Gate,
    tenant: TenantId,
}

impl Gate {
    /// # Errors
    /// 429 `rate_limited` if there is no room, for anybody or for this tenant.
    pub(crate) fn enter(&self, tenant: TenantId) -> Result<Place<'_>, ApiError> {
        let mut inside = self.inside();
        // There are no more tenants in it than places.
        let is_full = inside.values().sum::<usize>() >= AT_ONCE;
        let is_full = is_full || inside.get(&tenant).is_some_and(|its| *its >= OF_A_TENANT);
        if is_full {
            let why = "too many tools and providers are being tried; try again in a moment";
            return Err(ApiError::new(Problem::RateLimited, why).with_retry_after(COME_AGAIN_IN));
        }
        *inside.entry(tenant).or_default() += 1;
        Ok(Place { gate: self, tenant })
    }

    fn inside(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        if let Some(its) = inside.get_mut(&self.tenant) {
            *its -= 1;
            if *its == 0 {
                inside.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use actix_web::http::header::RETRY_AFTER;
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    #[test]
    fn a_tenant_has_two_places_and_gets_them_back() {
        let gate = Gate::default();
        let first = gate.enter(tenant(1)).unwrap();
        let second = gate.enter(tenant(1)).unwrap();
        let refused = gate.enter(tenant(1)).err().unwrap().error_response();
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers().get(RETRY_AFTER).unwrap(), "1");
        assert!(gate.enter(tenant(2)).is_ok(), "another tenant has its own");
        drop(first);
        let third = gate.enter(tenant(1)).unwrap();
        assert!(gate.enter(tenant(1)).is_err());
        drop((second, third));
        assert!(gate.inside().is_empty(), "nobody is remembered");
    }

    #[test]
    fn all_tenants_together_have_sixteen_places() {
        let gate = Gate::default();
        let mut places: Vec<_> =
            (0..16).map(|number| gate.enter(tenant(number)).unwrap()).collect();
        assert!(gate.enter(tenant(16)).is_err());
        assert_eq!(gate.inside().len(), 16, "who was refused takes no place");
        places.pop();
        assert!(gate.enter(tenant(16)).is_ok());
    }
}
