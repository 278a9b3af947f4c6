//! What has to be done from time to time, for all tenants, whoever does it.
//!
//! Two tasks, each in rounds: `usage` counts what tenants use and judges their quotas, `retention`
//! takes away what they do not keep any longer. Every instance does both; they share the work by
//! passing over what another one has locked. While the database is away a round ends early, and the
//! next one begins where it is needed.

mod retention;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use recado_clock::Clock;
use recado_service::Context;
use recado_store::retention::{self as kept, Kept};
use recado_store::{Store, StoreError};
use recado_types::TenantId;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::metrics::HOUSEKEPT;

/// How many tenants are read at a time.
const PAGE: i64 = 500;
/// After so many errors in a row a round ends: it is not the tenants then.
const MAX_ERRORS: usize = 3;

/// Starts both tasks, until the context shuts down.
pub(crate) fn start(store: &Store, context: &Context, pause: Duration) {
    let house = |task| House {
        task,
        store: store.clone(),
        clock: Arc::clone(&context.clock),
        shutdown: context.shutdown.clone(),
    };
    context.tasks.spawn(usage::run(house("usage"), every(pause)));
    context.tasks.spawn(retention::run(house("retention"), every(pause)));
}

/// What a task works with.
struct House {
    task: &'static str,
    store: Store,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
}

impl House {
    /// Waits until it is time for the next round; answers whether there is one.
    async fn has_next(&self, ticks: &mut Interval) -> bool {
        self.shutdown.run_until_cancelled(ticks.tick()).await.is_some()
    }

    /// Does a round, unless the shutdown comes before its end: what was not committed by then is
    /// done by somebody else.
    async fn finish(&self, round: impl Future<Output = Result<(), StoreError>> + Send) {
        match self.shutdown.run_until_cancelled(round).await {
            None => {}
            Some(Ok(())) => {
                HOUSEKEPT.with_label_values(&[self.task]).set(self.clock.now().timestamp());
            }
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, task = self.task, "a round of housekeeping ends early");
            }
        }
    }

    /// The next tenants after `tenant`, and after which to go on; `None` if those were the last.
    async fn tenants(&self, after: TenantId) -> Result<(Vec<Kept>, Option<TenantId>), StoreError> {
        let tenants = kept::tenants(&self.store, after, PAGE).await?;
        let is_full = i64::try_from(tenants.len()).is_ok_and(|n_tenants| n_tenants == PAGE);
        let last = tenants.last().filter(|_| is_full).map(|last| last.tenant_id);
        Ok((tenants, last))
    }
}

/// The first one is now.
fn every(pause: Duration) -> Interval {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Comes before all tenants.
const NOBODY: TenantId = TenantId(Uuid::nil());

/// Counts errors in a row.
#[derive(Default)]
struct Patience(usize);

impl Patience {
    /// Passes an error over, which is one tenant's as far as is known, unless there were too many.
    fn with<T>(
        &mut self,
        tenant: TenantId,
        result: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match result {
            Ok(done) => {
                self.0 = 0;
                Ok(Some(done))
            }
            Err(error) if self.0 + 1 < MAX_ERRORS => {
                self.0 += 1;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(tenant.id = %tenant, error, "housekeeping passes over a tenant");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
