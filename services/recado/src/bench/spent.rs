//! Where PostgreSQL's time goes while everything is at work: each statement, for each message.
//!
//! A phase of its own, after the others: that statements are timed costs time itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use recado_testkit::sql;

use super::ledger::Ledger;
use super::measure::Measurement;
use super::report::{Findings, StatementTime};
use super::statements::name_of;
use super::system::System;
use super::{count, progress, ratio};

/// What a statement that is worth a line takes of each message, in microseconds.
const WORTH_A_LINE: f64 = 2.0;

const SPENT: &str = "\
-- bench.spent
SELECT query, sum(calls)::float8, sum(rows)::float8, sum(total_exec_time)::float8 * 1000
  FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
 WHERE datname = current_database() AND query NOT LIKE '%pg_stat%'
 GROUP BY query";

/// What a statement has done since it is counted.
#[derive(Clone, Copy, Default)]
struct Spent {
    calls: f64,
    rows: f64,
    micros: f64,
}

/// Posts for `seconds` with all roles at work. Nothing is measured without the extension.
pub(super) async fn measure(
    system: &mut System,
    ledger: &Arc<Ledger>,
    seconds: Duration,
) -> anyhow::Result<Findings> {
    progress("starting all roles again, statements timed");
    if !system.count_statements().await? {
        progress("pg_stat_statements is not installed: statements are not timed");
        return Ok(Findings::default());
    }
    let mut measurement = Measurement::new(system, Arc::clone(ledger), seconds);
    measurement.warm_up().await?;
    let before = read(&system.database_url()).await?;
    let n = measurement.keep_busy().await?;
    let after = read(&system.database_url()).await?;
    let mut times: Vec<StatementTime> = after
        .into_iter()
        .map(|(name, after)| {
            let before = before.get(&name).copied().unwrap_or_default();
            let calls = after.calls - before.calls;
            StatementTime {
                name,
                micros_per_message: ratio(after.micros - before.micros, count(n)),
                calls_per_message: ratio(calls, count(n)),
                rows_per_call: ratio(after.rows - before.rows, calls),
            }
        })
        .filter(|time| time.micros_per_message >= WORTH_A_LINE)
        .collect();
    times.sort_by(|one, other| other.micros_per_message.total_cmp(&one.micros_per_message));
    Ok(Findings { times, faults: measurement.faults, ..Findings::default() })
}

async fn read(url: &str) -> anyhow::Result<BTreeMap<String, Spent>> {
    sql::connected(url, async |client| {
        let mut statements: BTreeMap<String, Spent> = BTreeMap::new();
        for row in client.query(SPENT, &[]).await? {
            let spent = statements.entry(name_of(row.get(0))).or_default();
            spent.calls += row.get::<_, f64>(1);
            spent.rows += row.get::<_, f64>(2);
            spent.micros += row.get::<_, f64>(3);
        }
        Ok(statements)
    })
    .await
}
