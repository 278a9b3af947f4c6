//! Sends the head of a session's lane: plan, send, record.
//!
//! Three things can be away while a delivery is on its way, and each is waited for in its own way:
//! the receiver by retries, short ones in place and long ones with the lane parked; the database
//! by holding what has to be written until the lease is lost; this process by whoever claims the
//! lane next, which goes on at the first chunk that was not sent.
//!
//! No connection to the database is held while a request is on its way.

mod held;
mod plan;
mod send;

use std::sync::Arc;
use std::time::Duration;

use recado_clock::Clock;
use recado_http::guard::GuardedClient;
use recado_service::lanes::{LaneWork, Wake};
use recado_store::deliveries::{self, Claimed};
use recado_store::lanes::{self, LaneKind, Lease};
use recado_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::metrics::FINISHED;
use held::HeldLane;
use plan::Unsendable;

/// Sends deliveries.
pub(crate) struct Deliver {
    pub(crate) store: Store,
    pub(crate) client: GuardedClient,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Duration,
    pub(crate) wake: Wake,
    pub(crate) shutdown: CancellationToken,
}

/// How the work on a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The last chunk was sent.
    Delivered,
    /// A chunk could not be sent, or there was nothing that could.
    Failed,
    /// The lane was given back, to be claimed again after a pause.
    Parked,
    /// Somebody else may be at work.
    LeaseLost,
}

impl LaneWork for Deliver {
    type Claimed = Claimed;
    type Error = StoreError;

    async fn claim(&self, limit: usize) -> Result<Vec<Claimed>, StoreError> {
        deliveries::claim(&self.store, limit, self.lease).await
    }

    fn lease_of(claimed: &Claimed) -> Lease {
        claimed.lease
    }

    async fn renew(&self, held: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        lanes::renew(&self.store, LaneKind::Delivery, held, self.lease).await
    }

    #[tracing::instrument(
        name = "delivery.send",
        skip_all,
        fields(
            delivery.id = %claimed.delivery_id,
            execution.id = %claimed.execution_id,
            tenant.id = %claimed.tenant_id,
            session.id = %claimed.lease.session_id,
        )
    )]
    async fn work(&self, claimed: Claimed, lost: CancellationToken) {
        let lane = HeldLane { deliver: self, claimed: &claimed, lost: &lost };
        match lane.deliver().await {
            Ended::Delivered => self.finished("delivered"),
            Ended::Failed => self.finished("failed"),
            // The loop says so.
            Ended::Parked | Ended::LeaseLost => {}
        }
    }
}

impl Deliver {
    fn finished(&self, status: &str) {
        FINISHED.with_label_values(&[status]).inc();
        // The lane may have been handed on to the session's next delivery.
        self.wake.wake();
    }
}

impl HeldLane<'_> {
    async fn deliver(&self) -> Ended {
        match self.plan().await {
            Ok(plan) => self.send_all(&plan).await.unwrap_or_else(|ended| ended),
            Err(Unsendable::Ended(ended)) => ended,
            Err(Unsendable::Never { code, message }) => self.fail(code, &message).await,
        }
    }
}
