//! Sources that need a connection of their own: a database, a mailbox. One instance holds each of
//! them at a time, under a lease; when it lets go, or dies, another one goes on where it was.

mod error;
mod interruptions;
mod source;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_clock::Clock;
use recado_http::guard::GuardedClient;
use recado_service::lanes::LaneWork;
use recado_store::sources::{self, ClaimedSource, Outcome, SourceFailure, SourceKind, SourceLease};
use recado_store::{Store, StoreError};
use recado_types::TenantId;
use recado_types::trigger::Source;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::metrics::FAILED;
use crate::outlet::Outlet;
use crate::trigger::{compiled, try_again_at, within_quota};
use crate::{db_event, imap};

pub(crate) use error::SourceError;
pub(crate) use interruptions::Interruptions;
pub(crate) use source::HeldSource;

/// How often to look for sources that nobody holds.
pub(crate) const POLL: Duration = Duration::from_secs(1);
/// How many are claimed at a time: how many more than its share a tenant may get.
const CLAIM: usize = 16;
/// How long a source is held while every slot is taken: then whoever waits longest has its turn.
const TURN: Duration = Duration::from_mins(5);

/// What all held sources need.
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) outlet: Outlet,
    pub(crate) client: GuardedClient,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) interruptions: Arc<Interruptions>,
    /// Places for mails while they are read.
    pub(crate) mails: imap::Places,
    pub(crate) lease: Duration,
    pub(crate) shutdown: CancellationToken,
}

/// The sources of one kind that this instance holds.
pub(crate) struct Sources {
    engine: Arc<Engine>,
    kind: SourceKind,
    /// How many there may be.
    slots: usize,
    /// How many a tenant may have.
    per_tenant: usize,
    held: Mutex<HashMap<TenantId, usize>>,
}

impl Sources {
    /// One tenant gets half of `slots` at most.
    pub(crate) fn new(engine: Arc<Engine>, kind: SourceKind, slots: usize) -> Self {
        Self { engine, kind, slots, per_tenant: slots.div_ceil(2), held: Mutex::default() }
    }

    /// Returns when a source has been held for as long as is fair while others may wait for a slot.
    async fn turn_is_over(&self) {
        loop {
            tokio::time::sleep(TURN).await;
            let n_held: usize =
                self.held.lock().unwrap_or_else(PoisonError::into_inner).values().sum();
            if n_held >= self.slots {
                return;
            }
        }
    }

    fn with_enough(&self) -> Vec<TenantId> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = held.iter().filter(|(_, n_held)| **n_held >= self.per_tenant);
        enough.map(|(tenant, _)| *tenant).collect()
    }

    fn count(&self, tenant: TenantId) -> Counted<'_> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held.entry(tenant).or_default() += 1;
        Counted { sources: self, tenant }
    }
}

/// A source counts for as long as it is held, however that ends.
struct Counted<'s> {
    sources: &'s Sources,
    tenant: TenantId,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut held = self.sources.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n_held) = held.get_mut(&self.tenant) {
            *n_held -= 1;
            if *n_held == 0 {
                held.remove(&self.tenant);
            }
        }
    }
}

impl LaneWork for Sources {
    type Lease = SourceLease;
    type Claimed = ClaimedSource;
    type Error = StoreError;

    async fn claim(&self, limit: usize) -> Result<Vec<ClaimedSource>, StoreError> {
        let Engine { store, clock, lease, .. } = &*self.engine;
        let enough = self.with_enough();
        sources::claim(store, self.kind, clock.now(), limit.min(CLAIM), *lease, &enough).await
    }

    fn lease_of(claimed: &ClaimedSource) -> SourceLease {
        claimed.lease
    }

    async fn renew(&self, held: &[SourceLease]) -> Result<Vec<SourceLease>, StoreError> {
        let renewed = sources::renew(&self.engine.store, held, self.engine.lease).await?;
        Ok(held.iter().filter(|lease| !renewed.contains(lease)).copied().collect())
    }

    #[tracing::instrument(
        name = "source.hold",
        skip_all,
        fields(
            source.kind = self.kind.as_str(),
            trigger.id = %claimed.lease.trigger_id,
            tenant.id = %claimed.tenant_id,
        )
    )]
    async fn work(&self, claimed: ClaimedSource, lost: CancellationToken) {
        let _counted = self.count(claimed.tenant_id);
        let interrupted = self.engine.interruptions.of(claimed.lease.trigger_id, claimed.tenant_id);
        let ended = tokio::select! {
            biased;
            () = lost.cancelled() => return,
            ended = self.hold(&claimed) => ended,
            () = interrupted.cancelled() => Ended::HandedBack,
            () = self.engine.shutdown.cancelled() => Ended::HandedBack,
            () = self.turn_is_over() => Ended::HandedBack,
        };
        self.give_back(&claimed, ended).await;
    }
}

/// How holding a source ended.
enum Ended {
    /// Somebody else, or this instance, goes on at once.
    HandedBack,
    /// It is tried again later; with how far it got, if that is to be written down.
    Failed(SourceFailure, DateTime<Utc>, Option<Value>),
    /// Somebody else may be at work.
    LeaseLost,
}

/// Reads a source until it cannot be read any more, and says why.
async fn read(held: &HeldSource<'_>) -> SourceError {
    match held.config() {
        Source::DbEvent(config) => Box::pin(db_event::hold(held, config)).await,
        Source::Email(email) if let Some(imap) = &email.imap => {
            Box::pin(imap::hold(held, email, imap)).await
        }
        other => {
            let message = format!("nothing is held for a {} trigger", other.trigger_type());
            SourceError::failed("trigger_invalid", message)
        }
    }
}

impl Sources {
    async fn hold(&self, claimed: &ClaimedSource) -> Ended {
        let now = self.engine.clock.now();
        let trigger = match compiled(claimed, now) {
            Ok(trigger) => trigger,
            Err(failure) => return self.failed(claimed.failure_count, failure, None),
        };
        if let Err((failure, at)) = within_quota(claimed, now) {
            return Ended::Failed(failure, at, None);
        }
        let held = HeldSource::new(self.kind, &self.engine, claimed, &trigger);
        match read(&held).await {
            SourceError::LeaseLost => Ended::LeaseLost,
            error @ SourceError::Failed { .. } => {
                let failure = error.failure(self.engine.clock.now());
                self.failed(held.failure_count(), failure, held.noted())
            }
        }
    }

    /// What exactly failed is the tenant's to know: it may have their data in it.
    fn failed(&self, failure_count: u32, failure: SourceFailure, noted: Option<Value>) -> Ended {
        let again = try_again_at(failure_count, failure.code, failure.at);
        tracing::warn!(error.code = failure.code, "a {} source does not work", self.kind.as_str());
        Ended::Failed(failure, again, noted)
    }

    async fn give_back(&self, claimed: &ClaimedSource, ended: Ended) {
        let lease = claimed.lease;
        let store = &self.engine.store;
        let given = match ended {
            Ended::LeaseLost => Ok(()),
            Ended::HandedBack => sources::hand_back(store, lease, self.engine.clock.now()).await,
            Ended::Failed(failure, again, noted) => {
                FAILED.with_label_values(&[self.kind.as_str(), failure.code]).inc();
                let outcome = Outcome { position: noted, ..Outcome::failed(lease, failure, again) };
                sources::settle(store, &[outcome]).await.map(drop)
            }
        };
        if let Err(error) = given {
            let error = &error as &dyn Error;
            tracing::warn!(error, "a source is not given back; its lease runs out");
        }
    }
}
