//! Takes away what tenants do not keep any longer, a batch of each in turn.

use std::collections::VecDeque;
use std::time::Duration;

use recado_store::StoreError;
use recado_store::retention::{self, Job, Removed, Step};
use tokio::time::{Instant, Interval, sleep};

use super::{House, NOBODY, Patience};
use crate::metrics::REMOVED;

/// How many batches a tenant gets before it is the next one's turn.
const TURN: usize = 10;
/// After each batch the database is left alone for as long as that took, and at least so long.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// Looks at each of `ticks`, until the shutdown.
pub(super) async fn run(house: House, mut ticks: Interval) {
    while house.has_next(&mut ticks).await {
        house.finish(round(&house)).await;
    }
}

async fn round(house: &House) -> Result<(), StoreError> {
    remove_old_requests(house).await?;
    let mut patience = Patience::default();
    let mut next = Some(NOBODY);
    while let Some(after) = next {
        let (tenants, last) = house.tenants(after).await?;
        let now = house.clock.now();
        let jobs = tenants.iter().map(|kept| VecDeque::from(Job::all(kept, now)));
        let mut waiting: VecDeque<VecDeque<Job>> = jobs.filter(|jobs| !jobs.is_empty()).collect();
        while let Some(mut jobs) = waiting.pop_front() {
            let Some(tenant) = jobs.front().map(Job::tenant_id) else { continue };
            // One that meets an error is passed over until the next round.
            if patience.with(tenant, turn(house, &mut jobs).await)?.is_some() && !jobs.is_empty() {
                waiting.push_back(jobs);
            }
        }
        next = last;
    }
    Ok(())
}

/// Some batches of one tenant.
async fn turn(house: &House, jobs: &mut VecDeque<Job>) -> Result<(), StoreError> {
    let mut n_batches = 0;
    while n_batches < TURN
        && let Some(job) = jobs.front_mut()
    {
        let begun = Instant::now();
        let removed = retention::advance(&house.store, job).await?;
        tell(job.step(), &removed);
        if removed.is_over {
            jobs.pop_front();
        }
        if !removed.rows.is_empty() {
            n_batches += 1;
            sleep(begun.elapsed().max(MIN_PAUSE)).await;
        }
    }
    Ok(())
}

async fn remove_old_requests(house: &House) -> Result<(), StoreError> {
    loop {
        let (n_rows, is_all) =
            retention::remove_old_requests(&house.store, house.clock.now()).await?;
        let step = Step::Everything.as_str();
        REMOVED.with_label_values(&["idempotent_requests", step]).inc_by(n_rows);
        if is_all {
            return Ok(());
        }
        sleep(MIN_PAUSE).await;
    }
}

fn tell(step: Step, removed: &Removed) {
    for (table, n_rows) in &removed.rows {
        REMOVED.with_label_values(&[*table, step.as_str()]).inc_by(*n_rows);
    }
}
