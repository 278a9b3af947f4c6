//! One row: a load, a fault under it, and the verdict when everything has come to rest.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use recado_testkit::app::TestApp;
use recado_testkit::wait_for;

use super::cast::Cast;
use super::ledger::Tally;
use super::load::Load;
use super::report::{Measured, Outcome, Verdict};
use super::rows::{Fault, Order, Row};
use super::strikes::{self, Stage};
use super::verdict;

/// How many messages are acknowledged before something happens, and after it is over.
const BEFORE: usize = 30;
const AFTER: usize = 30;

/// From the end of the load to the last trace of work: leases, sweeps and retries included.
const AT_REST_WITHIN: Duration = Duration::from_secs(90);

/// For how long nothing may come out of the system until it is taken to be at rest: two leases,
/// whoever believed to hold one has learned by then that it does not.
const QUIET: Duration = Duration::from_secs(4);

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
    strikes::strike(row.fault, &mut stage).await?;
    let Stage { notes, neighbours, .. } = stage;
    load.cast.heal();
    load.acknowledges(AFTER).await.context("after it was over")?;
    let loaded = began.elapsed();
    load.stop(app).await?;
    let rest = come_to_rest(app, &load, &neighbours).await;
    app.check_alive()?;
    let tally = verdict::of_load(app, row, &load).await?;
    let mut violations: Vec<_> =
        rest.iter().map(|restless| format!("not at rest: {restless}")).collect();
    violations.extend(tally.violations.iter().cloned());
    for neighbour in &neighbours {
        let of_neighbour = verdict::of_load(app, row, neighbour).await?.violations;
        violations.extend(of_neighbour.iter().map(|told| format!("another tenant: {told}")));
    }
    let verdict = if violations.is_empty() { Verdict::Ok } else { Verdict::Violated };
    Ok(Outcome {
        fault: row.name,
        what: row.what,
        verdict,
        measured: Some(measured(row, &load, &tally, loaded)),
        notes,
        violations,
        left_the_system_at_rest: rest.is_none(),
    })
}

fn measured(row: &Row, load: &Load, tally: &Tally, loaded: Duration) -> Measured {
    let acknowledged = load.ledger.n_acknowledged();
    Measured {
        per_second: f64::from(u32::try_from(acknowledged).unwrap_or(u32::MAX))
            / loaded.as_secs_f64(),
        acknowledged,
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
    }
}

/// Waits until everything acknowledged was called back, nothing is under way any more, and nothing
/// more has come for a while. Answers what is left, if that does not come to pass.
async fn come_to_rest(app: &TestApp, load: &Load, neighbours: &[Load]) -> Option<String> {
    let loads = || std::iter::once(load).chain(neighbours);
    let (mut n_asked, mut since) = (0, Instant::now());
    let mut left = Vec::new();
    let rested = wait_for("rest", AT_REST_WITHIN, async || {
        let n_outstanding: usize = loads().map(Load::n_outstanding).sum();
        let n_asked_now = loads().map(|load| load.cast.n_asked()).sum();
        if n_asked != n_asked_now {
            (n_asked, since) = (n_asked_now, Instant::now());
        }
        left = if n_outstanding > 0 {
            vec![format!("{n_outstanding} messages that were not called back")]
        } else if since.elapsed() < QUIET {
            vec!["callbacks or calls of tools that still come".to_owned()]
        } else {
            app.leftovers().await.unwrap_or_else(|error| vec![format!("{error:#}")])
        };
        left.is_empty().then_some(())
    });
    rested.await.is_err().then(|| left.join(", "))
}

/// FNV-1a: so that each row has moments of its own, the same in each run with this seed.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
