//! Counts what tenants use, and judges by it whether they are over their quotas.

use recado_store::StoreError;
use recado_store::usage;
use tokio::time::Interval;

use super::{House, NOBODY, Patience};

/// How many of the past hours are compared in one round: all of them in 18 rounds.
const HOURS_AT_ONCE: usize = 2;

/// Counts at each of `ticks`, until the shutdown.
pub(super) async fn run(house: House, mut ticks: Interval) {
    let mut n_rounds = 0;
    while house.has_next(&mut ticks).await {
        house.finish(round(&house, n_rounds)).await;
        n_rounds += 1;
    }
}

/// The present, and some hours of the past in turn: what ended late is found there.
async fn round(house: &House, n_rounds_before: usize) -> Result<(), StoreError> {
    let mut patience = Patience::default();
    let mut next = Some(NOBODY);
    while let Some(after) = next {
        let (tenants, last) = house.tenants(after).await?;
        for tenant in tenants {
            let now = house.clock.now();
            let past = usage::past(now);
            let first = n_rounds_before * HOURS_AT_ONCE % past.len();
            let hours = past.into_iter().cycle().skip(first).take(HOURS_AT_ONCE);
            let ranges: Vec<_> = std::iter::once(usage::present(now)).chain(hours).collect();
            let id = tenant.tenant_id;
            patience.with(id, usage::count(&house.store, id, &ranges, now).await)?;
        }
        next = last;
    }
    Ok(())
}
