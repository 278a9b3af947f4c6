//! Places for large mails while they are read: few are held at a time, and not all of one tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use recado_types::TenantId;

use crate::refusal::Refusal;

/// From where on a mail needs a place: what is smaller is no more than any other body.
pub(crate) const LARGE: usize = 1 << 20;

/// Who has a place.
#[derive(Debug)]
pub(crate) struct MailPlaces {
    all: usize,
    /// How many a tenant may have.
    each: usize,
    /// Those that have any.
    held: Mutex<HashMap<TenantId, usize>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
#[must_use = "a place that is dropped is given back"]
pub(crate) struct MailPlace {
    places: Arc<MailPlaces>,
    tenant: TenantId,
}

impl MailPlaces {
    /// So many places: half of them for each tenant, and at least one.
    pub(crate) fn of(all: usize) -> Arc<Self> {
        Arc::new(Self { all, each: (all / 2).max(1), held: Mutex::default() })
    }

    /// A place for a mail of `tenant`, if there is one.
    pub(crate) fn take(self: &Arc<Self>, tenant: TenantId) -> Result<MailPlace, Refusal> {
        let mut held = self.held();
        let is_full = held.values().sum::<usize>() >= self.all;
        let n_held = held.get(&tenant).copied().unwrap_or_default();
        if is_full || n_held >= self.each {
            return Err(Refusal::Busy);
        }
        held.insert(tenant, n_held + 1);
        Ok(MailPlace { places: Arc::clone(self), tenant })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.held.lock().expect("no holder of this lock panics")
    }
}

impl Drop for MailPlace {
    fn drop(&mut self) {
        let mut held = self.places.held();
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

    fn take_all(places: &Arc<MailPlaces>, tenant: u128) -> Vec<MailPlace> {
        let tenant = TenantId(Uuid::from_u128(tenant));
        std::iter::from_fn(|| places.take(tenant).ok()).collect()
    }

    #[test]
    fn a_tenant_has_half_of_the_places_and_all_together_no_more_than_there_are() {
        let places = MailPlaces::of(8);
        let mut first = take_all(&places, 1);
        let second = take_all(&places, 2);
        assert_eq!((first.len(), second.len()), (4, 4));
        assert!(take_all(&places, 3).is_empty());
        first.pop();
        assert_eq!(take_all(&places, 3).len(), 1);
        drop((first, second));
        assert!(places.held().is_empty(), "who has none takes no memory");
        assert_eq!(take_all(&MailPlaces::of(1), 1).len(), 1);
    }
}
