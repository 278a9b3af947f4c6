//! Who looks at dead letters through the API, and how often.
//!
//! A look takes them from everybody else for as long as it lasts, so a request is no reason for
//! one. Lists are answered from the last look, if that was a moment ago; and of a tenant one request
//! reads at a time and one changes something, so that one tenant's requests, however many, make
//! nobody wait for more than one of them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use recado_broker::{
    Chosen, Config, DeadLetters, DeadLettersError, Found, Listed, Scope, Settled, Survey,
};
use recado_types::{DeadLetterId, TenantId};
use tokio::time::{Instant, timeout};

/// How long lists are answered from one look.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// How long a list waits for the look that others have begun.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the API's requests for dead letters come together.
#[derive(Debug)]
pub(crate) struct Desk {
    dead_letters: DeadLetters,
    /// Held while somebody looks, so that whoever comes meanwhile gets what they saw.
    last_look: tokio::sync::Mutex<Option<Look>>,
    /// How often something was redriven or discarded here: a look from before shows it still.
    n_changes: AtomicU64,
    /// Who has a request under way, and whether it changes something.
    served: Mutex<BTreeSet<(TenantId, bool)>>,
}

#[derive(Debug)]
struct Look {
    survey: Survey,
    n_changes: u64,
    ended: Instant,
}

impl Desk {
    /// For the broker that `config` leads to.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            dead_letters: DeadLetters::new(config),
            last_look: tokio::sync::Mutex::default(),
            n_changes: AtomicU64::default(),
            served: Mutex::default(),
        }
    }

    /// At most `limit` of the dead letters in `scope`, oldest first, as they were a moment ago;
    /// without what this process has redriven or discarded since.
    pub(crate) async fn list(
        &self,
        scope: &Scope<'_>,
        limit: usize,
    ) -> Result<Listed, DeadLettersError> {
        let locking = timeout(PATIENCE, self.last_look.lock());
        let mut last = locking.await.map_err(|_elapsed| DeadLettersError::Busy)?;
        let n_changes = self.n_changes.load(Ordering::Acquire);
        if let Some(look) = &*last
            && look.n_changes == n_changes
            && look.ended.elapsed() < FRESH_FOR
        {
            return Ok(look.survey.list(scope, limit));
        }
        let survey = self.dead_letters.survey().await?;
        let listed = survey.list(scope, limit);
        *last = Some(Look { survey, n_changes, ended: Instant::now() });
        Ok(listed)
    }

    /// One of a tenant's own, with its body.
    pub(crate) async fn find(
        &self,
        tenant: TenantId,
        id: DeadLetterId,
    ) -> Result<Option<Found>, DeadLettersError> {
        let _place = self.serve(tenant, false)?;
        self.dead_letters.find(&of(tenant), id).await
    }

    /// Sends one of a tenant's own to work again.
    pub(crate) async fn redrive(
        &self,
        tenant: TenantId,
        id: DeadLetterId,
    ) -> Result<Settled, DeadLettersError> {
        let _place = self.serve(tenant, true)?;
        let settled = self.dead_letters.redrive(&of(tenant), Chosen::Ids(&[id])).await;
        self.n_changes.fetch_add(1, Ordering::Release);
        settled
    }

    /// Throws one of a tenant's own away.
    pub(crate) async fn discard(
        &self,
        tenant: TenantId,
        id: DeadLetterId,
    ) -> Result<Settled, DeadLettersError> {
        let _place = self.serve(tenant, true)?;
        let settled = self.dead_letters.discard(&of(tenant), Chosen::Ids(&[id])).await;
        self.n_changes.fetch_add(1, Ordering::Release);
        settled
    }

    /// Until the answer is dropped, nobody else of this tenant is served for the same.
    fn serve(&self, tenant: TenantId, changes: bool) -> Result<Place<'_>, DeadLettersError> {
        let who = (tenant, changes);
        let is_first = self.served.lock().unwrap_or_else(PoisonError::into_inner).insert(who);
        is_first.then_some(Place { desk: self, who }).ok_or(DeadLettersError::Busy)
    }
}

/// A tenant's place at the desk.
struct Place<'a> {
    desk: &'a Desk,
    who: (TenantId, bool),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.desk.served.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.who);
    }
}

fn of(tenant: TenantId) -> Scope<'static> {
    Scope { tenant: Some(tenant), ..Scope::ALL }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn of_a_tenant_one_request_reads_and_one_changes_at_a_time() {
        let desk = Desk::new(Config::new("amqp://127.0.0.1:1", "test"));
        let [ours, theirs] = [1, 2].map(|n| TenantId(Uuid::from_u128(n)));
        let reading = desk.serve(ours, false).ok();
        assert!(reading.is_some());
        assert!(matches!(desk.serve(ours, false), Err(DeadLettersError::Busy)));
        assert!(desk.serve(ours, true).is_ok() && desk.serve(theirs, false).is_ok());
        drop(reading);
        assert!(desk.serve(ours, false).is_ok());
    }
}
