//! The lanes that are worked here.
//!
//! A lease that could not be renewed in time, because the database was away, has run out: anybody
//! may claim its lane. Until somebody does, what was done under it can still be written down. So
//! this process, which has a request on its way or its result in its hands, does not claim such a
//! lane itself: it would send the chunk again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recado_store::lanes::Lease;

/// The leases of all lanes that are worked here, also of those that have run out.
#[derive(Debug, Default)]
pub(super) struct InWork(Mutex<HashSet<Lease>>);

/// One lane, for as long as this is there.
#[derive(Debug)]
pub(super) struct Working {
    all: Arc<InWork>,
    lease: Lease,
}

impl InWork {
    /// Takes note of a lane that was claimed.
    pub(super) fn begin(self: &Arc<Self>, lease: Lease) -> Working {
        self.leases().insert(lease);
        Working { all: Arc::clone(self), lease }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Lease> {
        self.leases().iter().copied().collect()
    }

    fn leases(&self) -> MutexGuard<'_, HashSet<Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.all.leases().remove(&self.lease);
    }
}
