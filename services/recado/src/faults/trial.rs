//! One row: a load, a fault under it, and the verdict when everything has come to rest.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use recado_testkit::app::TestApp;
use recado_testkit::wait_for;

use super::cast::Cast;
use super::load::Load;
use super::report::{Outcome, Verdict};
use super::rows::{Fault, Order, Row};
use super::strikes::{self, Stage, Struck};
use super::verdict;

/// How many messages are acknowledged before something happens, and after it is over.
const BEFORE: usize = 30;
const AFTER: usize = 30;

/// From the end of the load to the last trace of work: leases, sweeps and retries included.
const AT_REST_WITHIN: Duration = Duration::from_secs(90);

/// Tries a row on a system. An error means that the system is of no more use.
pub(super) async fn run(
    row: &'static Row,
    app: &mut TestApp,
    seed: u64,
    lasting: Duration,
) -> anyhow::Result<Outcome> {
    let cast = Cast::make(app).await.context("a tenant could not be made")?;
    let strict = matches!(row.fault, Fault::RollingRestart);
    let began = Instant::now();
    let mut load = Load::start(app, cast, row.order, strict)?;
    load.acknowledges(BEFORE).await.context("before anything happened")?;
    let rng = StdRng::seed_from_u64(seed ^ hash(row.name));
    let mut stage = Stage::new(app, &load, rng, lasting);
    let struck = strikes::strike(row.fault, &mut stage).await?;
    let notes = std::mem::take(&mut stage.notes);
    if let Struck::Skipped(why) = struck {
        load.stop().await?;
        load.cast.stop_ticking().await?;
        return Ok(Outcome::skipped(row, why));
    }
    load.cast.heal();
    load.acknowledges(AFTER).await.context("after it was over")?;
    let loaded = began.elapsed();
    load.stop().await?;
    load.cast.stop_ticking().await?;
    let rest = come_to_rest(app, &load).await;
    app.check_alive()?;
    let mut violations = load.mistakes();
    if let Err(restless) = &rest {
        violations.push(format!("{restless:#}"));
    }
    violations.extend(verdict::of_database(app, &load).await?);
    let tally = load.ledger.tally();
    let reorders = row.order == Order::IsKept && tally.n_reordered > 0;
    let broken = tally.n_lost > 0 || tally.n_duplicated > 0 || reorders;
    violations.extend(tally.violations.clone());
    let verdict = match (broken, violations.is_empty()) {
        (false, true) => Verdict::Ok,
        _ => Verdict::Violated,
    };
    Ok(Outcome {
        fault: row.name,
        what: row.what,
        verdict,
        per_second: f64::from(u32::try_from(load.ledger.n_acknowledged()).unwrap_or(u32::MAX))
            / loaded.as_secs_f64(),
        acknowledged: load.ledger.n_acknowledged(),
        refused: load.n_refused(),
        unanswered: load.n_unanswered(),
        executed: tally.n_executed,
        lost: tally.n_lost,
        duplicated: tally.n_duplicated,
        reordered: tally.n_reordered,
        reordering_is_excused: row.order == Order::MayChangeByRedelivery,
        repeated_in_doubt: tally.n_in_doubt,
        worst_seconds: load.ledger.worst().unwrap_or_default().as_secs_f64(),
        outage_seconds: load.ledger.outage().as_secs_f64(),
        notes,
        violations,
        left_the_system_at_rest: rest.is_ok(),
    })
}

/// Waits until everything acknowledged was called back, and nothing is under way any more.
async fn come_to_rest(app: &TestApp, load: &Load) -> anyhow::Result<()> {
    let mut left = Vec::new();
    let rested = wait_for("rest", AT_REST_WITHIN, async || {
        let n_outstanding = load.ledger.observe(&load.cast);
        left = match app.leftovers().await {
            Ok(left) => left,
            Err(error) => vec![format!("{error:#}")],
        };
        if n_outstanding > 0 {
            left.push(format!("{n_outstanding} messages that were not called back"));
        }
        left.is_empty().then_some(())
    });
    let rested = rested.await;
    rested.with_context(|| format!("left behind: {}", left.join(", ")))
}

/// FNV-1a: so that each row has moments of its own, the same in each run with this seed.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
